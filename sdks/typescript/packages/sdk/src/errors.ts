import { isObject, type JsonObject } from "./casing.js";
import type { JobDetail, JobError } from "./models.js";
import { plausible } from "./retries.js";

const KINDS = Symbol.for("devora.error.kinds");

export interface ErrorFields {
  code?: string | undefined;
  status?: number | undefined;
  requestId?: string | undefined;
  details?: JsonObject | undefined;
  body?: unknown;
  retryAfter?: number | undefined;
  shouldRetry?: boolean | undefined;
  cause?: unknown;
}

/**
 * Any failure of the API, of the way to it, or of a job.
 *
 * `instanceof` compares kinds by name, so that it also holds when an application loads both the ESM and the CommonJS
 * build of this package.
 */
export class DevoraError extends Error {
  static readonly kind: string = "DevoraError";

  /** The machine code of the API's error body, or one of `connection_error`, `timeout`, `job_failed`, … */
  readonly code: string;
  /** HTTP status, if the API answered. */
  readonly status: number | undefined;
  /** Quote it when you report a fault. */
  readonly requestId: string | undefined;
  readonly details: JsonObject;
  readonly body: unknown;
  /** Seconds after which the API asks the caller to come back. */
  readonly retryAfter: number | undefined;
  /** What the server says of another attempt (`x-should-retry`), if it says anything. */
  readonly shouldRetry: boolean | undefined;

  constructor(message: string, fields: ErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    const own = new.target as typeof DevoraError;
    this.name = own.kind;
    this.code = fields.code ?? "error";
    this.status = fields.status;
    this.requestId = fields.requestId;
    this.details = fields.details ?? {};
    this.body = fields.body;
    this.retryAfter = fields.retryAfter;
    this.shouldRetry = fields.shouldRetry;
    Object.defineProperty(this, KINDS, { value: kindsOf(own) });
    // What a console shows of an error: its message and the fields that say something.
    for (const name of Object.keys(this) as (keyof this)[]) {
      const silent = this[name] === undefined || name === "body" || (name === "details" && Object.keys(this.details).length === 0);
      if (silent) Object.defineProperty(this, name, { enumerable: false });
    }
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!Object.prototype.hasOwnProperty.call(this, "kind")) return Function.prototype[Symbol.hasInstance].call(this, value);
    const kinds = isObject(value) ? (value as { [KINDS]?: string[] })[KINDS] : undefined;
    return kinds?.includes(this.kind) ?? false;
  }
}

function kindsOf(error: typeof DevoraError): string[] {
  const kinds: string[] = [];
  for (let each: unknown = error; typeof each === "function" && each !== Error; each = Object.getPrototypeOf(each)) {
    if (Object.prototype.hasOwnProperty.call(each, "kind")) kinds.push((each as typeof DevoraError).kind);
  }
  return kinds;
}

/** The API did not answer: no connection, a connection that broke, a refused certificate. */
export class APIConnectionError extends DevoraError {
  static override readonly kind: string = "APIConnectionError";
}

/** The call's deadline passed. A job that was started goes on: `details.job_id` names it. */
export class APITimeoutError extends APIConnectionError {
  static override readonly kind: string = "APITimeoutError";

  get jobId(): string | undefined {
    return typeof this.details["job_id"] === "string" ? this.details["job_id"] : undefined;
  }
}

/** 400, 413, 415, 422: the request is wrong, or the job's state forbids it. */
export class InvalidRequestError extends DevoraError {
  static override readonly kind: string = "InvalidRequestError";

  /** The field of the request that is wrong. */
  get field(): string | undefined {
    return typeof this.details["field"] === "string" ? this.details["field"] : undefined;
  }
}

/** 401: no key, or not a valid one. */
export class AuthenticationError extends DevoraError {
  static override readonly kind: string = "AuthenticationError";
}

/** 403: the key lacks the scope. */
export class PermissionDeniedError extends DevoraError {
  static override readonly kind: string = "PermissionDeniedError";
}

/** 404, 405, 410: no such resource for this caller. */
export class NotFoundError extends DevoraError {
  static override readonly kind: string = "NotFoundError";
}

/** 409: the resource is in another state. */
export class ConflictError extends DevoraError {
  static override readonly kind: string = "ConflictError";
}

/** 429: a limit of the key's tier is reached; `retryAfter` says when to come back. */
export class RateLimitError extends DevoraError {
  static override readonly kind: string = "RateLimitError";
}

/** 500 and any other status, or an answer that is not JSON. */
export class ServerError extends DevoraError {
  static override readonly kind: string = "ServerError";
}

/** 503: the API cannot answer now. */
export class ServiceUnavailableError extends ServerError {
  static override readonly kind: string = "ServiceUnavailableError";
}

