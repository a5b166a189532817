import { APIConnectionError, type ServerError, unexpected } from "./errors.js";
import { timerDelay } from "./retries.js";

/** Bytes of an answer, or characters of one frame of a stream, beyond which it is an error. */
export const LARGEST = 2 ** 26;

export function tooLarge(what: string): ServerError {
  return unexpected(`${what} is larger than 64 MiB`);
}

/** One frame of an event stream. A comment, which only keeps the connection, has none of the fields. */
export interface Frame {
  event?: string;
  data?: string;
  id?: string;
}

/**
 * The frames of an event stream (`text/event-stream`), comments included.
 *
 * Each line is looked at once, however the bytes are cut into chunks: frames may be megabytes long.
 */
export async function* framesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  let frame: Frame = {};
  let size = 0;
  for await (const line of linesOf(chunks)) {
    size = line === "" ? 0 : size + line.length;
    if (size > LARGEST) throw tooLarge("a frame of the stream");
    if (line === "") {
      if (frame.data !== undefined) yield frame;
      frame = {};
    } else if (line.startsWith(":")) {
      yield {};
    } else {
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
      if (name === "data") frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
      else if (name === "event") frame.event = value;
      else if (name === "id") frame.id = value;
    }
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = []; // of a line whose end has not come
  let length = 0; // of the pieces
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      pieces.push(text.slice(start, end));
      yield pieces.join("").replace(/\r$/, "");
      pieces = [];
      length = 0;
      start = end + 1;
    }
    if (start < text.length) pieces.push(text.slice(start));
    length += text.length - start;
    if (length > LARGEST) throw tooLarge("a line of the stream");
  }
}

/** The bytes of a body. Throws when none come for `stall` milliseconds; ending the loop cancels the body. */
export async function* chunksOf(body: ReadableStream<Uint8Array>, stall: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await withinStall(reader.read().catch(broken), stall);
      if (done) return;
      yield value;
    }
  } finally {
    // Errors of a connection that is given up are of no interest.
    reader.cancel().catch(() => undefined);
  }
}

function broken(cause: unknown): never {
  throw new APIConnectionError(`the stream broke: ${String(cause)}`, { code: "connection_error", cause });
}

export function stallError(stall: number): APIConnectionError {
  return new APIConnectionError(`nothing came for ${stall} ms`, { code: "connection_error" });
}

/** The promise's value, unless it takes longer than `stall` milliseconds. */
export async function withinStall<T>(promise: Promise<T>, stall: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(stallError(stall)), timerDelay(stall));
  });
  try {
    return await Promise.race([promise, stalled]);
  } finally {
    clearTimeout(timer);
  }
}
