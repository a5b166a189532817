import { accountEventsOf, type AccountEvent, type AccountStreamOptions } from "./account-events.js";
import { fromWire, toWire, type JsonObject } from "./casing.js";
import { DevoraError, jobIdOf, unexpected } from "./errors.js";
import { jobPath, type StreamOptions } from "./events.js";
import { Job, jobOf, resultOf, waitFor, type Decision, type WaitOptions } from "./job.js";
import type * as models from "./models.js";
import { list, type PageOptions, type PagePromise } from "./pages.js";
import type { APIPromise } from "./promise.js";
import { clock } from "./retries.js";
import { names503Job, segment, type CallOptions, type Transport } from "./transport.js";
import { unwrapWebhook, verifyWebhook, type UnwrapOptions, type WebhookHeaders } from "./webhooks.js";

const SYNCHRONOUS_TIMEOUT = 600_000;
const SILENCE = 150_000;

abstract class Resource {
  protected readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  protected read<T>(path: string, options?: CallOptions, query: object = {}): APIPromise<T> {
    return this.transport.call<T>({ method: "GET", path, query: toWire(query), options });
  }

  protected write<T>(method: string, path: string, body: object | undefined, options?: CallOptions): APIPromise<T> {
    return this.transport.call<T>({ method, path, body: body && toWire(body), options });
  }

  protected remove(path: string, options?: CallOptions): APIPromise<void> {
    return this.transport.call<void>({ method: "DELETE", path, options, result: "nothing" });
  }

  protected pages<Item>(path: string, field: string, query: object, options?: CallOptions): PagePromise<Item> {
    return list<Item>(this.transport, path, field, query, options);
  }
}

/** Starts a job; waits for its end unless the request is asynchronous. */
async function start(transport: Transport, path: string, request: models.StartRequest, options: CallOptions): Promise<Job | models.Result> {
  const body: JsonObject = { ...toWire(request), async: request.async ?? false };
  if (request.async) {
    return transport.call({ method: "POST", path, body, options }, (accepted) => jobOf(transport, fromWire(accepted)));
  }
  const { timeout = SYNCHRONOUS_TIMEOUT, signal } = options;
  const deadline = clock() + timeout;
  const { webhook_url: _, ...repeated }: JsonObject = { ...body, async: true }; // a synchronous start ignores the address
  let jobId: string;
  try {
    const answer = await transport.call<models.Finished | models.AgentAccepted>({
      method: "POST",
      path,
      // The same key finds the job whose answer was lost. Asked for asynchronously, no connection is silent again.
      // A deadline within the server's own wait would cut that wait, and the id of the job with it.
      body: (attempt: number) => (timeout <= SILENCE || (attempt > 0 && !request.webhookUrl) ? repeated : body),
      options: { ...options, timeout },
      persistent: true,
      attemptTimeout: SILENCE, // the server gives its own wait up earlier
    });
    if ("metrics" in answer) return resultOf(answer);
    jobId = answer.jobId;
    if (typeof jobId !== "string") throw unexpected("the answer has no job_id: check the base URL", { body: answer });
  } catch (error) {
    if (!(error instanceof DevoraError) || !names503Job(error)) throw error;
    jobId = jobIdOf(error) as string; // The server's own wait ran out: the job goes on.
  }
  return waitFor(transport, jobId, { timeout: Math.max(0, deadline - clock()), signal });
}

export type ExecuteRequest = models.StartRequest & { agentId: string };
export type RunRequest = models.StartRequest & { workflowId: string };

export class Agents extends Resource {
  list(options?: CallOptions): APIPromise<models.AgentList> {
    return this.read("/v1/agents", options);
  }

  get(agentId: string, options?: CallOptions): APIPromise<models.AgentDetail> {
    return this.read(agentPath(agentId), options);
  }

  health(agentId: string, options?: CallOptions): APIPromise<models.AgentHealth> {
    return this.read(`${agentPath(agentId)}/health`, options);
  }

  /**
   * Runs one agent. With `async: true` it returns the job at once, otherwise the result once the job has ended;
   * then it throws `JobFailed` and `JobCancelled`, and its `timeout` is 600000 ms by default.
   */
  execute(request: ExecuteRequest & { async: true }, options?: CallOptions): Promise<Job>;
  execute(request: ExecuteRequest & { async?: false }, options?: CallOptions): Promise<models.Result>;
  execute(request: ExecuteRequest, options?: CallOptions): Promise<Job | models.Result>;
  execute({ agentId, ...request }: ExecuteRequest, options: CallOptions = {}): Promise<Job | models.Result> {
    return start(this.transport, `${agentPath(agentId)}/execute`, request, options);
  }
}

