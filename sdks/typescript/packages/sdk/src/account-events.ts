import { fromWire, isObject, type JsonObject } from "./casing.js";
import { errorOfFrame, unexpected } from "./errors.js";
import { isPermanent, parsedFrame, STALL } from "./events.js";
import type { WebhookEvent } from "./models.js";
import { type Backoff, pauseOf, sleep } from "./retries.js";
import { chunksOf, framesOf, withinStall } from "./sse.js";
import { isHeaderValue, type Transport } from "./transport.js";

/** An event of the account, as a webhook receives it. `id` is the cursor after it. */
export interface AccountEvent extends WebhookEvent {
  id: string;
}

export interface AccountStreamOptions {
  /** The id of the last event that you have, or `0` for the oldest stored event. Default: new events. */
  after?: string | undefined;
  /** Ends the stream: the loop over it throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which the connection counts as dead. Default 45000. */
  stallTimeout?: number | undefined;
  /** Called with the cursor of each connection that is open: events after it are not missed. */
  onOpen?: ((cursor: string) => void) | undefined;
}

/**
 * The events of the caller's account, each once and in order. It does not end: connections that break are opened again
 * after the last event, and a refusal (wrong key, unknown cursor) is thrown.
 */
export async function* accountEventsOf(transport: Transport, options: AccountStreamOptions = {}): AsyncGenerator<AccountEvent> {
  const backoff: Required<Backoff> = { initial: 100, max: 5000, ...transport.backoff };
  let cursor = options.after;
  for (let failures = 0; ; failures += 1) {
    const controller = new AbortController();
    const stop = () => controller.abort(options.signal?.reason);
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", stop, { once: true });
    let wait = 0; // milliseconds that the server asks for
    try {
      for await (const { event, id, data } of connected(transport, cursor, options, controller.signal)) {
        options.signal?.throwIfAborted();
        failures = 0;
        if (isHeaderValue(id)) cursor = id; // another one could not be sent back
        if (event === "stream_started") options.onOpen?.(id);
        else yield eventOf(data, id);
        options.signal?.throwIfAborted();
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (isPermanent(error)) throw error;
      wait = 1000 * ((isObject(error) && typeof error["retryAfter"] === "number" && error["retryAfter"]) || 0);
      transport.log("info", `the stream of the account broke and is opened again: ${String(error)}`);
    } finally {
      options.signal?.removeEventListener("abort", stop);
      controller.abort();
    }
    await sleep(Math.max(pauseOf(failures, backoff), wait), options.signal);
  }
}

interface Received {
  event: string;
  id: string;
  data: JsonObject;
}

async function* connected(
  transport: Transport,
  cursor: string | undefined,
  options: AccountStreamOptions,
  signal: AbortSignal,
): AsyncGenerator<Received> {
  const headers: Record<string, string> = cursor === undefined ? {} : { "Last-Event-ID": cursor };
  const call = { method: "GET", path: "/v1/events", accept: "text/event-stream", options: { headers } };
  const stall = options.stallTimeout ?? STALL;
  const response = await withinStall(transport.open(call, signal), stall);
  if (response.body === null) throw unexpected("the stream has no body: check the base URL");
  for await (const frame of framesOf(chunksOf(response.body, stall))) {
    if (frame.data === undefined) continue;
    const data = parsedFrame(frame.data);
    if (frame.event === "stream_error") throw errorOfFrame(data);
    if (frame.event !== undefined && frame.id !== undefined && isObject(data)) yield { event: frame.event, id: frame.id, data };
  }
}

function eventOf(wire: JsonObject, id: string): AccountEvent {
  const event = fromWire<WebhookEvent>(wire);
  return Object.assign(event, { data: event.data ?? {}, id });
}