/** The job that was waited for failed or timed out. */
export class JobFailed extends DevoraError {
  static override readonly kind: string = "JobFailed";
  readonly job: JobDetail | undefined;
  readonly error: JobError | null;
  readonly jobId: string;

  constructor(jobId: string, error: JobError | null, job: JobDetail | undefined, fields: ErrorFields = {}) {
    super(`Job ${jobId} failed: ${error?.message ?? "no reason was recorded"}`, {
      code: error?.type ?? "job_failed",
      ...fields,
      details: { job_id: jobId, type: error?.type },
    });
    this.jobId = jobId;
    this.error = error;
    this.job = job;
  }
}

/** The job that was waited for was cancelled. */
export class JobCancelled extends DevoraError {
  static override readonly kind: string = "JobCancelled";
  readonly job: JobDetail | undefined;
  readonly jobId: string;

  constructor(jobId: string, job: JobDetail | undefined, fields: ErrorFields = {}) {
    super(`Job ${jobId} was cancelled${job?.error?.message ? `: ${job.error.message}` : ""}`, { code: job?.error?.type ?? "job_cancelled", ...fields, details: { job_id: jobId } });
    this.jobId = jobId;
    this.job = job;
  }
}

/** A delivery that is not genuine: a wrong signature, an old one, or missing headers. */
export class WebhookVerificationError extends DevoraError {
  static override readonly kind: string = "WebhookVerificationError";

  constructor(message: string) {
    super(message, { code: "webhook_verification_failed" });
  }
}

/** The error, which names the job that it came up with. */
export function namingJob(error: unknown, jobId: string): unknown {
  if (error instanceof DevoraError) error.details["job_id"] ??= jobId;
  return error;
}

/** The job whose id an error carries, if it carries one. */
export function jobIdOf(error: unknown): string | undefined {
  const jobId = error instanceof DevoraError ? error.details["job_id"] : undefined;
  return typeof jobId === "string" ? jobId : undefined;
}

/** The code of an answer that is not one of the API. */
export const UNEXPECTED = "unexpected_response";
const STATUSES: Record<string, number> = {
  invalid_request: 400,
  model_not_configured: 400,
  authentication_failed: 401,
  forbidden: 403,
  not_found: 404,
  rate_limit_exceeded: 429,
  internal_error: 500,
  service_unavailable: 503,
};

/** The error of an API answer. `body` is the parsed JSON, or the text of an answer that is none. */
export function errorOf(status: number, body: unknown, fields: { requestId?: string | undefined; retryAfter?: number | undefined; shouldRetry?: boolean | undefined } = {}): DevoraError {
  const envelope = isObject(body) ? body : {};
  const fault = isObject(envelope["error"]) ? envelope["error"] : envelope;
  const message = textOf(fault["message"]) ?? textOf(envelope["detail"]) ?? `the API answered ${status}${excerpt(body)}`;
  const metadata = isObject(envelope["metadata"]) ? envelope["metadata"] : {};
  const known: ErrorFields = {
    code: textOf(fault["code"]) ?? codeOf(status),
    status,
    requestId: fields.requestId ?? textOf(fault["request_id"]) ?? textOf(metadata["request_id"]),
    details: isObject(fault["details"]) ? { ...fault["details"] } : {},
    body,
    shouldRetry: fields.shouldRetry,
    retryAfter: fields.retryAfter ?? (typeof fault["retry_after"] === "number" ? plausible(fault["retry_after"]) : undefined),
  };
  return new (classOf(status))(message, known);
}

/** The error of an answer, or of a part of one, that is not one of the API, such as the page of a proxy. */
export function unexpected(message: string, fields: ErrorFields = {}): ServerError {
  return new ServerError(message, { code: UNEXPECTED, ...fields });
}

/** The error of a frame in a stream or socket, which has a code instead of a status. */
export function errorOfFrame(body: unknown): DevoraError {
  const fault = isObject(body) && isObject(body["error"]) ? body["error"] : {};
  return errorOf(STATUSES[textOf(fault["code"]) ?? ""] ?? 500, body);
}

function classOf(status: number): typeof DevoraError {
  if (status === 401) return AuthenticationError;
  if (status === 403) return PermissionDeniedError;
  if (status === 404 || status === 405 || status === 410) return NotFoundError;
  if (status === 409) return ConflictError;
  if (status === 429) return RateLimitError;
  if (status === 503) return ServiceUnavailableError;
  return status === 400 || status === 413 || status === 415 || status === 422 ? InvalidRequestError : ServerError;
}

function codeOf(status: number): string {
  if (status < 400) return UNEXPECTED;
  return Object.entries(STATUSES).find(([, known]) => known === status)?.[0] ?? (status >= 500 ? "service_unavailable" : "invalid_request");
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function excerpt(body: unknown): string {
  return typeof body === "string" && body ? `: ${body.slice(0, 200)}` : "";
}

