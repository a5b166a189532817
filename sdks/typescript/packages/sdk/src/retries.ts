/** When a call is tried again, and after how long. Times are milliseconds unless a name says seconds. */

export interface Backoff {
  /** Before the first retry; doubles with each further one. Default 500. */
  initial?: number;
  /** The longest pause. Default 8000. */
  max?: number;
}

const RETRIED = new Set([408, 429, 500, 502, 503, 504]);

/** Full back-off between 50 % and 100 % of `initial * 2 ** retry`, so that many clients do not come back at once. */
export function pauseOf(retry: number, { initial = 500, max = 8000 }: Backoff = {}, random: () => number = Math.random): number {
  return Math.min(initial * 2 ** retry, max) * (0.5 + random() * 0.5);
}

/** Whether an answer of this status is worth another try. The server's `x-should-retry` has the last word. */
export function isRetried(status: number, headers: Headers): boolean {
  const decided = headers.get("x-should-retry");
  if (decided === "true") return true;
  if (decided === "false") return false;
  return RETRIED.has(status);
}

/** Seconds of `Retry-After`: a number, or a date measured against the server's own clock. */
export function retryAfterOf(headers: Headers, now: () => number = Date.now): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  const at = Date.parse(value);
  if (Number.isNaN(at)) return undefined;
  const served = Date.parse(headers.get("date") ?? "");
  return Math.max(0, (at - (Number.isNaN(served) ? now() : served)) / 1000);
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
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
