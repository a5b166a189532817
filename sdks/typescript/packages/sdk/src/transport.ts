import { APIConnectionError, APITimeoutError, DevoraError, errorOf, InvalidRequestError, jobIdOf, unexpected } from "./errors.js";
import { APIPromise, type Answer } from "./promise.js";
import { type Backoff, clock, isAway, isRetried, pauseOf, retryAfterOf, shouldRetryOf, sleep, systemCode, timerDelay, wasSent } from "./retries.js";
import { fromWire, isObject } from "./casing.js";
import { tooLarge, LARGEST } from "./sse.js";
import { VERSION } from "./version.js";
import type { SocketFactory } from "./socket.js";

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

export interface Retry {
  method: string;
  path: string;
  /** 1 for the first retry. */
  retry: number;
  /** Milliseconds until it is sent. */
  delay: number;
  error: DevoraError;
}

export interface TransportOptions {
  /** The key, or a function that returns the current one (for keys that live a short time). Default: `DEVORA_API_KEY`. */
  apiKey?: string | (() => string | Promise<string>) | undefined;
  /** With or without `/v1`. Default: `DEVORA_BASE_URL`, else the hosted API. */
  baseUrl?: string | undefined;
  /** Milliseconds that a call may take, all its attempts together. Default 60000. */
  timeout?: number | undefined;
  /** Retries after the first attempt. Default 2. */
  maxRetries?: number | undefined;
  /** Pauses between attempts. */
  backoff?: Backoff | undefined;
  /** Another `fetch`: a proxy, a test, a runtime without one. */
  fetch?: typeof fetch | undefined;
  /** Another way to open WebSockets; `false` uses event streams over HTTP instead. */
  webSocket?: SocketFactory | false | undefined;
  /** Sent with every request. */
  headers?: Record<string, string> | undefined;
  /** Where `DEVORA_LOG=debug|info` writes. Default: standard error, in browsers the console. */
  logger?: Logger | undefined;
  logLevel?: "debug" | "info" | "warn" | "off" | undefined;
  /** Called before each retry. */
  onRetry?: ((retry: Retry) => void) | undefined;
  /** The first words of the `User-Agent`. */
  product?: string | undefined;
}

/** Options of one call. */
export interface CallOptions {
  /** Milliseconds for the call with all its attempts. */
  timeout?: number | undefined;
  maxRetries?: number | undefined;
  /** Cancels the call: its promise is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
  headers?: Record<string, string> | undefined;
  /** Of POST requests. Two calls with the same key and body have one effect. Default: a random key for each call. */
  idempotencyKey?: string | undefined;
}

export interface Call {
  method: string;
  path: string;
  query?: object | undefined;
  /** The JSON body, or a function that makes it for each attempt (0 is the first). */
  body?: unknown;
  options?: CallOptions | undefined;
  accept?: string | undefined;
  /** Without a key: a sign-in. */
  anonymous?: boolean | undefined;
  /** The call waits for a job: once an answer was lost, it is tried again until the deadline while the server is away. */
  persistent?: boolean | undefined;
  /** Milliseconds that one attempt may take, if the whole call may take longer. */
  attemptTimeout?: number | undefined;
  /** What a good answer is; another one is an error. Default: a JSON object. */
  result?: "object" | "nothing" | "anything" | undefined;
}

type BodyOfAttempt = (attempt: number) => unknown;

export const HOSTED = "https://api.devora.ai/v1";
const DEFAULT_TIMEOUT = 60_000;
const LEVELS = { debug: 0, info: 1, warn: 2, off: 3 } as const;

// What the packages for other surfaces of the same server are made of.
export { fromWire, toWire } from "./casing.js";
export { errorOf } from "./errors.js";
export { APIPromise } from "./promise.js";
export { clock, pauseOf, sleep } from "./retries.js";
export { socketFactory, socketFrames } from "./socket.js";

/** One way to an API for every resource: deadlines, retries, idempotency keys, errors, log. */
export class Transport {
  /** Without a trailing slash and without `/v1`. */
  readonly root: string;
  readonly backoff: Backoff;
  readonly webSocket: SocketFactory | false | undefined;
  readonly #options: TransportOptions;
  readonly #fetch: typeof fetch;
  readonly #level: keyof typeof LEVELS;

