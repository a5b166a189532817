import { DevoraClient, VERSION, type CallOptions } from "@devora/sdk";

import { readConfig } from "./config.js";
import { readStandardInput } from "./input.js";

export interface GlobalOptions {
  apiKey?: string;
  baseUrl?: string;
  json?: boolean;
  timeout?: number;
}

/** One run of the command: its options, its client, and what an interrupt says. */
export class Session {
  readonly json: boolean;
  readonly #options: GlobalOptions;
  readonly #controller = new AbortController();
  #client: DevoraClient | undefined;
  #farewell = "";

  constructor(options: GlobalOptions) {
    this.#options = options;
    this.json = options.json ?? false;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get call(): CallOptions {
    return { signal: this.signal };
  }

  /** The client: options come before the environment, the environment before the configuration file. */
  client(): DevoraClient {
    if (this.#client === undefined) {
      const config = readConfig();
      const { apiKey, baseUrl, timeout } = this.#options;
      const key = apiKey === "-" ? readStandardInput().trim() : apiKey;
      this.#client = new DevoraClient({
        apiKey: key ?? (process.env["DEVORA_API_KEY"] || config["api-key"]),
        baseUrl: baseUrl ?? (process.env["DEVORA_BASE_URL"] || config["base-url"]),
        timeout: timeout === undefined ? undefined : 1000 * timeout,
        headers: { "X-Devora-Client": `devora-cli/${VERSION}` },
      });
    }
    return this.#client;
  }

  /** What an interrupt leaves behind, for the person at the terminal. */
  onInterrupt(farewell: string): void {
    this.#farewell = farewell;
  }

  /** Ends what the command waits for; returns the last words. */
  interrupt(): string {
    this.#controller.abort();
    return this.#farewell;
  }
}
