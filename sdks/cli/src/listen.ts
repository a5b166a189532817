/**
 * `devora webhooks listen`: posts the ends of the account's jobs to a local address, signed like a webhook's deliveries.
 *
 * The server sends webhooks to public addresses only, so the jobs are read instead: those that are open when it starts,
 * and every job that is created later.
 */
import { createHmac, randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { NotFoundError, signWebhook, wireOf, type JobDetail } from "@devora/sdk";

import { readConfig, writeConfig } from "./config.js";
import { EXIT, explained, UsageError } from "./errors.js";
import { note, print, printJson } from "./output.js";
import type { Session } from "./session.js";

export interface ListenOptions {
  forwardTo: string;
  events?: string;
  secret?: string;
  interval: number;
}

const EVENTS = ["job.completed", "job.failed"];
const ANSWER_TIME = 15_000;
const MARGIN = 60_000; // a list may show a job later than one that was created after it

export async function listen(session: Session, options: ListenOptions): Promise<void> {
  const target = targetOf(options.forwardTo);
  const events = eventsOf(options.events);
  const secret = options.secret ?? keptSecret();
  const { jobs } = session.client();
  const open = new Set<string>();
  const known = new Set<string>();
  for (const status of ["queued", "running"]) {
    for await (const job of jobs.list({ status, limit: 100 }, session.call)) {
      open.add(job.jobId);
      known.add(job.jobId);
    }
  }
  // Jobs that have ended already are none of the news; the newest one names the server's time.
  let newest = "";
  for (const job of (await jobs.list({ limit: 100 }, session.call)).items) {
    known.add(job.jobId);
    if (job.createdAt > newest) newest = job.createdAt;
  }
  note(`signing secret: ${secret}`);
  note(`ready: ${events.join(" and ")} of this account are forwarded to ${target} (interrupt to stop)`);
  for (;;) {
    try {
      const since = newest && new Date(Date.parse(newest) - MARGIN).toISOString();
      for await (const job of jobs.list({ limit: 100, ...(since ? { since } : {}) }, session.call)) {
        if (!known.has(job.jobId)) open.add(job.jobId);
        known.add(job.jobId);
        if (job.createdAt > newest) newest = job.createdAt;
      }
      for (const jobId of open) {
        const job = await detailOf(session, jobId);
        if (job !== undefined && !hasEnded(job.status)) continue;
        open.delete(jobId);
        if (job !== undefined) await forward(session, job, target, secret, events);
      }
    } catch (error) {
      session.signal.throwIfAborted();
      if (explained(error).code !== EXIT.unreachable) throw error;
      note(`devora: ${(error as Error).message}; it is tried again`);
    }
    await pause(1000 * options.interval, undefined, { signal: session.signal });
  }
}

async function detailOf(session: Session, jobId: string): Promise<JobDetail | undefined> {
  try {
    return await session.client().jobs.get(jobId, session.call);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined; // deleted meanwhile
    throw error;
  }
}

async function forward(session: Session, job: JobDetail, target: string, secret: string, events: string[]): Promise<void> {
  const event = job.status === "completed" ? "job.completed" : "job.failed";
  if (!events.includes(event)) return;
  const wire = wireOf(job) as Record<string, unknown>;
  const data = { status: wire["status"], output: wire["output"], metrics: wire["metrics"], error: wire["error"] };
  const unsigned = { event, job_id: job.jobId, timestamp: job.completedAt ?? job.cancelledAt ?? new Date().toISOString(), data };
  const signature = `sha256=${createHmac("sha256", secret).update(JSON.stringify(unsigned)).digest("hex")}`;
  const body = JSON.stringify({ ...unsigned, signature });
  const headers = { ...(await signWebhook(body, secret, { id: `msg_${job.jobId}` })), "Content-Type": "application/json", "X-Devora-Event": event };
  const outcome = await posted(target, body, headers);
  if (session.json) printJson({ event, job_id: job.jobId, ...outcome });
  else print(`${event}  ${job.jobId}  ->  ${outcome.status ?? outcome.error}`);
}

async function posted(target: string, body: string, headers: Record<string, string>): Promise<{ status: number | null; error: string | null }> {
  try {
    const response = await fetch(target, { method: "POST", body, headers, redirect: "manual", signal: AbortSignal.timeout(ANSWER_TIME) });
    await response.arrayBuffer();
    return { status: response.status, error: null };
  } catch (error) {
    const { cause, message } = error as Error & { cause?: { code?: string } };
    return { status: null, error: cause?.code ?? message };
  }
}

/** The same secret at each start, so that the receiver's settings stay valid. */
function keptSecret(): string {
  const config = readConfig();
  const secret = config["listen-secret"] ?? `whsec_${randomBytes(32).toString("base64")}`;
  if (config["listen-secret"] === undefined) writeConfig({ ...config, "listen-secret": secret });
  return secret;
}

function targetOf(value: string): string {
  const text = /^\d+$/.test(value) ? `http://127.0.0.1:${value}` : /^https?:\/\//.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) throw new UsageError(`invalid --forward-to ${JSON.stringify(value)}: expected something like http://localhost:3000/hook`);
  return text;
}

function eventsOf(value: string | undefined): string[] {
  const events = value === undefined ? EVENTS : value.split(",").map((word) => word.trim());
  const unknown = events.find((event) => !EVENTS.includes(event));
  if (unknown !== undefined) throw new UsageError(`--events ${unknown}: expected ${EVENTS.join(",")}`);
  return events;
}

function hasEnded(status: string): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}
