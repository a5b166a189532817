import { fromWire, isObject, type JsonObject } from "./casing.js";
import { APIConnectionError, AuthenticationError, DevoraError, errorOfFrame, namingJob, unexpected } from "./errors.js";
import type { EventPage, JobDetail, JobEvent, JobStatus } from "./models.js";
import { type Backoff, pauseOf, sleep } from "./retries.js";
import { socketFactory, socketFrames, SocketClosed, type SocketFactory } from "./socket.js";
import { chunksOf, framesOf, withinStall } from "./sse.js";
import { isHeaderValue, segment, type Transport } from "./transport.js";

export interface StreamOptions {
  /** The id of the last event that you have, or `now`. Default: from the first event on. */
  after?: string | undefined;
  /** Also the text of running agents: events named `agent.delta` and `agent.reset`, without `id`. Default false. */
  deltas?: boolean | undefined;
  /** Ends the stream: the loop over it throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which the connection counts as dead. Default 45000. */
  stallTimeout?: number | undefined;
}

export const STALL = 45_000;
const PERMANENT = new Set([400, 401, 403, 404, 405, 410, 422]);
const REMEMBERED = 5000;
const SOCKET_TRIES = 2;

/** Connects once and yields the wire's events after `cursor`. `alive` is called when the connection has shown life. */
type Connect = (cursor: string | undefined, signal: AbortSignal, alive: () => void) => AsyncIterable<JsonObject>;

/**
 * The events of a job, each once and in order, up to the one that ends it. Connections that break are opened again
 * after the last event, for ever; a refusal (wrong key, unknown job) is thrown.
 */
export async function* eventsOf(transport: Transport, jobId: string, options: StreamOptions = {}): AsyncGenerator<JobEvent> {
  yield* resumed(transport, jobId, options, streamConnect(transport, jobId, options));
}

/** The same over a WebSocket, or over the event stream where WebSockets cannot be opened. */
export async function* socketEventsOf(transport: Transport, jobId: string, options: StreamOptions = {}): AsyncGenerator<JobEvent> {
  const open = transport.webSocket === undefined ? socketFactory() : transport.webSocket;
  const stream = streamConnect(transport, jobId, options);
  yield* resumed(transport, jobId, options, open ? socketConnect(transport, jobId, options, open, stream) : stream);
}

async function* resumed(transport: Transport, jobId: string, options: StreamOptions, connect: Connect): AsyncGenerator<JobEvent> {
  const backoff: Required<Backoff> = { initial: 100, max: 5000, ...transport.backoff };
  const recent = new RecentIds();
  let cursor = options.after;
  let failures = 0;
  for (;;) {
    const controller = new AbortController();
    const stop = () => controller.abort(options.signal?.reason);
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", stop, { once: true });
    let fresh = 0;
    let wait = 0; // milliseconds that the server asks for
    try {
      const alive = () => {
        failures = 0;
      };
      // `now` becomes the id of the newest event, so that a connection that breaks at once loses nothing.
      if (cursor === "now") {
        const newest = await newestOf(transport, jobId, options.signal);
        if (newest.ended) return;
        cursor = newest.id;
      }
      for await (const event of connect(cursor, controller.signal, alive)) {
        options.signal?.throwIfAborted(); // what was received already is not what a caller who left wants
        const id = typeof event["id"] === "string" ? event["id"] : undefined;
        if (id !== undefined) {
          if (recent.has(id)) continue;
          recent.add(id);
          if (isHeaderValue(id)) cursor = id; // another one could not be sent back
          fresh += 1;
        }
        yield fromWire<JobEvent>(event);
        options.signal?.throwIfAborted(); // further events may be here already
        if (isTerminal(event)) return;
      }
      // A server that stops ends its streams, too. Only a job's page of events says that nothing can follow.
      if (fresh === 0 && (await nothingFollows(transport, jobId, cursor, options.signal))) return;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (isPermanent(error)) throw namingJob(error, jobId);
      wait = 1000 * ((error instanceof DevoraError && error.retryAfter) || 0);
      transport.log("info", `the stream of ${jobId} broke and is opened again: ${String(error)}`);
    } finally {
      options.signal?.removeEventListener("abort", stop);
      controller.abort();
    }
    await sleep(Math.max(pauseOf(failures, backoff), wait), options.signal);
    failures += 1;
  }
}

function streamConnect(transport: Transport, jobId: string, options: StreamOptions): Connect {
  return async function* (cursor, signal, alive) {
    const query = { deltas: options.deltas ?? false, snapshot: false };
    const headers: Record<string, string> = cursor === undefined ? {} : { "Last-Event-ID": cursor };
    const call = { method: "GET", path: `${jobPath(jobId)}/events`, query, accept: "text/event-stream", options: { headers } };
    const stall = options.stallTimeout ?? STALL;
    const response = await withinStall(transport.open(call, signal), stall);
    if (response.body === null) throw unexpected("the stream has no body: check the base URL");
    for await (const frame of framesOf(chunksOf(response.body, stall))) {
      alive();
      if (frame.data === undefined || frame.event === "snapshot") continue;
      const data = parsedFrame(frame.data);
      if (frame.event === "stream_error") throw errorOfFrame(data);
      if (!isObject(data)) throw unexpected(`a frame of the stream is not a JSON object: ${frame.data.slice(0, 200)}`);
      yield data;
    }
  };
}

