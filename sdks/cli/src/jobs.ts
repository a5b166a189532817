import { writeFileSync } from "node:fs";

import { DevoraError, wireOf, type DevoraClient, type Job, type JobConfig, type JobDetail, type JobEvent, type Reason, type Result } from "@devora/sdk";
import type { Command } from "commander";

import { EXIT, UsageError } from "./errors.js";
import { readInput } from "./input.js";
import { note, plain, print, printJson, ProgressBar, table } from "./output.js";
import type { Session } from "./session.js";

export interface StartOptions {
  input?: string;
  output?: string;
  watch?: boolean;
  async?: boolean;
  model?: string;
  temperature?: number;
  maxTokens?: number;
  webhookUrl?: string;
  label?: string[];
  idempotencyKey?: string;
}

export function added(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** The options that starting an agent and starting a workflow have in common. */
export function withStartOptions(command: Command): Command {
  return command
    .option("--input <json|file|->", "the input: inline JSON, the path of a JSON file, or - for standard input", "{}")
    .option("--output <file>", "write the complete output to this file, as JSON")
    .option("--watch", "follow progress on standard error")
    .option("--async", "start the job, print its id, and do not wait")
    .option("--model <provider:model>", "for every agent of the job")
    .option("--temperature <number>", "0 to 2", numberOf)
    .option("--max-tokens <number>", "the most tokens of one answer", numberOf)
    .option("--webhook-url <url>", "notified when the job ends")
    .option("--label <name:value>", "your own note on the job; may be repeated", added)
    .option("--idempotency-key <key>", "the same key and input start one job, however often the command runs");
}

export type Start = (client: DevoraClient, request: StartRequest, options: { idempotencyKey?: string }) => Promise<Job>;

interface StartRequest {
  input: Record<string, unknown>;
  config: JobConfig;
  webhookUrl?: string;
  labels: Record<string, string>;
  async: true;
}

/** Starts a job and, unless it is asynchronous, waits for its end and prints what it produced. */
export async function startJob(session: Session, options: StartOptions, start: Start): Promise<void> {
  if (options.async && (options.watch || options.output)) throw new UsageError("--async does not wait: leave out --watch and --output");
  const { model, temperature, maxTokens, webhookUrl, idempotencyKey } = options;
  const input = readInput(options.input ?? "{}");
  const config: JobConfig = {
    ...(model === undefined ? {} : { model }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
  const request: StartRequest = { input, config, labels: labelsOf(options.label), async: true, ...(webhookUrl === undefined ? {} : { webhookUrl }) };
  const job = await start(session.client(), request, idempotencyKey === undefined ? {} : { idempotencyKey });
  if (options.async) {
    if (session.json) printJson(wireOf(job.accepted as object));
    else print(job.id);
    return;
  }
  session.onInterrupt(`job ${job.id} goes on: devora jobs watch ${job.id}`);
  if (options.watch) await follow(session, job, false);
  const result = await job.wait({ signal: session.signal, onUpdate: attention() });
  if (options.output !== undefined) writeOutput(options.output, (wireOf(result) as { output: unknown }).output, job.id);
  printResult(session, result, options.output);
}

function labelsOf(texts: string[] = []): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const colon = text.indexOf(":");
      if (colon < 1) throw new UsageError(`--label ${text}: expected NAME:VALUE`);
      return [text.slice(0, colon), text.slice(colon + 1)];
    }),
  );
}

/** Says once of each wait for a person what the person can do. */
function attention(): (job: JobDetail) => void {
  let last = "";
  return ({ jobId, reason }) => {
    const sentence = reason === null || reason === undefined ? "" : remedy(jobId, reason);
    if (sentence !== "" && sentence !== last) note(sentence);
    last = sentence;
  };
}

function remedy(jobId: string, reason: Reason): string {
  if (reason.code === "waiting_for_approval") return `waits for approval: devora jobs approve ${jobId} (${reason.message})`;
  if (reason.code === "waiting_for_input") return `waits for an answer: devora jobs questions ${jobId}, then devora jobs answer ${jobId} --values JSON (${reason.message})`;
  return "";
}