export class Workflows extends Resource {
  list(options?: CallOptions): APIPromise<models.WorkflowList> {
    return this.read("/v1/workflows", options);
  }

  get(workflowId: string, options?: CallOptions): APIPromise<models.WorkflowDetail> {
    return this.read(`/v1/workflows/${segment(workflowId)}`, options);
  }

  /** Runs one workflow; like `agents.execute`. */
  run(request: RunRequest & { async: true }, options?: CallOptions): Promise<Job>;
  run(request: RunRequest & { async?: false }, options?: CallOptions): Promise<models.Result>;
  run(request: RunRequest, options?: CallOptions): Promise<Job | models.Result>;
  run({ workflowId, ...request }: RunRequest, options: CallOptions = {}): Promise<Job | models.Result> {
    return start(this.transport, `/v1/workflows/${segment(workflowId)}/run`, request, options);
  }
}

export interface JobQuery extends PageOptions {
  status?: models.JobStatus;
  /** Jobs in one of these exact states. */
  state?: models.JobState[];
  /** Created at or after this time, with its offset. */
  since?: string;
  /** Created before this time. */
  until?: string;
  agentId?: string;
  workflowId?: string;
  /** Only jobs of this owner, for an admin. */
  owner?: string;
  /** Open jobs with one of these reasons. */
  reason?: models.ReasonCode[];
  /** Jobs with all of these labels, each as `NAME:VALUE`. */
  label?: string[];
  /** Only jobs that a person has to look at. */
  needsAttention?: boolean;
}

export class Jobs extends Resource {
  /** The caller's jobs, newest first; everybody's for an admin. `labels` is as in a start, or the same as `label`. */
  list({ labels = [], label = [], ...query }: JobQuery & { labels?: Record<string, string> | string[] } = {}, options?: CallOptions): PagePromise<models.JobSummary> {
    const words = Array.isArray(labels) ? labels : Object.entries(labels).map(([name, value]) => `${name}:${value}`);
    return this.pages("/v1/jobs", "jobs", { ...query, label: [...words, ...label] }, options);
  }

  get(jobId: string, options?: CallOptions): APIPromise<models.JobDetail> {
    return this.of(jobId).getStatus(options);
  }

  /** A handle on a job, without a request. */
  of(jobId: string): Job {
    return new Job(this.transport, jobId);
  }

  wait(jobId: string, options?: WaitOptions): Promise<models.Result> {
    return this.of(jobId).wait(options);
  }

  result(jobId: string, options?: CallOptions): Promise<models.Result> {
    return this.of(jobId).getResult(options);
  }

  output(jobId: string, options?: CallOptions): APIPromise<models.Output> {
    return this.of(jobId).output(options);
  }

  stream(jobId: string, options?: StreamOptions): AsyncGenerator<models.JobEvent> {
    return this.of(jobId).stream(options);
  }

  events(jobId: string, query?: { after?: string; limit?: number }, options?: CallOptions): APIPromise<models.EventPage> {
    return this.of(jobId).events(query, options);
  }

  cancel(jobId: string, reason?: string | { reason?: string }, options?: CallOptions): APIPromise<models.Cancelled> {
    return this.of(jobId).cancel(reason, options);
  }

  pause(jobId: string, note?: string | { note?: string }, options?: CallOptions): APIPromise<models.Controlled> {
    return this.of(jobId).pause(note, options);
  }

  resume(jobId: string, note?: string | { note?: string }, options?: CallOptions): APIPromise<models.Controlled> {
    return this.of(jobId).resume(note, options);
  }

  approve(jobId: string, decision?: string | Decision, options?: CallOptions): APIPromise<models.Controlled> {
    return this.of(jobId).approve(decision, options);
  }

  reject(jobId: string, decision?: string | Decision, options?: CallOptions): APIPromise<models.Controlled> {
    return this.of(jobId).reject(decision, options);
  }

  questions(jobId: string, options?: CallOptions): APIPromise<models.QuestionList> {
    return this.of(jobId).questions(options);
  }

  answer(jobId: string, answer: models.AnswerRequest, options?: CallOptions): APIPromise<models.AnswerResult> {
    return this.of(jobId).answer(answer, options);
  }

