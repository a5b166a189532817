import { fromWire, isObject, toWire, wireOf } from "./casing.js";
import { APITimeoutError, DevoraError, JobCancelled, JobFailed, namingJob, unexpected } from "./errors.js";
import { eventsOf, hasEnded, jobPath, socketEventsOf, type StreamOptions } from "./events.js";
import type {
  AgentAccepted,
  AnswerRequest,
  AnswerResult,
  Cancelled,
  Controlled,
  EventPage,
  Finished,
  JobDetail,
  JobEvent,
  Output,
  Progress,
  QuestionList,
  Reason,
  Result,
  WorkflowAccepted,
} from "./models.js";
import { APIPromise } from "./promise.js";
import { clock, isAway, isRetried, pauseOf, sleep } from "./retries.js";
import { segment, type CallOptions, type Transport } from "./transport.js";

export interface WaitOptions {
  /** Milliseconds after which `APITimeoutError` is thrown; the job goes on. Default: no limit. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the job each time the server was asked: its `reason` says what it waits for. */
  onUpdate?: ((job: JobDetail) => void) | undefined;
}

export interface Decision {
  /** May be left out if only one step waits. */
  step?: string | null;
  note?: string;
}

export interface JobListeners {
  /** Each time the job is somewhere else, its end included. */
  progress: (update: Progress) => void;
  /** The job completed. */
  completed: (result: Result) => void;
  /** The job failed (`JobFailed`), was cancelled (`JobCancelled`), or cannot be followed (any other error). */
  error: (error: unknown) => void;
}

const LONGEST_POLL = 30_000;
const ANSWER_TIME = 15_000;
const FAULTS = 2;

