import { isObject } from "./casing.js";
import { APIConnectionError, unexpected } from "./errors.js";
import { openNodeSocket } from "./node-socket.js";
import { clock } from "./retries.js";
import { stallError } from "./sse.js";

/** What this package needs of a WebSocket; the global `WebSocket` of browsers, Deno and Node 22 has it. */
export interface Socket {
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: { data: unknown }) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  onclose: ((event: { code: number; reason: string }) => unknown) | null;
  send(text: string): void;
  close(code?: number): void;
}

export type SocketFactory = (url: string) => Socket;

/** How this runtime opens WebSockets; undefined where it cannot. Node before 22 has no global `WebSocket`. */
export function socketFactory(): SocketFactory | undefined {
  if (typeof globalThis.WebSocket === "function") return (url) => new WebSocket(url) as unknown as Socket;
  return openNodeSocket();
}

function objectOr(text: string): Record<string, unknown> | undefined {
  try {
    const frame: unknown = JSON.parse(text);
    return isObject(frame) ? frame : undefined;
  } catch {
    return undefined;
  }
}

export class SocketClosed extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(`the socket was closed (${code}${reason ? ` ${reason}` : ""})`);
    this.name = "SocketClosed";
    this.code = code;
  }
}

/**
 * The JSON frames of a socket, in order. `send` writes one.
 *
 * `quiet` is called each `ping` milliseconds without a frame: a ping then keeps the connection, and shows a dead one.
 */
export async function* socketFrames(
  open: SocketFactory,
  url: string,
  signal: AbortSignal,
  { stall, greet, ping }: { stall: number; greet: (send: (frame: object) => void) => void | Promise<void>; ping: object },
): AsyncGenerator<Record<string, unknown>> {
  signal.throwIfAborted();
  const waiting: Record<string, unknown>[] = [];
  let failure: unknown;
  let wake: () => void = () => undefined;
  const fail = (error: unknown) => {
    failure ??= error;
    wake();
  };
  const unopened = (cause?: unknown) =>
    new APIConnectionError(`no WebSocket connection to ${new URL(url).origin}`, { code: "connection_error", cause });
  let socket: Socket;
  try {
    socket = open(url);
  } catch (cause) {
    throw unopened(cause);
  }
  const send = (frame: object) => {
    try {
      socket.send(JSON.stringify(frame));
    } catch (cause) {
      throw unopened(cause); // it is not open any more, or not yet
    }
  };
  let heard = clock();
  socket.onopen = () => {
    heard = clock();
    Promise.resolve()
      .then(() => greet(send))
      .catch(fail);
  };
  socket.onmessage = ({ data }) => {
    heard = clock();
    const frame = objectOr(String(data));
    if (frame === undefined) fail(unexpected(`a frame of the socket is not a JSON object: ${String(data).slice(0, 200)}`));
    else waiting.push(frame);
    wake();
  };
  socket.onerror = () => fail(unopened());
  socket.onclose = ({ code, reason }) => fail(new SocketClosed(code, reason));
  const stop = () => fail(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const watch = setInterval(() => {
    if (clock() - heard > stall) return fail(stallError(stall));
    try {
      if (clock() - heard > stall / 3) send(ping);
    } catch (error) {
      fail(error);
    }
  }, Math.max(5, stall / 3));
  try {
    for (;;) {
      const frame = waiting.shift();
      if (frame !== undefined) yield frame;
      else if (failure !== undefined) throw failure;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    clearInterval(watch);
    signal.removeEventListener("abort", stop);
    socket.onmessage = socket.onerror = socket.onclose = socket.onopen = null;
    socket.close();
  }
}