  signal(jobId: string, name: string, input?: unknown, options?: CallOptions): APIPromise<models.Controlled> {
    return this.of(jobId).signal(name, input, options);
  }

  /** Starts a job that finishes one that failed or was cancelled. */
  retry(jobId: string, options?: CallOptions): APIPromise<Job> {
    return this.of(jobId).retry(options);
  }

  /** What was sent to webhooks about the job. */
  deliveries(jobId: string, query: PageOptions = {}, options?: CallOptions): PagePromise<models.Delivery> {
    return this.pages(`${jobPath(jobId)}/deliveries`, "deliveries", query, options);
  }
}

export class MetricsResource extends Resource {
  /** The last 24 hours. */
  get(options?: CallOptions): APIPromise<models.MetricsOverview> {
    return this.read("/v1/metrics", options);
  }

  agent(agentId: string, query: { period?: models.Period } = {}, options?: CallOptions): APIPromise<models.AgentMetrics> {
    return this.read(`/v1/metrics/agents/${segment(agentId)}`, options, query);
  }
}

/** API keys; they need the scope `admin:*`. */
export class Keys extends Resource {
  /** The answer holds the secret, and nothing else ever does. */
  create(request: models.KeyRequest, options?: CallOptions): APIPromise<models.IssuedKey> {
    return this.write("POST", "/v1/auth/api-keys", request, options);
  }

  list(query: PageOptions = {}, options?: CallOptions): PagePromise<models.Key> {
    return this.pages("/v1/auth/api-keys", "keys", query, options);
  }

  get(keyId: string, options?: CallOptions): APIPromise<models.Key> {
    return this.read(keyPath(keyId), options);
  }

  update(keyId: string, change: models.KeyChange, options?: CallOptions): APIPromise<models.Key> {
    return this.write("PATCH", keyPath(keyId), change, options);
  }

  rotate(keyId: string, request: models.KeyRotation = {}, options?: CallOptions): APIPromise<models.IssuedKey> {
    return this.write("POST", `${keyPath(keyId)}/rotate`, request, options);
  }

  revoke(keyId: string, options?: CallOptions): APIPromise<models.Key> {
    return this.write("DELETE", keyPath(keyId), undefined, options);
  }
}

/** Users who sign in; they need the scope `admin:*`. */
export class Users extends Resource {
  create(request: models.UserRequest, options?: CallOptions): APIPromise<models.User> {
    return this.write("POST", "/v1/users", request, options);
  }

  list(query: PageOptions = {}, options?: CallOptions): PagePromise<models.User> {
    return this.pages("/v1/users", "users", query, options);
  }

  delete(username: string, options?: CallOptions): APIPromise<void> {
    return this.remove(`/v1/users/${segment(username)}`, options);
  }
}

export interface AuditQuery {
  principal?: string;
  username?: string;
  action?: string;
  since?: string;
  until?: string;
  limit?: number;
  after?: string;
}

export class Audit extends Resource {
  /** Who changed what, newest first. */
  list(query: AuditQuery = {}, options?: CallOptions): PagePromise<models.AuditEntry> {
    return this.pages("/v1/audit", "entries", query, options);
  }
}

export class Schedules extends Resource {
  create(request: models.ScheduleRequest, options?: CallOptions): APIPromise<models.Schedule> {
    return this.write("POST", "/v1/schedules", request, options);
  }

  /** The caller's schedules, oldest first. */
  list(query: PageOptions = {}, options?: CallOptions): PagePromise<models.Schedule> {
    return this.pages("/v1/schedules", "schedules", query, options);
  }

  get(scheduleId: string, options?: CallOptions): APIPromise<models.Schedule> {
    return this.read(schedulePath(scheduleId), options);
  }

  update(scheduleId: string, change: models.ScheduleChange, options?: CallOptions): APIPromise<models.Schedule> {
    return this.write("PATCH", schedulePath(scheduleId), change, options);
  }

  /** Deletes a schedule; its running jobs continue. */
  delete(scheduleId: string, options?: CallOptions): APIPromise<void> {
    return this.remove(schedulePath(scheduleId), options);
  }

  pause(scheduleId: string, note = "", options?: CallOptions): APIPromise<models.Schedule> {
    return this.write("POST", `${schedulePath(scheduleId)}/pause`, { note } satisfies models.NoteRequest, options);
  }

  unpause(scheduleId: string, note = "", options?: CallOptions): APIPromise<models.Schedule> {
    return this.write("POST", `${schedulePath(scheduleId)}/unpause`, { note } satisfies models.NoteRequest, options);
  }