/** A job on the server. It goes on whether or not anything here waits for it. */
export class Job {
  readonly id: string;
  /** The answer to its start, if this client started it. */
  readonly accepted: AgentAccepted | WorkflowAccepted | undefined;
  readonly #transport: Transport;
  readonly #listeners: { [Name in keyof JobListeners]: Set<JobListeners[Name]> } = {
    progress: new Set(),
    completed: new Set(),
    error: new Set(),
  };
  #following: AbortController | undefined;
  #end: { result: Result } | { error: unknown } | undefined;

  constructor(transport: Transport, id: string, accepted?: AgentAccepted | WorkflowAccepted) {
    this.#transport = transport;
    this.id = id;
    this.accepted = accepted;
  }

  /** Where the job is now, with everything known of it. */
  getStatus(options?: CallOptions): APIPromise<JobDetail> {
    return this.#transport.call<JobDetail>({ method: "GET", path: jobPath(this.id), options });
  }

  async isComplete(options?: CallOptions): Promise<boolean> {
    return hasEnded((await this.getStatus(options)).status);
  }

  /** Waits for the end. Throws `JobFailed`, `JobCancelled`, or `APITimeoutError`, after which the job goes on. */
  wait(options: WaitOptions = {}): Promise<Result> {
    return waitFor(this.#transport, this.id, options);
  }

  /** The result of a job that has ended. Throws like `wait`, and `DevoraError` with the code `not_ended`. */
  async getResult(options?: CallOptions): Promise<Result> {
    const job = await this.getStatus(options);
    if (!hasEnded(job.status)) {
      throw new DevoraError(`Job ${this.id} has not ended (${job.state}): wait() waits for it`, {
        code: "not_ended",
        details: { job_id: this.id, state: job.state },
      });
    }
    return resultOf(job);
  }

  /** The complete output, or what is left of a job that failed. */
  output(options?: CallOptions): APIPromise<Output> {
    return this.#transport.call<Output>({ method: "GET", path: `${jobPath(this.id)}/output`, options });
  }

  /** The events from the first one on, as they happen, up to the last. Goes on by itself after a broken connection. */
  stream(options: StreamOptions = {}): AsyncGenerator<JobEvent> {
    return eventsOf(this.#transport, this.id, options);
  }

  /** One page of events. */
  events(query: { after?: string; limit?: number } = {}, options?: CallOptions): APIPromise<EventPage> {
    return this.#transport.call<EventPage>({ method: "GET", path: `${jobPath(this.id)}/events`, query, options });
  }

  cancel(reason?: string | { reason?: string }, options?: CallOptions): APIPromise<Cancelled> {
    return this.#control<Cancelled>("cancel", named("reason", reason), options);
  }

  /** Starts nothing new; calls under way finish. */
  pause(note?: string | { note?: string }, options?: CallOptions): APIPromise<Controlled> {
    return this.#control<Controlled>("pause", named("note", note), options);
  }

  resume(note?: string | { note?: string }, options?: CallOptions): APIPromise<Controlled> {
    return this.#control<Controlled>("resume", named("note", note), options);
  }

  /** Lets a waiting step run. A text is the note. */
  approve(decision: string | Decision = {}, options?: CallOptions): APIPromise<Controlled> {
    return this.#control<Controlled>("approve", named("note", decision), options);
  }

  /** Refuses a waiting step, which then counts as failed. */
  reject(decision: string | Decision = {}, options?: CallOptions): APIPromise<Controlled> {
    return this.#control<Controlled>("reject", named("note", decision), options);
  }

  /** The questions of the job to people, oldest first. */
  questions(options?: CallOptions): APIPromise<QuestionList> {
    return this.#transport.call<QuestionList>({ method: "GET", path: `${jobPath(this.id)}/questions`, options });
  }

  /** Answers a question. The same answer again changes nothing, another one is a `ConflictError`. */
  answer(answer: AnswerRequest, options?: CallOptions): APIPromise<AnswerResult> {
    return this.#control<AnswerResult>("answers", answer, options);
  }

  /** Sends a signal that the job's workflow declares. */
  signal(name: string, input?: unknown, options?: CallOptions): APIPromise<Controlled> {
    return this.#control<Controlled>(`signals/${segment(name)}`, { input: input ?? null }, options);
  }

  /** Starts a job that finishes this one, which failed or was cancelled. Finished calls are not made again. */
  retry(options?: CallOptions): APIPromise<Job> {
    const call = { method: "POST", path: `${jobPath(this.id)}/retry`, body: {}, options };
    return this.#transport.call(call, (body) => jobOf(this.#transport, fromWire(body)));
  }

  /** Calls `listener` as the job goes on, over a WebSocket, or an event stream where there is none. */
  on<Name extends keyof JobListeners>(name: Name, listener: JobListeners[Name]): this {
    if (!(name in this.#listeners)) throw new TypeError(`unknown event ${JSON.stringify(name)}: expected progress, completed or error`);
    this.#listeners[name].add(listener);
    if (this.#end !== undefined) {
      const end = this.#end;
      queueMicrotask(() => this.#listeners[name].has(listener) && this.#notifyEnd(end, name));
    } else if (this.#following === undefined) {
      this.#following = new AbortController();
      void this.#follow(this.#following);
    }
    return this;
  }

  off<Name extends keyof JobListeners>(name: Name, listener: JobListeners[Name]): this {
    this.#listeners[name].delete(listener);
    if (Object.values(this.#listeners).every((listeners) => listeners.size === 0)) this.close();
    return this;
  }

  /** Stops following: no listener is called any more, and the connection is released. The job goes on. */
  close(): void {
    this.#following?.abort();
    this.#following = undefined;
    for (const listeners of Object.values(this.#listeners)) listeners.clear();
  }

  async #follow(following: AbortController): Promise<void> {
    const { signal } = following;
    let end: { result: Result } | { error: unknown };
    try {
      let last: JobEvent | undefined;
      let percent = 0;
      for await (const event of socketEventsOf(this.#transport, this.id, { signal })) {
        percent = event.progress ?? percent;
        if (isNews(event, last)) this.#notify("progress", progressOf(event, percent));
        last = event;
      }
      end = { result: await waitFor(this.#transport, this.id, { signal }) };
    } catch (error) {
      if (signal.aborted) return;
      end = { error };
    }
    this.#following = undefined;
    this.#end = end;
    this.#notifyEnd(end);
  }

  #notifyEnd(end: { result: Result } | { error: unknown }, only?: keyof JobListeners): void {
    const name = "result" in end ? "completed" : "error";
    if (only !== undefined && only !== name) return;
    if ("result" in end) return this.#notify("completed", end.result);
    if (this.#listeners.error.size === 0) this.#transport.log("warn", `no listener for the error of job ${this.id}: ${String(end.error)}`);
    this.#notify("error", end.error);
  }

  #notify<Name extends keyof JobListeners>(name: Name, argument: Parameters<JobListeners[Name]>[0]): void {
    for (const listener of [...this.#listeners[name]] as ((argument: unknown) => void)[]) {
      try {
        listener(argument);
      } catch (error) {
        // The listener's own fault must not end the stream of the others: it is reported like any uncaught error.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #control<T>(action: string, body: object, options: CallOptions | undefined): APIPromise<T> {
    return this.#transport.call<T>({ method: "POST", path: `${jobPath(this.id)}/${action}`, body: toWire(body), options });
  }
}

/** The body of a control: a text alone is its note, or its reason. */
function named(name: string, value: string | object | undefined): object {
  return typeof value === "object" && value !== null ? value : { [name]: value };
}

export function jobOf(transport: Transport, accepted: AgentAccepted | WorkflowAccepted): Job {
  return new Job(transport, accepted.jobId, accepted);
}

/** Polls until the job ends. Restarts of the server and broken connections are ridden out until the deadline. */
export async function waitFor(transport: Transport, jobId: string, { timeout, signal, onUpdate }: WaitOptions = {}): Promise<Result> {
  const deadline = timeout === undefined ? Infinity : clock() + timeout;
  let reason: Reason | null = null;
  let until = onUpdate === undefined ? "end" : "attention";
  for (let failures = 0, faults = 0; ; ) {
    const started = clock();
    const wait = Math.round(Math.max(0, Math.min(LONGEST_POLL, deadline - started)));
    const query = { wait: wait / 1000, until };
    // The answer may take as long as the poll, and the way there and back.
    const options = { signal, maxRetries: 0, timeout: wait + ANSWER_TIME };
    let pause = 0;
    try {
      const job = await transport.call<JobDetail>({ method: "GET", path: jobPath(jobId), query, options });
      if (typeof job.jobId !== "string" || typeof job.status !== "string") {
        throw unexpected("the answer has no job with its id and status: check the base URL", { body: job });
      }
      if (hasEnded(job.status)) return resultOf(job);
      reason = isObject(job.reason) ? job.reason : null;
      onUpdate?.(job);
      const early = clock() - started < wait / 2;
      if (onUpdate !== undefined) until = early && reason !== null ? "end" : "attention";
      failures = faults = 0;
      if (early) pause = pauseOf(0, transport.backoff); // answered early: no hot loop
    } catch (error) {
      signal?.throwIfAborted();
      failures += 1;
      // Another fault of the server is tried again as often as any call; one that only is away, until the deadline.
      const passing = error instanceof DevoraError && (isAway(error) || (isRetried(error) && (faults += 1) <= FAULTS));
      const asked = error instanceof DevoraError ? 1000 * (error.retryAfter ?? 0) : 0;
      if (!passing || (asked > 0 && clock() + asked >= deadline)) throw namingJob(error, jobId);
      pause = Math.max(pauseOf(failures - 1, transport.backoff), asked);
      transport.log("info", `waiting for ${jobId} goes on in ${Math.round(pause)} ms: ${error.message}`);
    }
    if (clock() + pause >= deadline) {
      const message = `Job ${jobId} has not ended before the deadline; it goes on${reason?.message ? ` (${reason.message})` : ""}`;
      throw new APITimeoutError(message, { code: "timeout", details: { job_id: jobId, ...(reason && { reason: wireOf(reason) ?? reason }) } });
    }
    if (pause > 0) await sleep(pause, signal);
  }
}

/** The result of an ended job. Throws `JobFailed` or `JobCancelled`. */
export function resultOf(job: JobDetail | Finished): Result {
  const requestId = (job as { requestId?: string }).requestId;
  const detail = "input" in job ? job : undefined;
  if (job.status === "cancelled") throw new JobCancelled(job.jobId, detail, { requestId });
  if (job.status === "failed" || job.output === null) throw new JobFailed(job.jobId, job.error, detail, { requestId });
  const output = job.output;
  if (!isObject(output)) throw unexpected("the answer has a completed job without its output: check the base URL", { body: job });
  Object.defineProperty(job, "deliverables", { get: () => output.deliverables, configurable: true });
  return job as Result;
}

function isNews(event: JobEvent, last: JobEvent | undefined): boolean {
  if (event.id === undefined) return false;
  return last === undefined || event.type === "job_progress" || event.state !== last.state || event.progress !== last.progress;
}

function progressOf(event: JobEvent, progress: number): Progress {
  return {
    jobId: event.jobId,
    progress,
    status: event.status,
    state: event.state ?? "",
    currentStep: event.currentStep,
    message: event.message ?? "",
    timestamp: event.timestamp,
  };
}