function socketConnect(
  transport: Transport,
  jobId: string,
  options: StreamOptions,
  open: SocketFactory,
  stream: Connect,
): Connect {
  let refused = 0; // attempts in a row that never got as far as a frame of the server
  return async function* (cursor, signal, alive) {
    if (refused >= SOCKET_TRIES) return yield* stream(cursor, signal, alive);
    refused += 1;
    const subscribe = { type: "subscribe", channel: "job", job_id: jobId, after: cursor ?? null, deltas: options.deltas ?? false };
    const frames = socketFrames(open, transport.url("/v1/ws").replace(/^http/, "ws"), signal, {
      stall: options.stallTimeout ?? STALL,
      ping: { type: "ping" },
      greet: async (send) => {
        send({ type: "auth", token: await transport.key() });
        send(subscribe);
      },
    });
    try {
      for await (const frame of frames) {
        refused = 0;
        alive();
        switch (frame["type"]) {
          case "error":
            throw errorOfFrame(frame);
          case "unsubscribed":
            return;
          case "auth_ok":
          case "subscribed":
          case "pong":
          case "job_update":
            break;
          default:
            yield wholeEvent(frame);
        }
      }
    } catch (error) {
      if (error instanceof SocketClosed && error.code === 4401) {
        throw new AuthenticationError("the API key is not valid any more", { code: "authentication_failed", status: 401 });
      }
      throw error;
    }
  };
}

/** A frame that is not JSON would be the same after another connection, so that it is an error at once. */
export function parsedFrame(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unexpected(`a frame of the stream is not JSON: ${text.slice(0, 200)}`, { cause });
  }
}

/** The event as in a stream: a socket's frame carries the output beside `data`. */
function wholeEvent(frame: JsonObject): JsonObject {
  if (!("output" in frame) || !isObject(frame["data"])) return frame;
  const { output, ...event } = frame;
  return { ...event, data: { ...frame["data"], output } };
}

async function nothingFollows(transport: Transport, jobId: string, cursor: string | undefined, signal: AbortSignal | undefined): Promise<boolean> {
  // Without a cursor a page that is empty may also be that of a job that has no event yet.
  const begun = cursor !== undefined || hasEnded(await statusOf(transport, jobId, signal));
  const page = await pageAfter(transport, jobId, cursor, signal);
  return begun && page.events.length === 0 && page.next === null;
}

/** The newest event of a job, undefined before the first; and whether it is the last for good. */
async function newestOf(transport: Transport, jobId: string, signal: AbortSignal | undefined): Promise<{ id: string | undefined; ended: boolean }> {
  for (let empty = false; ; ) {
    const { next } = await pageAfter(transport, jobId, "now", signal);
    if (next !== null || empty) return { id: next ?? undefined, ended: next === null };
    // Null says that nothing can follow, or that there is no event yet.
    const first = await pageAfter(transport, jobId, undefined, signal);
    if (first.events.length === 0) return { id: undefined, ended: false };
    empty = true;
  }
}

async function statusOf(transport: Transport, jobId: string, signal: AbortSignal | undefined): Promise<JobStatus> {
  const job = await transport.call<JobDetail>({ method: "GET", path: jobPath(jobId), options: { signal } });
  return job.status;
}

export function hasEnded(status: JobStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

function pageAfter(transport: Transport, jobId: string, after: string | undefined, signal: AbortSignal | undefined): Promise<EventPage> {
  return transport.call<EventPage>({ method: "GET", path: `${jobPath(jobId)}/events`, query: { after, limit: 1 }, options: { signal } });
}

function isTerminal(event: JsonObject): boolean {
  return event["type"] === "job_completed" || event["type"] === "job_failed";
}

export function isPermanent(error: unknown): boolean {
  if (error instanceof SocketClosed) return false;
  // The caller's own fault, such as of a function that gives the key, would come again.
  if (!(error instanceof DevoraError)) return true;
  if (error.shouldRetry === false) return true;
  if (error instanceof APIConnectionError) return false;
  // So would a call that cannot be sent, and an answer that is not one of the API; a proxy's page may be of an outage.
  return error.status === undefined || error.status < 400 || PERMANENT.has(error.status);
}

export function jobPath(jobId: string): string {
  return `/v1/jobs/${segment(jobId)}`;
}

/** The latest ids of events, against a server that sends one twice. */
class RecentIds {
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.add(id);
    if (this.#ids.size > REMEMBERED) this.#ids.delete(this.#ids.values().next().value as string);
  }
}
