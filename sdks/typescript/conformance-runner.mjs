// Performs the calls of sdks/conformance with @devora/sdk: one JSON object per line in, JSON lines out.
import { createInterface } from "node:readline";

import {
  APIConnectionError,
  APITimeoutError,
  AuthenticationError,
  ConflictError,
  DevoraClient,
  DevoraError,
  InvalidRequestError,
  JobCancelled,
  JobFailed,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
  WebhookVerificationError,
  wireOf,
} from "@devora/sdk";

const KINDS = [
  [JobFailed, "JobFailed"],
  [JobCancelled, "JobCancelled"],
  [WebhookVerificationError, "WebhookVerification"],
  [APITimeoutError, "Timeout"],
  [APIConnectionError, "Connection"],
  [InvalidRequestError, "InvalidRequest"],
  [AuthenticationError, "Authentication"],
  [PermissionDeniedError, "PermissionDenied"],
  [NotFoundError, "NotFound"],
  [ConflictError, "Conflict"],
  [RateLimitError, "RateLimit"],
  [ServiceUnavailableError, "ServiceUnavailable"],
  [ServerError, "Server"],
  [DevoraError, "Configuration"],
];

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
const camelKeys = (value) => Object.fromEntries(Object.entries(value).map(([name, field]) => [camel(name), field]));
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** The arguments as the library names them; `config` is the only one with names of its own. */
function named({ config, ...rest }) {
  return { ...camelKeys(rest), ...(config ? { config: camelKeys(config) } : {}) };
}

/** The result as the wire names it. */
function plain(value) {
  if (value === undefined || value === null) return null;
  if (value.items !== undefined && value.hasMore !== undefined) return undefined; // a page: its body is the answer's
  return wireOf(value) ?? value;
}

async function answerOf(promise) {
  if (typeof promise.withResponse !== "function") {
    const data = await promise;
    const value = data?.accepted !== undefined ? plain(data.accepted) : plain(data);
    return { value, request_id: data?.requestId ?? data?.accepted?.requestId ?? null };
  }
  const { body, requestId } = await promise.withResponse();
  return { value: body ?? null, request_id: requestId ?? null };
}

