/**
 * `devora webhooks listen`: posts the events of the account to a local address, signed like a webhook's deliveries.
 *
 * The server sends webhooks to public addresses only, so the events are read from the account's stream instead.
 */
import { createHmac, randomBytes } from "node:crypto";

import { signWebhook, wireOf, type AccountEvent } from "@devora/sdk";

import { readConfig, writeConfig } from "./config.js";
import { UsageError } from "./errors.js";
import { note, print, printJson } from "./output.js";
import type { Session } from "./session.js";

export interface ListenOptions {
  forwardTo: string;
  events?: string;
  secret?: string;
  after?: string;
}

const DEFAULT = ["job.completed", "job.failed"];
const EVENTS = [
  ...DEFAULT,
  "execution.completed",
  "execution.failed",
  "execution.cancelled",
  "chat.completed",
  "session.ended",
  "webhook.disabled",
];
const ANSWER_TIME = 15_000;

export async function listen(session: Session, options: ListenOptions): Promise<void> {
  const target = targetOf(options.forwardTo);
  const events = eventsOf(options.events);
  const secret = options.secret ?? keptSecret();
  let ready = false;
  const onOpen = () => {
    if (ready) return note("connected again; no event was missed");
    ready = true;
    note(`signing secret: ${secret}`);
    note(`ready: ${events.join(" and ")} of this account are forwarded to ${target} (interrupt to stop)`);
  };
  const stream = session.client().events.stream({ after: options.after, signal: session.signal, onOpen });
  for await (const event of stream) {
    if (events.includes(event.event)) await forward(session, event, target, secret);
  }
}

async function forward(session: Session, event: AccountEvent, target: string, secret: string): Promise<void> {
  const unsigned = wireOf(event) as Record<string, unknown>;
  const signature = `sha256=${createHmac("sha256", secret).update(JSON.stringify(unsigned)).digest("hex")}`;
  const body = JSON.stringify({ ...unsigned, signature });
  const signed = await signWebhook(body, secret, { id: `evt_${event.id}` });
  const outcome = await posted(target, body, { ...signed, "Content-Type": "application/json", "X-Devora-Event": event.event });
  if (session.json) printJson({ id: event.id, event: event.event, job_id: event.jobId, ...outcome });
  else print(`${event.event}  ${event.jobId ?? ""}  ->  ${outcome.status ?? outcome.error}`);
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
  const events = value === undefined ? DEFAULT : value.split(",").map((word) => word.trim());
  const unknown = events.find((event) => !EVENTS.includes(event));
  if (unknown !== undefined) throw new UsageError(`--events ${unknown}: expected ${EVENTS.join(",")}`);
  return events;
}
