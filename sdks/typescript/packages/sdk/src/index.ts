export { type AccountEvent, type AccountStreamOptions } from "./account-events.js";
export { wireOf } from "./casing.js";
export { DevoraClient, type ClientOptions } from "./client.js";
export {
  APIConnectionError,
  APITimeoutError,
  AuthenticationError,
  ConflictError,
  DevoraError,
  InvalidRequestError,
  JobCancelled,
  JobFailed,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
  WebhookVerificationError,
} from "./errors.js";
export { type StreamOptions } from "./events.js";
export { Job, type Decision, type JobListeners, type WaitOptions } from "./job.js";
export * from "./models.js";
export { Page, PagePromise, type PageOptions } from "./pages.js";
export { APIPromise, type Answer } from "./promise.js";
export {
  type AuditQuery,
  type DeliveryQuery,
  type ExecuteRequest,
  type JobQuery,
  type RunRequest,
} from "./resources.js";
export { type Backoff } from "./retries.js";
export { type Socket, type SocketFactory } from "./socket.js";
export { type CallOptions, type Logger, type Retry } from "./transport.js";
export { VERSION } from "./version.js";
export { signWebhook, unwrapWebhook, verifyWebhook, type UnwrapOptions, type WebhookHeaders } from "./webhooks.js";