  constructor(options: TransportOptions = {}) {
    this.#options = options;
    this.root = rootOf(options.baseUrl ?? environment("DEVORA_BASE_URL") ?? HOSTED);
    this.backoff = options.backoff ?? {};
    this.webSocket = options.webSocket;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.#level = options.logLevel ?? levelOf(environment("DEVORA_LOG"));
    checkHeaders(options.headers);
    const key = options.apiKey ?? environment("DEVORA_API_KEY");
    if (!key || (typeof key === "string" && key.trim() === "")) {
      throw new DevoraError(
        "no API key: give new DevoraClient({ apiKey }) or set the environment variable DEVORA_API_KEY",
        { code: "no_api_key" },
      );
    }
    this.#options = { ...options, apiKey: typeof key === "string" ? checkKey(key) : key };
  }

  /** The key for the next request. */
  async key(): Promise<string> {
    const key = this.#options.apiKey;
    return typeof key === "function" ? checkKey(await key()) : (key as string);
  }

  log(level: "debug" | "info" | "warn", message: string): void {
    if (LEVELS[level] >= LEVELS[this.#level]) (this.#options.logger ?? defaultLogger())[level](`devora: ${oneLine(message)}`);
  }

  url(path: string, query?: object): string {
    const url = new URL(this.root + path);
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (item !== undefined && item !== null) url.searchParams.append(name, String(item));
      }
    }
    return url.href;
  }

  /** A call whose answer is JSON. `read` makes the result of the parsed body. */
  call<T>(call: Call, read: (body: unknown) => T | Promise<T> = fromWire<T>): APIPromise<T> {
    return new APIPromise(this.answer(call, read));
  }

  async answer<T>(call: Call, read: (body: unknown) => T | Promise<T>): Promise<Answer<T>> {
    const { response, body, gone } = await this.#attempts(call);
    const { result = "object" } = call;
    if (!gone && (result === "object" ? !isObject(body) : result === "anything" && body === undefined && response.status !== 204)) {
      throw unexpected("the answer is not a JSON object: check the base URL", { status: response.status, body });
    }
    const requestId = response.headers.get("x-request-id") ?? undefined;
    const data = await read(body);
    if (isObject(data) && requestId && !("requestId" in data)) {
      Object.defineProperty(data, "requestId", { value: requestId, configurable: true });
    }
    return { data, response, requestId, body };
  }

