import type * as models from "./models.js";
import type { APIPromise } from "./promise.js";
import { AccountEvents, Agents, Audit, HealthResource, Jobs, Keys, MetricsResource, Schedules, Users, Webhooks, Workflows } from "./resources.js";
import { Transport, type CallOptions, type TransportOptions } from "./transport.js";

export type ClientOptions = Omit<TransportOptions, "product">;

/** A client of the Devora API. It holds no connection of its own and needs no closing. */
export class DevoraClient {
  readonly agents: Agents;
  readonly workflows: Workflows;
  readonly jobs: Jobs;
  readonly metrics: MetricsResource;
  readonly keys: Keys;
  readonly users: Users;
  readonly audit: Audit;
  readonly schedules: Schedules;
  readonly webhooks: Webhooks;
  readonly events: AccountEvents;
  readonly health: HealthResource;
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    const transport = new Transport(options);
    this.#transport = transport;
    this.agents = new Agents(transport);
    this.workflows = new Workflows(transport);
    this.jobs = new Jobs(transport);
    this.metrics = new MetricsResource(transport);
    this.keys = new Keys(transport);
    this.users = new Users(transport);
    this.audit = new Audit(transport);
    this.schedules = new Schedules(transport);
    this.webhooks = new Webhooks(transport);
    this.events = new AccountEvents(transport);
    this.health = new HealthResource(transport);
  }

  /** Who the key belongs to, and what it allows. */
  me(options?: CallOptions): APIPromise<models.Me> {
    return this.#transport.call({ method: "GET", path: "/v1/auth/me", options });
  }

  /** The caller's limits, and what is used of them. */
  limits(options?: CallOptions): APIPromise<models.Limits> {
    return this.#transport.call({ method: "GET", path: "/v1/limits", options });
  }

  /** Ends the sign-in of the user whose token this client uses. */
  signOut(options?: CallOptions): APIPromise<void> {
    return this.#transport.call({ method: "POST", path: "/v1/auth/sign-out", options, result: "nothing" });
  }

  /** Any other route of the API, with the same retries and errors; `path` begins with `/v1/`. */
  request<T = unknown>(method: string, path: string, { body, query, ...options }: CallOptions & { body?: unknown; query?: object } = {}): APIPromise<T> {
    return this.#transport.call<T>({ method, path, body, query, options, result: "anything" });
  }
}
