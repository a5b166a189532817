import { isObject } from "./casing.js";
import type { DevoraError } from "./errors.js";

/** When a call is tried again, and after how long. Times are milliseconds unless a name says seconds. */

export interface Backoff {
  /** Before the first retry; doubles with each further one. Default 500. */
  initial?: number;
  /** The longest pause. Default 8000. */
  max?: number;
}

const RETRIED = new Set([408, 429, 500, 502, 503, 504]);
/** Answers of a server that is away for a while, or of what stands before it. */
const AWAY = new Set([408, 429, 502, 503, 504]);

/** Full back-off between 50 % and 100 % of `initial * 2 ** retry`, so that many clients do not come back at once. */
export function pauseOf(retry: number, { initial = 500, max = 8000 }: Backoff = {}, random: () => number = Math.random): number {
  return Math.min(initial * 2 ** retry, max) * (0.5 + random() * 0.5);
}

/** Whether an error is worth another try. The server's `x-should-retry` has the last word. */
export function isRetried(error: DevoraError): boolean {
  if (error.shouldRetry !== undefined) return error.shouldRetry;
  if (error.status !== undefined) return RETRIED.has(error.status);
  return error.code === "connection_error" && !isRefusedCertificate(error);
}

/** Whether the server is only away for a while, so that a call that waits for a job goes on until its deadline. */
export function isAway(error: DevoraError): boolean {
  if (!isRetried(error)) return error.code === "timeout";
  return error.status === undefined || AWAY.has(error.status);
}

/** Whether the request of a failed call may have reached the server. */
export function wasSent(error: DevoraError): boolean {
  return error.status !== undefined || !/^$|REFUSED|NOTFOUND|EAI_AGAIN|UNREACH|CONNECT_TIMEOUT/i.test(systemCode(error.cause));
}

/** A certificate that is refused now is refused on the next attempt, too. */
function isRefusedCertificate(error: DevoraError): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_TLS/.test(systemCode(error.cause));
}

/** The operating system's word for what failed, such as `ECONNRESET`. */
export function systemCode(error: unknown): string {
  for (let each = error; isObject(each); each = each["cause"]) {
    if (typeof each["code"] === "string") return each["code"];
  }
  return "";
}

/** The server's `x-should-retry`. */
export function shouldRetryOf(headers: Headers): boolean | undefined {
  const word = headers.get("x-should-retry");
  return word === "true" ? true : word === "false" ? false : undefined;
}

/** Seconds of `Retry-After`: a number, or a date measured against the server's own clock. */
export function retryAfterOf(headers: Headers, now: () => number = Date.now): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return plausible(Number(value));
  const at = Date.parse(value);
  if (Number.isNaN(at)) return undefined;
  const served = Date.parse(headers.get("date") ?? "");
  return plausible(Math.max(0, (at - (Number.isNaN(served) ? now() : served)) / 1000));
}

/** The seconds, unless no server can mean them. */
export function plausible(seconds: number): number | undefined {
  return seconds >= 0 && seconds <= 1e9 ? seconds : undefined;
}

/** Milliseconds since some moment; unlike the time of day, it never jumps. */
export function clock(): number {
  return performance.now();
}

/** The delay of a timer: a longer one would overflow and fire at once. */
export function timerDelay(milliseconds: number): number {
  return Math.min(Math.max(0, milliseconds), 2 ** 31 - 1);
}

/** Resolves after `milliseconds`; rejects with the signal's reason as soon as it is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, timerDelay(milliseconds));
    signal?.addEventListener("abort", stop, { once: true });
  });
}