  /** One attempt whose body is not read, for streams. The caller reads it or aborts `signal`. */
  async open(call: Call, signal: AbortSignal): Promise<Response> {
    const url = this.url(call.path, call.query);
    checkHeaders(call.options?.headers);
    const started = clock();
    const request = { method: call.method, headers: await this.#headers(call, 0, undefined), redirect: "manual" as const };
    let response: Response;
    try {
      response = await this.#fetch(url, { ...request, signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw connectionError(url, cause);
    }
    this.#logAnswer(call, response, 0, started);
    if (!response.ok) throw this.#errorOf(response, await textOf(response).catch(() => "")); // the status alone says what is wrong
    return response;
  }

  async #attempts(call: Call): Promise<{ response: Response; body: unknown; gone?: boolean }> {
    const { timeout = this.#options.timeout ?? DEFAULT_TIMEOUT, maxRetries = this.#options.maxRetries ?? 2, signal } = call.options ?? {};
    const deadline = clock() + timeout;
    const idempotencyKey = call.method === "POST" ? (call.options?.idempotencyKey ?? randomId()) : call.options?.idempotencyKey;
    checkHeaders({ ...call.options?.headers, ...(idempotencyKey === undefined ? {} : { "Idempotency-Key": idempotencyKey }) });
    let lost = false; // an answer, of a request that may have reached the server
    for (let attempt = 0; ; attempt += 1) {
      let error: DevoraError;
      try {
        const { response, text } = await this.#attempt(call, attempt, idempotencyKey, deadline, timeout);
        if (response.ok) return { response, body: parsed(response, text) };
        // What an earlier attempt has deleted, though its answer was lost, is gone.
        if (call.method === "DELETE" && lost && response.status === 404) return { response, body: undefined, gone: true };
        error = this.#errorOf(response, text);
      } catch (caught) {
        if (!(caught instanceof APIConnectionError) || (caught instanceof APITimeoutError && clock() >= deadline)) throw caught;
        error = caught;
        lost ||= wasSent(error);
      }
      const wait = Math.max(pauseOf(attempt, this.backoff), 1000 * (error.retryAfter ?? 0));
      const unlimited = call.persistent && lost && maxRetries > 0 && isAway(error);
      const again = isRetried(error) && (attempt < maxRetries || unlimited) && !names503Job(error);
      if (!again || clock() + wait >= deadline) throw error;
      this.log("info", `${call.method} ${call.path} is sent again in ${Math.round(wait)} ms: ${error.message}`);
      this.#options.onRetry?.({ method: call.method, path: call.path, retry: attempt + 1, delay: wait, error });
      await sleep(wait, signal);
    }
  }

  async #attempt(
    call: Call,
    attempt: number,
    idempotencyKey: string | undefined,
    deadline: number,
    timeout: number,
  ): Promise<{ response: Response; text: string }> {
    const url = this.url(call.path, call.query);
    const headers = await this.#headers(call, attempt, idempotencyKey);
    const content = typeof call.body === "function" ? (call.body as BodyOfAttempt)(attempt) : call.body;
    const caller = call.options?.signal;
    caller?.throwIfAborted();
    const controller = new AbortController();
    const stop = () => controller.abort(caller?.reason);
    caller?.addEventListener("abort", stop, { once: true });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, timerDelay(Math.min(deadline - clock(), call.attemptTimeout ?? Infinity)));
    const started = clock();
    try {
      const response = await this.#fetch(url, {
        method: call.method,
        headers,
        signal: controller.signal,
        redirect: "manual",
        ...(content === undefined ? {} : { body: JSON.stringify(content) }),
      });
      this.#logAnswer(call, response, attempt, started);
      return { response, text: await textOf(response) };
    } catch (cause) {
      caller?.throwIfAborted();
      if (cause instanceof DevoraError) throw cause;
      if (late) throw new APITimeoutError(`${call.method} ${call.path} took longer than ${Math.min(timeout, call.attemptTimeout ?? Infinity)} ms`, { code: "timeout", cause });
      const error = connectionError(url, cause);
      this.log("debug", `${call.method} ${call.path} attempt ${attempt + 1}: ${error.message}`);
      throw error;
    } finally {
      clearTimeout(timer);
      caller?.removeEventListener("abort", stop);
    }
  }

  async #headers(call: Call, attempt: number, idempotencyKey: string | undefined): Promise<Headers> {
    const headers = new Headers({ Accept: call.accept ?? "application/json", ...this.#options.headers, ...call.options?.headers });
    if (!call.anonymous) headers.set("Authorization", `Bearer ${await this.key()}`);
    const runtime = runtimeName();
    if (runtime !== undefined) headers.set("User-Agent", `${this.#options.product ?? "devora-typescript"}/${VERSION} ${runtime}`);
    if (call.body !== undefined) headers.set("Content-Type", "application/json");
    if (idempotencyKey !== undefined) headers.set("Idempotency-Key", idempotencyKey);
    if (attempt > 0) headers.set("X-Devora-Retry-Count", String(attempt));
    return headers;
  }

  #errorOf(response: Response, text: string): DevoraError {
    const requestId = response.headers.get("x-request-id") ?? undefined;
    if (response.status < 400) {
      const target = response.headers.get("location");
      const message = `the API redirects${target ? ` to ${target}` : ""}: use that address as base URL`;
      return unexpected(message, { code: "unexpected_redirect", status: response.status, requestId });
    }
    const { headers, status } = response;
    return errorOf(status, jsonOr(text), { requestId, retryAfter: retryAfterOf(headers), shouldRetry: shouldRetryOf(headers) });
  }

  #logAnswer(call: Call, response: Response, attempt: number, started: number): void {
    const seconds = ((clock() - started) / 1000).toFixed(3);
    const requestId = response.headers.get("x-request-id") ?? "-";
    this.log("debug", `${call.method} ${call.path} ${response.status} attempt ${attempt + 1} ${seconds} s request ${requestId}`);
  }
}

/** Whether the synchronous wait of a start ran out: the job goes on, another start would be a second one. */
export function names503Job(error: DevoraError): boolean {
  return error.status === 503 && jobIdOf(error) !== undefined;
}

