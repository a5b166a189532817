import { APIConnectionError, DevoraError, JobCancelled, JobFailed, ServerError } from "@devora/sdk";
import { CommanderError } from "commander";

export const EXIT = { done: 0, jobFailed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;

/** A command that cannot be carried out as it was typed. */
export class UsageError extends Error {}

/** The exit code for what went wrong, and the sentence that says so. */
export function explained(error: unknown): { code: number; message: string } {
  if (error instanceof CommanderError) return { code: error.exitCode === 0 ? EXIT.done : EXIT.usage, message: "" };
  if (error instanceof UsageError) return { code: EXIT.usage, message: error.message };
  if (error instanceof JobFailed || error instanceof JobCancelled) return { code: EXIT.jobFailed, message: error.message };
  // The edge of the process: what is no error of the library came of an answer in which something is missing.
  if (!(error instanceof DevoraError)) {
    return { code: EXIT.unreachable, message: `the answer has another form than the API's (${String(error)}): check the base URL` };
  }
  const request = error.requestId ? ` (request ${error.requestId})` : "";
  if (error instanceof APIConnectionError) return { code: EXIT.unreachable, message: error.message };
  if (error.code === "no_api_key") {
    return { code: EXIT.usage, message: "no API key: run `devora config set api-key`, or set DEVORA_API_KEY" };
  }
  if (error.status === 401) return { code: EXIT.usage, message: `${error.message}${request}: run \`devora config set api-key\`, or set DEVORA_API_KEY` };
  // What redirects, or answers something else than the API does, is not the API.
  const passing = error instanceof ServerError || error.status === 429;
  return { code: passing ? EXIT.unreachable : EXIT.usage, message: error.message + request };
}
