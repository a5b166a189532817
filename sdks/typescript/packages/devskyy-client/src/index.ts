import { clock, environment, fromWire, Transport, type APIPromise, type CallOptions, type TransportOptions } from "@devora/sdk/transport";

export {
  APIConnectionError,
  APITimeoutError,
  AuthenticationError,
  DevoraError as DevSkyyError,
  InvalidRequestError,
  PermissionDeniedError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
} from "@devora/sdk";
export type { CallOptions } from "@devora/sdk/transport";

/** Either a user's name and password, or a key or token. */
export type ClientOptions = Omit<TransportOptions, "product"> & { username?: string; password?: string };

export interface Health {
  status: string;
  /** By partnership id. */
  partnerships: Record<string, { health: string; score: number }>;
  lastUpdated: string;
}

export interface PartnershipMetrics {
  partnershipType: string;
  metrics: { uptime: number; responseTime: number; successRate: number };
  timestamp: string;
}

export interface DecisionPhase {
  phase: number;
  action: string;
  timeline: string;
}

export interface Decision {
  /** A code in `UPPER_SNAKE_CASE`. */
  decision: string;
  rationale: string;
  implementationPlan: DecisionPhase[];
  successMetrics: string[];
  riskMitigation: string[];
}

export interface Partnership {
  id: string;
  name: string;
  health: string;
  progress: number;
  deliverables: { name: string; progress: number }[];
}

export interface Activity {
  jobId: string;
  kind: string;
  name: string;
  status: string;
  progress: number;
  createdAt: string;
  completedAt: string | null;
}

export interface SystemStatus {
  /** By the name of the component. */
  systemHealth: Record<string, { status: string; message: string }>;
  resourceUsage: Record<string, number | null>;
  recentActivity: Activity[] | null;
}

export interface Configuration {
  /** By the names of the settings. */
  settings: Record<string, unknown>;
  secretsConfigured: Record<string, boolean>;
}

export interface DeploymentReadiness {
  readinessScore: number;
  checks: { name: string; passed: boolean; message: string }[];
  recommendations: string[];
}

export interface Endpoint {
  method: string;
  path: string;
  summary: string;
  roles: string[];
  targetMs: number | null;
}

export interface EndpointList {
  version: string;
  endpoints: Endpoint[];
}

export interface Tokens {
  accessToken: string;
  refreshToken: string;
  tokenType: string;
  /** Seconds. */
  expiresIn: number;
}

const HOSTED = "https://api.devskyy.com";
const BASE = "/api/v1/orchestration";
const EARLY = 30_000; // a token is renewed this long before it ends

/**
 * A client of the DevSkyy orchestration API. It signs in with the first call and renews its token by itself.
 *
 * Base URL and key may also come from `DEVSKYY_API_URL` and `DEVSKYY_API_KEY`.
 */
export class DevSkyyClient {
  readonly #transport: Transport;
  readonly #username: string | undefined;
  readonly #password: string | undefined;
  #tokens: Tokens | undefined;
  #renewAt = 0;
  #signingIn: Promise<Tokens> | undefined;

  constructor({ username, password, ...options }: ClientOptions = {}) {
    this.#username = username;
    this.#password = password;
    const key = options.apiKey ?? (username === undefined ? environment("DEVSKYY_API_KEY") : undefined);
    this.#transport = new Transport({
      ...options,
      apiKey: key ?? (username === undefined ? undefined : () => this.#token()),
      baseUrl: options.baseUrl ?? environment("DEVSKYY_API_URL") ?? HOSTED,
      product: "devskyy-typescript",
    });
  }

  /** Signs in now, which the first call does otherwise. */
  login(options?: CallOptions): Promise<Tokens> {
    const body = { username: this.#username, password: this.#password };
    return this.#kept(this.#transport.call<Tokens>({ method: "POST", path: "/api/v1/auth/login", body, anonymous: true, options }));
  }

  health(options?: CallOptions): APIPromise<Health> {
    return this.#get("/health", options, (body) => {
      const { partnerships } = body as { partnerships: Health["partnerships"] };
      return { ...fromWire<Health>(body), partnerships }; // under their ids
    });
  }

  metrics(options?: CallOptions): APIPromise<PartnershipMetrics[]> {
    return this.#get("/metrics", options);
  }

  partnerships(options?: CallOptions): APIPromise<Partnership[]> {
    return this.#get("/partnerships", options);
  }

  /** A strategic decision on a context: goal, time, money, options, constraints. */
  decide(context: Record<string, unknown>, options?: CallOptions): APIPromise<Decision> {
    return this.#transport.call<Decision>({ method: "POST", path: `${BASE}/decisions`, body: { context }, options });
  }

  status(options?: CallOptions): APIPromise<SystemStatus> {
    return this.#get("/status", options, (body) => {
      const { system_health: systemHealth } = body as { system_health: SystemStatus["systemHealth"] };
      return { ...fromWire<SystemStatus>(body), systemHealth };
    });
  }

  /** Every setting; needs the role `admin`. */
  config(options?: CallOptions): APIPromise<Configuration> {
    return this.#get("/config", options, (body) => {
      const { settings, secrets_configured: secretsConfigured } = body as { settings: Record<string, unknown>; secrets_configured: Record<string, boolean> };
      return { settings, secretsConfigured };
    });
  }

  deploymentReadiness(options?: CallOptions): APIPromise<DeploymentReadiness> {
    return this.#get("/deployment/readiness", options);
  }

  endpoints(options?: CallOptions): APIPromise<EndpointList> {
    return this.#get("/docs/endpoints", options);
  }

  #get<T>(path: string, options: CallOptions | undefined, read: (body: unknown) => T = fromWire<T>): APIPromise<T> {
    return this.#transport.call<T>({ method: "GET", path: BASE + path, options, result: "anything" }, read);
  }

  async #token(): Promise<string> {
    if (this.#tokens !== undefined && clock() < this.#renewAt) return this.#tokens.accessToken;
    this.#signingIn ??= this.#renew().finally(() => {
      this.#signingIn = undefined;
    });
    return (await this.#signingIn).accessToken;
  }

  async #renew(): Promise<Tokens> {
    const refreshToken = this.#tokens?.refreshToken;
    this.#tokens = undefined;
    if (refreshToken === undefined) return this.login();
    try {
      // A refresh token is good for one use: sent twice, it would end the sign-in. So it is never sent again.
      const call = { method: "POST", path: "/api/v1/auth/refresh", body: { refresh_token: refreshToken }, anonymous: true, options: { maxRetries: 0 } };
      return await this.#kept(this.#transport.call<Tokens>(call));
    } catch (error) {
      this.#transport.log("info", `the token was not renewed, so the client signs in: ${String(error)}`);
      return this.login();
    }
  }

  async #kept(answer: Promise<Tokens>): Promise<Tokens> {
    const tokens = await answer;
    this.#tokens = tokens;
    this.#renewAt = clock() + Math.max(0, 1000 * tokens.expiresIn - EARLY);
    return tokens;
  }
}