async function perform({ id, call, arguments: sent = {}, options = {} }) {
  const controller = new AbortController();
  const { signal } = controller;
  const { timeout, cancel_after: cancelAfter = {} } = options;
  const client = new DevoraClient({
    apiKey: options.api_key,
    baseUrl: options.base_url,
    maxRetries: options.max_retries,
    logLevel: options.log,
    ...(options.backoff === undefined ? {} : { backoff: { initial: 1000 * options.backoff } }),
  });
  const callOptions = {
    signal,
    ...(timeout === undefined ? {} : { timeout: 1000 * timeout }),
    ...(options.idempotency_key === undefined ? {} : { idempotencyKey: options.idempotency_key }),
  };
  if (cancelAfter.seconds !== undefined) setTimeout(() => controller.abort(), 1000 * cancelAfter.seconds);
  const {
    agent_id: agentId,
    workflow_id: workflowId,
    job_id: jobId,
    key_id: keyId,
    webhook_id: webhookId,
    delivery_id: deliveryId,
    schedule_id: scheduleId,
    ...rest
  } = sent;
  const stream = {
    signal,
    after: sent.after,
    deltas: sent.deltas,
    ...(options.stall_timeout === undefined ? {} : { stallTimeout: 1000 * options.stall_timeout }),
  };
  const body = named(rest);
  const yielded = async (items) => {
    let count = 0;
    if (cancelAfter.events === 0) controller.abort();
    for await (const item of items) {
      say({ id, event: wireOf(item) });
      count += 1;
      if (count === cancelAfter.events) controller.abort();
    }
    signal.throwIfAborted();
    return { value: null };
  };
  const calls = {
    "agents.list": () => client.agents.list(callOptions),
    "agents.get": () => client.agents.get(agentId, callOptions),
    "agents.health": () => client.agents.health(agentId, callOptions),
    "agents.execute": () => client.agents.execute(named(sent), callOptions),
    "workflows.list": () => client.workflows.list(callOptions),
    "workflows.get": () => client.workflows.get(workflowId, callOptions),
    "workflows.run": () => client.workflows.run(named(sent), callOptions),
    "jobs.list": () => client.jobs.list(named(sent), callOptions),
    "jobs.get": () => client.jobs.get(jobId, callOptions),
    "jobs.result": () => client.jobs.result(jobId, callOptions),
    "jobs.output": () => client.jobs.output(jobId, callOptions),
    "jobs.wait": () => client.jobs.wait(jobId, callOptions),
    "jobs.events": () => client.jobs.events(jobId, { after: sent.after, limit: sent.limit }, callOptions),
    "jobs.cancel": () => client.jobs.cancel(jobId, sent.reason, callOptions),
    "jobs.pause": () => client.jobs.pause(jobId, sent.note, callOptions),
    "jobs.resume": () => client.jobs.resume(jobId, sent.note, callOptions),
    "jobs.approve": () => client.jobs.approve(jobId, { step: sent.step, note: sent.note }, callOptions),
    "jobs.reject": () => client.jobs.reject(jobId, { step: sent.step, note: sent.note }, callOptions),
    "jobs.questions": () => client.jobs.questions(jobId, callOptions),
    "jobs.answer": () => client.jobs.answer(jobId, { step: sent.step, values: sent.values, note: sent.note }, callOptions),
    "jobs.signal": () => client.jobs.signal(jobId, sent.name, sent.input, callOptions),
    "jobs.retry": () => client.jobs.retry(jobId, callOptions),
    "metrics.get": () => client.metrics.get(callOptions),
    "metrics.agent": () => client.metrics.agent(agentId, { period: sent.period }, callOptions),
    "limits.get": () => client.limits(callOptions),
    "me.get": () => client.me(callOptions),
    "health.get": () => client.health.ready(callOptions),
    "keys.create": () => client.keys.create(body, callOptions),
    "keys.list": () => client.keys.list(body, callOptions),
    "keys.get": () => client.keys.get(keyId, callOptions),
    "keys.update": () => client.keys.update(keyId, body, callOptions),
    "keys.rotate": () => client.keys.rotate(keyId, body, callOptions),
    "keys.revoke": () => client.keys.revoke(keyId, callOptions),
    "schedules.create": () => client.schedules.create({ ...body, agentId, workflowId }, callOptions),
    "schedules.list": () => client.schedules.list(body, callOptions),
    "schedules.get": () => client.schedules.get(scheduleId, callOptions),
    "schedules.update": () => client.schedules.update(scheduleId, body, callOptions),
    "schedules.pause": () => client.schedules.pause(scheduleId, sent.note, callOptions),
    "schedules.unpause": () => client.schedules.unpause(scheduleId, sent.note, callOptions),
    "schedules.trigger": () => client.schedules.trigger(scheduleId, body, callOptions),
    "schedules.backfill": () => client.schedules.backfill(scheduleId, body, callOptions),
    "schedules.delete": () => client.schedules.delete(scheduleId, callOptions),
    "webhooks.create": () => client.webhooks.create(body, callOptions),
    "webhooks.list": () => client.webhooks.list(body, callOptions),
    "webhooks.get": () => client.webhooks.get(webhookId, callOptions),
    "webhooks.update": () => client.webhooks.update(webhookId, body, callOptions),
    "webhooks.delete": () => client.webhooks.delete(webhookId, callOptions),
    "webhooks.rotate_secret": () => client.webhooks.rotateSecret(webhookId, body, callOptions),
    "webhooks.test": () => client.webhooks.test(webhookId, callOptions),
    "webhooks.deliveries": () => client.webhooks.deliveries(webhookId, body, callOptions),
    "webhooks.redeliver": () => client.webhooks.redeliver(webhookId, deliveryId, callOptions),
    "webhooks.unwrap": () =>
      client.webhooks.unwrap(sent.body, sent.headers, sent.secret, {
        ...(sent.tolerance === undefined ? {} : { tolerance: sent.tolerance }),
        ...(sent.now === undefined ? {} : { now: new Date(1000 * sent.now) }),
      }),
  };
  if (call === "jobs.stream") return yielded(client.jobs.stream(jobId, stream));
  if (call === "events.stream") return yielded(client.events.stream({ signal, after: sent.after }));
  if (call === "jobs.iterate") return yielded(client.jobs.list(named(sent), callOptions));
  if (calls[call] === undefined) throw new Error(`unknown call ${call}`);
  return answerOf(calls[call]());
}

function described(error) {
  if (!(error instanceof DevoraError)) {
    if (error?.name === "AbortError") return { kind: "Cancelled", message: String(error), code: null, status: null, request_id: null, retry_after: null, job_id: null };
    throw error;
  }
  return {
    kind: KINDS.find(([kind]) => error instanceof kind)[1],
    code: error.code,
    status: error.status ?? null,
    message: error.message,
    request_id: error.requestId ?? null,
    retry_after: error.retryAfter ?? null,
    job_id: error.jobId ?? error.details.job_id ?? null,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    say({ id: command.id, ok: true, ...(await perform(command)) });
  } catch (error) {
    say({ id: command.id, ok: false, error: described(error) });
  }
}