  /** Starts a run now. */
  trigger(scheduleId: string, request: models.TriggerRequest = {}, options?: CallOptions): APIPromise<models.TriggerResult> {
    return this.write("POST", `${schedulePath(scheduleId)}/trigger`, request, options);
  }

  /** Starts the runs of a period. */
  backfill(scheduleId: string, request: models.BackfillRequest, options?: CallOptions): APIPromise<models.BackfillResult> {
    return this.write("POST", `${schedulePath(scheduleId)}/backfill`, request, options);
  }
}

export interface DeliveryQuery extends PageOptions {
  state?: models.DeliveryState;
}

export class Webhooks extends Resource {
  create(request: models.WebhookRequest, options?: CallOptions): APIPromise<models.RegisteredWebhook> {
    return this.write("POST", "/v1/webhooks", request, options);
  }

  list(query: PageOptions = {}, options?: CallOptions): PagePromise<models.Webhook> {
    return this.pages("/v1/webhooks", "webhooks", query, options);
  }

  get(webhookId: string, options?: CallOptions): APIPromise<models.Webhook> {
    return this.read(webhookPath(webhookId), options);
  }

  update(webhookId: string, change: models.WebhookChange, options?: CallOptions): APIPromise<models.Webhook> {
    return this.write("PATCH", webhookPath(webhookId), change, options);
  }

  delete(webhookId: string, options?: CallOptions): APIPromise<void> {
    return this.remove(webhookPath(webhookId), options);
  }

  rotateSecret(webhookId: string, request: models.SecretRotation = {}, options?: CallOptions): APIPromise<models.RotatedWebhook> {
    return this.write("POST", `${webhookPath(webhookId)}/rotate-secret`, request, options);
  }

  /** Sends `webhook.test` once. */
  test(webhookId: string, options?: CallOptions): APIPromise<models.Delivery> {
    return this.write("POST", `${webhookPath(webhookId)}/test`, undefined, options);
  }

  deliveries(webhookId: string, query: DeliveryQuery = {}, options?: CallOptions): PagePromise<models.Delivery> {
    return this.pages(`${webhookPath(webhookId)}/deliveries`, "deliveries", query, options);
  }

  redeliver(webhookId: string, deliveryId: string, options?: CallOptions): APIPromise<models.Delivery> {
    return this.write("POST", `${webhookPath(webhookId)}/deliveries/${segment(deliveryId)}/redeliver`, undefined, options);
  }

  /** Verifies a delivery and returns its event; throws `WebhookVerificationError`. See `unwrapWebhook`. */
  unwrap(body: string | Uint8Array, headers: WebhookHeaders, secret: string, options?: UnwrapOptions): Promise<models.WebhookEvent> {
    return unwrapWebhook(body, headers, secret, options);
  }

  /** Whether `X-Devora-Signature` is genuine. Prefer `unwrap`, which also refuses old deliveries. */
  verify(body: string | Uint8Array, signature: string, secret: string): Promise<boolean> {
    return verifyWebhook(body, signature, secret);
  }
}

export class AccountEvents extends Resource {
  /** What the account's webhooks are sent, without a webhook. It does not end; break the loop, or abort the signal. */
  stream(options: AccountStreamOptions = {}): AsyncGenerator<AccountEvent> {
    return accountEventsOf(this.transport, options);
  }
}

export class HealthResource extends Resource {
  /** The process answers. */
  live(options?: CallOptions): APIPromise<models.Liveness> {
    return this.read("/healthz", options);
  }

  /** Whether Temporal, the database and a worker answer. Does not throw when they do not. */
  async ready(options: CallOptions = {}): Promise<models.Readiness> {
    try {
      return await this.read<models.Readiness>("/readyz", { maxRetries: 0, ...options });
    } catch (error) {
      const body = error instanceof DevoraError && error.status === 503 ? error.body : undefined;
      if (typeof body === "object" && body !== null && "checks" in body) return fromWire<models.Readiness>(body);
      throw error;
    }
  }
}

function agentPath(agentId: string): string {
  return `/v1/agents/${segment(agentId)}`;
}

function keyPath(keyId: string): string {
  return `/v1/auth/api-keys/${segment(keyId)}`;
}

function schedulePath(scheduleId: string): string {
  return `/v1/schedules/${segment(scheduleId)}`;
}

function webhookPath(webhookId: string): string {
  return `/v1/webhooks/${segment(webhookId)}`;
}