/** Writes an output as JSON. The job is done, whatever becomes of the file. */
function writeOutput(path: string, output: unknown, jobId: string): void {
  try {
    writeFileSync(path, `${JSON.stringify(output, null, 2)}\n`);
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${(error as Error).message}; the job is done: devora jobs output ${jobId}`);
  }
}

/** Follows a job to its end; throws what became of it if that is a failure. */
export async function watchJob(session: Session, jobId: string): Promise<void> {
  const job = session.client().jobs.of(jobId);
  session.onInterrupt(`job ${jobId} goes on`);
  const last = await follow(session, job, session.json);
  // Why a job failed, the job says.
  if (last?.type !== "job_completed") await job.wait({ signal: session.signal });
  if (!session.json) note(`job ${jobId} completed: devora jobs show ${jobId}`);
}

async function follow(session: Session, job: Job, eventsAsJson: boolean): Promise<JobEvent | undefined> {
  const bar = new ProgressBar();
  let last: JobEvent | undefined;
  try {
    for await (const event of job.stream({ signal: session.signal })) {
      last = event;
      if (eventsAsJson) print(JSON.stringify(wireOf(event)));
      else bar.update(event);
    }
  } finally {
    bar.clear();
  }
  return last;
}

function printResult(session: Session, result: Result, file: string | undefined): void {
  if (session.json) return printJson(wireOf(result));
  if (file === undefined) print(textOf(result.output));
  // What a server leaves out does not make a completed job a failure.
  const { totalTokens = 0, cost }: Partial<Result["metrics"]> = result.metrics ?? {};
  const files = result.deliverables?.length ?? 0;
  const price = typeof cost === "number" ? `, $${cost.toFixed(4)}` : "";
  note(`job ${result.jobId} completed: ${totalTokens} tokens${price}, ${files} ${files === 1 ? "file" : "files"}${file === undefined ? "" : `, written to ${file}`}`);
}

export async function listJobs(
  session: Session,
  options: { status?: string; since?: string; agent?: string; workflow?: string; label?: string[]; needsAttention?: boolean; limit: number },
): Promise<void> {
  const query = {
    limit: Math.min(options.limit, 100),
    ...(options.status === undefined ? {} : { status: options.status }),
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.agent === undefined ? {} : { agentId: options.agent }),
    ...(options.workflow === undefined ? {} : { workflowId: options.workflow }),
    label: options.label ?? [],
    ...(options.needsAttention ? { needsAttention: true } : {}),
  };
  const jobs = [];
  for await (const job of session.client().jobs.list(query, session.call)) {
    if (jobs.push(job) >= options.limit) break;
  }
  if (session.json) return printJson(jobs.map(wireOf));
  const rows = jobs.map((job) => [job.jobId, job.agentId ?? job.workflowId, job.status, percentOf(job), job.reason?.code, job.createdAt]);
  print(table(["JOB", "RUNS", "STATUS", "PROGRESS", "REASON", "CREATED"], rows));
}

function percentOf(job: { progress: number | null }): string | null {
  return job.progress === null ? null : `${job.progress}%`;
}

export async function showJob(session: Session, jobId: string): Promise<void> {
  const job = await session.client().jobs.get(jobId, session.call);
  if (session.json) return printJson(wireOf(job));
  print(described(job));
}

function described(job: JobDetail): string {
  const facts: [string, string | number | null | undefined][] = [
    ["job", job.jobId],
    [job.agentId === undefined ? "workflow" : "agent", job.agentId ?? job.workflowId],
    ["state", `${job.state} (${job.status}), ${percentOf(job) ?? `${job.callsDone} of ${job.callsKnown} known calls`}`],
    ["reason", job.reason && `${job.reason.code}: ${job.reason.message}`],
    ...job.questions.filter((each) => each.status === "open").map((each): [string, string] => ["question", `${each.id}: ${each.message}`]),
    ["children", job.children.join(" ") || null],
    ["error", job.error && `${job.error.type}: ${job.error.message}`],
    ["created", job.createdAt],
    ["ended", job.completedAt ?? job.cancelledAt],
    ["tokens", job.metrics.totalTokens],
    ["cost", job.metrics.cost === null ? null : `$${job.metrics.cost.toFixed(4)}`],
  ];
  const lines = facts.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => `${name.padEnd(9)}${plain(String(value))}`);
  const steps = job.steps.map((call) => [call.step, call.agent, call.status, call.attempts.length, call.tokens, call.error?.message]);
  return [...lines, "", table(["STEP", "AGENT", "STATUS", "ATTEMPTS", "TOKENS", "ERROR"], steps)].join("\n");
}

export async function listQuestions(session: Session, jobId: string): Promise<void> {
  const list = await session.client().jobs.questions(jobId, session.call);
  if (session.json) return printJson(wireOf(list));
  const rows = list.questions.map((each) => [each.id, each.kind, each.status, each.deadline, each.message, JSON.stringify(each.inputSchema)]);
  print(table(["QUESTION", "KIND", "STATUS", "DEADLINE", "MESSAGE", "FORM"], rows));
}

/** The id of the one open question of a job. */
export async function openQuestion(session: Session, jobId: string): Promise<string> {
  const { questions } = await session.client().jobs.questions(jobId, session.call);
  const open = questions.filter((each) => each.status === "open");
  const [only, second] = open;
  if (only === undefined) throw new UsageError(`job ${jobId} has no open question: devora jobs show ${jobId}`);
  if (second !== undefined) throw new UsageError(`job ${jobId} has several open questions: give --step ${open.map((each) => each.id).join(" or ")}`);
  return only.id;
}

export async function printOutput(session: Session, jobId: string, file: string | undefined): Promise<void> {
  const output = await session.client().jobs.output(jobId, session.call);
  if (file !== undefined) writeOutput(file, wireOf(output), jobId);
  else if (session.json) printJson(wireOf(output));
  else print(textOf(output));
}

function textOf(output: { output: string }): string {
  if (typeof output.output !== "string") throw new TypeError("the output has no text");
  return output.output;
}

/** `cancel`, `approve`, … of several jobs: each is tried, and one that is refused fails the command. */
export async function controlJobs(session: Session, jobIds: string[], done: string, control: (job: Job) => PromiseLike<object>): Promise<number> {
  const client = session.client();
  let code: number = EXIT.done;
  for (const jobId of jobIds) {
    try {
      const outcome = await control(client.jobs.of(jobId));
      if (session.json) printJson(wireOf(outcome));
      else print(`${jobId} ${(outcome as { done?: boolean }).done === false ? "requested, not yet in force" : done}`);
    } catch (error) {
      if (!(error instanceof DevoraError) || error.status === undefined || jobIds.length === 1) throw error;
      note(`${jobId}: ${error.message}`);
      code = EXIT.usage;
    }
  }
  return code;
}


export function positive(text: string): number {
  const value = numberOf(text);
  if (value <= 0) throw new UsageError(`${JSON.stringify(text)} is not a number above 0`);
  return value;
}

export function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new UsageError(`${JSON.stringify(text)} is not a number`);
  return value;
}
