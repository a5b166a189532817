/**
 * A WebSocket client (RFC 6455) over `node:http`, for Node versions without a global `WebSocket`.
 *
 * It sends and receives text frames, answers pings, and knows nothing of extensions. The modules come from
 * `process.getBuiltinModule`, so that bundlers for browsers see no import.
 */
import type { Socket, SocketFactory } from "./socket.js";
import { LARGEST } from "./sse.js";

interface Duplex {
  on(event: "data", listener: (chunk: Uint8Array) => void): void;
  on(event: "close" | "error", listener: () => void): void;
  write(bytes: Uint8Array): void;
  end(): void;
  destroy(): void;
  setNoDelay?(on: boolean): void;
}

interface Request {
  on(event: "upgrade", listener: (response: unknown, duplex: Duplex, head: Uint8Array) => void): Request;
  on(event: "response", listener: (response: { statusCode: number; resume(): void }) => void): Request;
  on(event: "error", listener: (error: Error) => void): Request;
  end(): void;
  destroy(): void;
}

interface Http {
  request(url: string, options: { headers: Record<string, string> }): Request;
}

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const ABNORMAL = 1006;
const FRAGMENT = 64; // bytes that the smallest fragment takes in memory

export function openNodeSocket(): SocketFactory | undefined {
  const host = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  const builtin = host.process?.getBuiltinModule;
  if (builtin === undefined) return undefined;
  return (url) => new NodeSocket(url, builtin(url.startsWith("wss:") ? "node:https" : "node:http") as Http);
}

class NodeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onerror: Socket["onerror"] = null;
  onclose: Socket["onclose"] = null;
  readonly #request: Request;
  #duplex: Duplex | undefined;
  #chunks: Uint8Array[] = []; // received, and no whole frame yet
  #received = 0; // bytes of the chunks
  #needed = 2; // bytes until the next look can find more
  #fragments: Uint8Array[] = [];
  #collected = 0; // bytes of the fragments
  #code = ABNORMAL;
  #reason = "";
  #closed = false;

  constructor(url: string, http: Http) {
    const nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": nonce };
    this.#request = http
      .request(url.replace(/^ws/, "http"), { headers })
      .on("upgrade", (_, duplex, head) => this.#opened(duplex, head))
      .on("response", (response) => {
        response.resume();
        this.#failed();
      })
      .on("error", () => this.#failed());
    this.#request.end();
  }

  send(text: string): void {
    if (this.#duplex === undefined) throw new Error("the socket is not open");
    this.#write(TEXT, new TextEncoder().encode(text));
  }

  close(code = 1000): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#duplex === undefined) return this.#request.destroy();
    this.#write(CLOSE, new Uint8Array([code >> 8, code & 255]));
    this.#duplex.end();
    this.#duplex.destroy();
  }

  #opened(duplex: Duplex, head: Uint8Array): void {
    if (this.#closed) return duplex.destroy();
    this.#duplex = duplex;
    duplex.setNoDelay?.(true);
    duplex.on("data", (chunk) => this.#read(chunk));
    duplex.on("error", () => this.#ended());
    duplex.on("close", () => this.#ended());
    this.onopen?.(undefined as never);
    this.#read(head);
  }

  #failed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#request.destroy();
    this.onerror?.(undefined as never);
    this.onclose?.({ code: ABNORMAL, reason: "" });
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.onclose?.({ code: this.#code, reason: this.#reason });
  }

  #read(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    if (this.#received < this.#needed) return; // each byte is copied once, however a frame is cut
    const bytes = new Uint8Array(this.#received);
    let end = 0;
    for (const each of this.#chunks) {
      bytes.set(each, end);
      end += each.length;
    }
    const view = new DataView(bytes.buffer);
    let at = 0;
    this.#needed = 2;
    while (bytes.length - at >= 2) {
      const first = view.getUint8(at);
      let length = view.getUint8(at + 1) & 127;
      let start = at + 2;
      if (length === 126) {
        if (bytes.length < at + (this.#needed = 4)) break;
        this.#needed = 2;
        length = view.getUint16(at + 2);
        start = at + 4;
      } else if (length === 127) {
        if (bytes.length < at + (this.#needed = 10)) break;
        this.#needed = 2;
        length = Number(view.getBigUint64(at + 2));
        start = at + 10;
      }
      if (length + this.#collected > LARGEST) return this.#refused();
      if (bytes.length < start + length) {
        this.#needed = start + length - at;
        break;
      }
      this.#frame(first & 15, (first & 128) !== 0, bytes.subarray(start, start + length));
      at = start + length;
    }
    this.#chunks = at < bytes.length ? [bytes.slice(at)] : [];
    this.#received = bytes.length - at;
  }

  /** Ends a connection with a message that no memory should hold. */
  #refused(): void {
    this.#code = 1009;
    this.#reason = "the message is larger than 64 MiB";
    this.#chunks = [];
    this.#fragments = [];
    this.#duplex?.destroy();
    this.#ended();
  }

  #frame(opcode: number, last: boolean, payload: Uint8Array): void {
    if (opcode === PING) return this.#write(PONG, payload);
    if (opcode === PONG) return;
    if (opcode === CLOSE) {
      if (payload.length >= 2) this.#code = ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
      this.#reason = new TextDecoder().decode(payload.subarray(2));
      this.#write(CLOSE, payload);
      this.#duplex?.end();
      return this.#ended();
    }
    this.#fragments.push(payload.slice());
    this.#collected += payload.length + FRAGMENT;
    if (!last) return;
    const decoder = new TextDecoder();
    const text = this.#fragments.map((fragment) => decoder.decode(fragment, { stream: true })).join("") + decoder.decode();
    this.#fragments = [];
    this.#collected = 0;
    this.onmessage?.({ data: text });
  }

  #write(opcode: number, payload: Uint8Array): void {
    const extended = payload.length < 126 ? 0 : payload.length < 65536 ? 2 : 8;
    const frame = new Uint8Array(2 + extended + 4 + payload.length);
    const view = new DataView(frame.buffer);
    view.setUint8(0, 128 | opcode);
    view.setUint8(1, 128 | (extended === 0 ? payload.length : extended === 2 ? 126 : 127));
    if (extended === 2) view.setUint16(2, payload.length);
    if (extended === 8) view.setBigUint64(2, BigInt(payload.length));
    const mask = crypto.getRandomValues(new Uint8Array(4)); // RFC 6455 asks clients to mask
    const start = 2 + extended + 4;
    frame.set(mask, start - 4);
    for (let index = 0; index < payload.length; index += 1) frame[start + index] = (payload[index] ?? 0) ^ (mask[index & 3] ?? 0);
    this.#duplex?.write(frame);
  }
}
