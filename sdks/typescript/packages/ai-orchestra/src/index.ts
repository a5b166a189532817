import {
  APIPromise,
  environment,
  errorOf,
  fromWire,
  pauseOf,
  randomId,
  sleep,
  socketFactory,
  socketFrames,
  toWire,
  Transport,
  type CallOptions,
  type TransportOptions,
} from "@devora/sdk/transport";

export {
  APIConnectionError,
  APITimeoutError,
  AuthenticationError,
  DevoraError as AIOrchestraError,
  InvalidRequestError,
  PermissionDeniedError,
  RateLimitError,
  ServerError,
  ServiceUnavailableError,
} from "@devora/sdk";
export type { CallOptions } from "@devora/sdk/transport";

export type ClientOptions = Omit<TransportOptions, "product">;

export interface ChatRequest {
  message: string;
  /** A conversation of your choice; one is made without it. */
  sessionId?: string;
  optimizationMode?: "lite" | "balanced" | "quality";
  swarmType?: "coding-team" | "research-team" | "creative-team" | "coding-debate";
  /** Shows the agents what was said before in the session. */
  useMemory?: boolean;
  userContext?: Record<string, unknown>;
}

export interface ProcessingStep {
  step: string;
  agent: string;
  status: string;
  duration: number | null;
}

export interface ChatMetadata {
  tokensUsed: number;
  model: string | null;
  processingSteps: ProcessingStep[];
  jobId: string;
  cost: number | null;
  notes: string[];
}

export interface ChatResponse {
  response: string;
  sessionId: string;
  executionMode: string;
  /** 0 to 1; null where nothing judged the answer. */
  qualityScore: number | null;
  /** Seconds. */
  executionTime: number;
  metadata: ChatMetadata;
}

export interface StreamRequest extends ChatRequest {
  /** Called with each piece of the answer. */
  onToken?: (token: string) => void;
  /** Called when everything that came before is void: the answer begins again. */
  onReset?: () => void;
  signal?: AbortSignal;
}

const HOSTED = "https://api.ai-orchestra.com";
const ANSWER_TIME = 600_000;
const STALL = 45_000;
const TRIES = 5;
const STATUSES: Record<string, number> = {
  VALIDATION_ERROR: 400,
  AUTHENTICATION_ERROR: 401,
  RATE_LIMIT_ERROR: 429,
  INTERNAL_ERROR: 500,
  SERVICE_UNAVAILABLE: 503,
  TIMEOUT_ERROR: 504,
};

/** A client of the AI Orchestra chat. The key may also come from `AI_ORCHESTRA_API_KEY`. */
export class AIOrchestra {
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport({
      ...options,
      apiKey: options.apiKey ?? environment("AI_ORCHESTRA_API_KEY"),
      baseUrl: options.baseUrl ?? environment("AI_ORCHESTRA_BASE_URL") ?? HOSTED,
      product: "ai-orchestra-typescript",
    });
  }

  /** Answers one message. A request whose answer is lost is asked again and answered once. */
  chat(request: ChatRequest, options: CallOptions = {}): APIPromise<ChatResponse> {
    const headers = { "X-Request-ID": randomId(), ...options.headers };
    const call = { method: "POST", path: "/chat/v2/chat", body: toWire(request), options: { timeout: ANSWER_TIME, ...options, headers } };
    return this.#transport.call(call, (body) => responseOf((body as { data: unknown }).data));
  }

  /** Answers one message piece by piece over a WebSocket. */
  streamChat(request: StreamRequest): ChatStream {
    return new ChatStream(this.#transport, request);
  }
}

/**
 * An answer under way: an async iterable of its pieces. `response` is the whole answer; it is rejected where the answer
 * fails, and so is unhandled if nobody looks at either.
 */
export class ChatStream implements AsyncIterable<string> {
  readonly sessionId: string;
  readonly #controller = new AbortController();
  readonly #response: Promise<ChatResponse>;
  readonly #tokens: string[] = [];
  #wake: () => void = () => undefined;
  #ended = false;

  constructor(transport: Transport, request: StreamRequest) {
    this.sessionId = request.sessionId ?? randomId();
    const { signal } = request;
    const stop = () => this.#controller.abort(signal?.reason);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    this.#response = this.#run(transport, request).finally(() => {
      signal?.removeEventListener("abort", stop);
      this.#ended = true;
      this.#wake();
    });
  }

  get response(): Promise<ChatResponse> {
    return this.#response;
  }

  /** Stops listening. The answer itself goes on at the server. */
  close(): void {
    this.#response.catch(() => undefined);
    this.#controller.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    this.#response.catch(() => undefined); // thrown below
    try {
      for (;;) {
        const token = this.#tokens.shift();
        if (token !== undefined) yield token;
        else if (this.#ended) break;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
      await this.#response;
    } finally {
      if (!this.#ended) this.close();
    }
  }

  async #run(transport: Transport, request: StreamRequest): Promise<ChatResponse> {
    const { onToken, onReset, signal: _, sessionId: __, userContext, ...rest } = request;
    const data = { ...toWire({ ...rest, context: userContext }), request_id: randomId() };
    const { signal } = this.#controller;
    let text = "";
    const add = (token: string) => {
      if (token === "") return;
      text += token;
      this.#tokens.push(token);
      this.#wake();
      onToken?.(token);
    };
    const reset = () => {
      text = "";
      onReset?.();
    };
    for (let failures = 0; ; failures += 1) {
      try {
        for await (const frame of this.#frames(transport, data)) {
          const body = frame["data"] as Record<string, unknown>;
          if (frame["type"] === "error") throw errorOf(STATUSES[String(body["code"])] ?? 500, { error: body });
          // After a break the pieces in between are lost, so that the rest comes with the whole answer.
          if (frame["type"] === "stream" && failures === 0) body["reset"] ? reset() : add(String(body["token"]));
          if (frame["type"] !== "chat") continue;
          const response = responseOf(body);
          if (failures > 0 && response.response !== text) {
            if (!response.response.startsWith(text)) reset();
            add(response.response.slice(text.length));
          }
          return response;
        }
      } catch (error) {
        signal.throwIfAborted();
        const { status } = error as { status?: number };
        if ((status !== undefined && status !== 503) || failures + 1 >= TRIES) throw error;
        transport.log("info", `the chat socket broke and is opened again: ${String(error)}`);
      }
      await sleep(pauseOf(failures, transport.backoff), signal);
    }
  }

  #frames(transport: Transport, data: object): AsyncGenerator<Record<string, unknown>> {
    const open = transport.webSocket === undefined ? socketFactory() : transport.webSocket;
    if (!open) throw new Error("this runtime has no WebSocket: give new AIOrchestra({ webSocket })");
    const url = transport.url(`/chat/ws/${randomId()}/${encodeURIComponent(this.sessionId)}`).replace(/^http/, "ws");
    return socketFrames(open, url, this.#controller.signal, {
      stall: STALL,
      ping: { type: "control", data: { action: "ping" } },
      greet: async (send) => {
        send({ type: "control", data: { action: "auth", token: await transport.key() } });
        send({ type: "stream", data });
      },
    });
  }
}

function responseOf(data: unknown): ChatResponse {
  const response = fromWire<ChatResponse>(data);
  return { ...response, metadata: fromWire<ChatMetadata>(response.metadata) };
}