export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing on pages without TLS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An id as a part of a path. Raises for one that would make another path. */
export function segment(id: string): string {
  if (id === "" || id === "." || id === "..") throw new InvalidRequestError(`invalid id ${JSON.stringify(id)}: expected the id of a resource`, { code: "invalid_request" });
  return encodeURIComponent(id);
}

export function environment(name: string): string | undefined {
  const host = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return host.process?.env?.[name] || undefined;
}

function rootOf(baseUrl: string): string {
  let url: URL;
  try {
    url = new URL(baseUrl);
  } catch {
    throw invalidBaseUrl(baseUrl);
  }
  // A name and a password would not be sent, and a query would swallow the path.
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || /[?#\s]/.test(baseUrl)) {
    throw invalidBaseUrl(baseUrl);
  }
  return (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/v1$/, "");
}

/** Shows nothing that may be secret: a password may have any character, so all before the last `@` is left out. */
function invalidBaseUrl(baseUrl: string): DevoraError {
  const shown = String(baseUrl).replace(/^(https?:)?.*@/is, "$1//***@").replace(/([?#]).*/s, "$1***");
  return new DevoraError(`invalid base URL ${JSON.stringify(shown)}: expected something like ${HOSTED}`, { code: "invalid_base_url" });
}

/** A message on one visible line: the server's words must not write lines of their own, or control a terminal. */
function oneLine(message: string): string {
  return message.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (letter) => `\\u{${letter.codePointAt(0)?.toString(16)}}`);
}

/** Whether a text can be sent as the value of a header. */
export function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(value);
}

function checkHeaders(headers: Record<string, string> = {}): void {
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || !isHeaderValue(value)) {
      throw new InvalidRequestError(`invalid header ${JSON.stringify(name)}: expected printable ASCII characters`, { code: "invalid_request" });
    }
  }
}

function checkKey(untrimmed: string): string {
  const key = String(untrimmed).trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new DevoraError("the API key contains invalid characters; was it truncated or pasted with spaces?", { code: "invalid_api_key" });
  }
  return key;
}

function levelOf(word: string | undefined): keyof typeof LEVELS {
  return word !== undefined && word in LEVELS ? (word as keyof typeof LEVELS) : "warn";
}

function parsed(response: Response, text: string): unknown {
  if (response.status === 204 || text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unexpected(`the answer is not JSON: ${text.slice(0, 200)}; check the base URL`, { status: response.status, body: text, cause });
  }
}

function jsonOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The body as text; of one that no memory should hold, the error. */
async function textOf(response: Response): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let size = 0;
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > LARGEST) {
      reader.cancel().catch(() => undefined); // errors of a connection that is given up are of no interest
      throw tooLarge("the answer");
    }
    text += decoder.decode(value, { stream: true });
  }
}

function connectionError(url: string, cause: unknown): APIConnectionError {
  const reason = isObject(cause) && isObject(cause["cause"]) ? cause["cause"] : cause;
  const code = systemCode(cause);
  const text = isObject(reason) && typeof reason["message"] === "string" && reason["message"] ? reason["message"] : String(cause);
  const { origin } = new URL(url);
  const error = new APIConnectionError(`no answer from ${origin}: ${text}${code && !text.includes(code) ? ` (${code})` : ""}`, { code: "connection_error", cause });
  if (code !== "" && !wasSent(error)) error.message += "; is the server running? DEVORA_BASE_URL selects another";
  return error;
}

/** The browser's console; elsewhere standard error, because standard output belongs to the program. */
function defaultLogger(): Logger {
  if (runtimeName() === undefined) return console;
  const write = (message: string) => console.error(message);
  return { debug: write, info: write, warn: write };
}

/** `node/22.1.0 linux`; undefined in browsers, which send their own `User-Agent`. */
function runtimeName(): string | undefined {
  const host = globalThis as {
    process?: { versions?: Record<string, string | undefined>; platform?: string };
    Deno?: { version: { deno: string }; build: { os: string } };
  };
  if (host.Deno) return `deno/${host.Deno.version.deno} ${host.Deno.build.os}`;
  const versions = host.process?.versions;
  if (versions?.["bun"]) return `bun/${versions["bun"]} ${host.process?.platform}`;
  return versions?.["node"] ? `node/${versions["node"]} ${host.process?.platform}` : undefined;
}
