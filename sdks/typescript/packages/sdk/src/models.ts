/**
 * What the API sends, as `camelCase`. Times are ISO 8601 in UTC, durations seconds, costs USD.
 *
 * A newer server may send further fields and words: they are passed on as they come.
 */

/** A closed word of today's API, or one that a newer server sends. */
export type Open<Word extends string> = Word | (string & {});

export type JobStatus = Open<"queued" | "running" | "completed" | "failed" | "cancelled">;
export type JobState = Open<"PENDING" | "RUNNING" | "PAUSED" | "COMPLETED" | "FAILED" | "CANCELLED" | "TIMEOUT">;
export type ReasonCode = Open<
  | "queued"
  | "no_worker"
  | "running"
  | "scheduled"
  | "no_sign_of_life"
  | "unknown_agent"
  | "retrying"
  | "waiting_for_approval"
  | "waiting_for_input"
  | "paused"
  | "cancelling"
  | "stuck"
  | "budget_exceeded"
>;
export type ToolStatus = Open<
  | "scheduled"
  | "running"
  | "retrying"
  | "waiting_for_input"
  | "completed"
  | "failed"
  | "refused"
  | "skipped"
  | "cancelled"
>;
export type CallStatus = Open<
  | "pending"
  | "waiting_for_approval"
  | "scheduled"
  | "running"
  | "retrying"
  | "completed"
  | "failed"
  | "cancelled"
  | "skipped"
>;
export type AttemptStatus = Open<"running" | "completed" | "failed" | "timed_out" | "cancelled" | "unknown" | "continued">;
export type QuestionKind = Open<"form" | "approval" | "tool">;
export type QuestionStatus = Open<"open" | "answered" | "expired" | "withdrawn">;
export type EventType = Open<"job_queued" | "job_started" | "job_progress" | "agent_event" | "job_completed" | "job_failed">;
export type EventName = Open<
  | "job.queued"
  | "job.started"
  | "job.stuck"
  | "job.paused"
  | "job.resumed"
  | "job.cancelling"
  | "job.reset"
  | "job.adopted"
  | "job.continued"
  | "job.history_long"
  | "job.completed"
  | "job.failed"
  | "job.cancelled"
  | "job.timeout"
  | "agent.scheduled"
  | "agent.cancelled"
  | "agent.failed"
  | "agent.reused"
  | "agent.completed"
  | "agent.delta"
  | "agent.reset"
  | "step.waiting"
  | "step.approved"
  | "step.rejected"
  | "agent.fallback"
  | "agent.turn"
  | "agent.tool_call.scheduled"
  | "agent.tool_call.completed"
  | "agent.tool_call.failed"
  | "agent.tool_changed"
  | "agent.tool_call.cancelled"
  | "step.items"
  | "step.round"
  | "step.skipped"
  | "step.failed"
  | "question.asked"
  | "question.answered"
  | "question.expired"
  | "question.withdrawn"
>;
export type Scope = Open<
  | "agents:read"
  | "agents:execute"
  | "workflows:read"
  | "workflows:run"
  | "jobs:read"
  | "jobs:cancel"
  | "metrics:read"
  | "admin:*"
>;
export type Tier = Open<"free" | "pro" | "business" | "enterprise" | "public">;
export type Role = Open<"admin" | "orchestration_manager" | "system_admin">;
export type Period = "1h" | "24h" | "7d" | "30d" | "all";
export type WebhookEventName = Open<
  | "job.completed"
  | "job.failed"
  | "execution.completed"
  | "execution.failed"
  | "execution.cancelled"
  | "chat.completed"
  | "session.ended"
  | "webhook.disabled"
>;
export type DeliveryState = Open<"pending" | "delivered" | "failed" | "dropped">;

/** JSON Schema. */
export type Schema = Record<string, unknown>;

export interface Health {
  healthy: boolean;
  lastCheck: string;
}

export interface AgentSummary {
  id: string;
  name: string;
  squad: string;
  description: string;
  capabilities: string[];
  status: Open<"available" | "unavailable">;
  health: Health;
}

export interface AgentList {
  agents: AgentSummary[];
  total: number;
  available: number;
  unavailable: number;
}

export interface ModelSettings {
  defaultModel: string;
  defaultTemperature: number;
  maxTokens: number;
}

export interface Pricing {
  perRequest: number;
  per1kTokens: number;
}

export interface AgentDetail {
  id: string;
  name: string;
  squad: string;
  description: string;
  capabilities: string[];
  inputSchema: Schema;
  outputSchema: Schema;
  config: ModelSettings;
  pricing: Pricing;
}

/** The agent's last 24 hours. Rates are percent of its attempts. */
export interface AgentHealth {
  agentId: string;
  healthy: boolean;
  lastExecution: string | null;
  avgResponseTime: number | null;
  errorRate: number;
  uptime: number;
}

export interface WorkflowSummary {
  id: string;
  name: string;
  description: string;
  squads: string[];
  agentsCount: number;
  estimatedTime: string;
  estimatedCost: string;
  complexity: Open<"low" | "medium" | "high">;
}

export interface WorkflowList {
  workflows: WorkflowSummary[];
  total: number;
}

export interface WorkflowStep {
  order: number;
  /** What jobs name the step by. */
  id: string;
  name: string;
  squad: string;
  agents: string[];
  /** Ids of the steps that must be done before. */
  needs: string[];
  estimatedTime: string;
  /** Whether the step waits for a person. */
  approval: boolean;
  /** What else the plan says of the step, as the plan has it. */
  decides: Record<string, unknown>;
  /** The steps of a group. */
  steps: WorkflowStep[];
}

export interface WorkflowDetail {
  id: string;
  name: string;
  description: string;
  version: string;
  complexity: Open<"low" | "medium" | "high">;
  estimatedTime: string;
  estimatedCost: string;
  steps: WorkflowStep[];
  inputSchema: Schema;
  outputSchema: Schema;
}

export interface JobConfig {
  /** `provider:model`, for every agent of the job. */
  model?: string | null;
  temperature?: number | null;
  maxTokens?: number | null;
  /** `false` runs steps, and the agents of a step, one after another. */
  parallelExecution?: boolean;
  /** `false` runs later steps after one has failed. */
  stopOnError?: boolean;
}

export interface StartRequest {
  input: Record<string, unknown>;
  /** `true` answers at once with a job; otherwise the call waits for the end. */
  async?: boolean;
  config?: JobConfig;
  /** Notified when an asynchronous job ends. */
  webhookUrl?: string | null;
  /** Your own notes on the job, such as `team`; lists filter by them. */
  labels?: Record<string, string>;
  /** An asynchronous job starts at this time, with its offset. */
  startAt?: string | null;
  /** An asynchronous job starts after so many seconds. */
  delay?: number | null;
}

/** Why something failed. */
export interface JobError {
  type: string;
  message: string;
  step: string | null;
  agent: string | null;
  retryable: boolean;
}

export interface Metrics {
  totalTokens: number;
  promptTokens: number;
  completionTokens: number;
  executionTime: number | null;
  cost: number | null;
  providerCost: number | null;
  reusedTokens: number;
  reusedCost: number | null;
}

export interface Deliverable {
  path: string;
  mediaType: string;
  content: string;
  step?: string | null;
  agent?: string | null;
  artifact?: string | null;
}

/** What a job produced. */
export interface Output {
  status: Open<"success" | "partial">;
  /** Markdown. */
  output: string;
  deliverables: Deliverable[];
  /** Models, agents, failures; its keys are as the server sends them. */
  metadata: Record<string, unknown>;
}

export interface Attempt {
  number: number;
  status: AttemptStatus;
  startedAt: string | null;
  completedAt: string | null;
  error: JobError | null;
}

/** One call of a tool by an agent. `arguments` and `result` are beginnings. */
export interface ToolCall {
  id: string;
  turn: number;
  tool: string;
  status: ToolStatus;
  arguments: string;
  attempts: number;
  effectId: string;
  startedAt: string | null;
  completedAt: string | null;
  result: string | null;
  /** Size of the whole result. */
  bytes: number | null;
  error: JobError | null;
  /** If another agent is the tool: the key of the call of that agent. */
  calls: string | null;
  answeredBy: string | null;
}

export interface AgentCall {
  step: string;
  agent: string;
  call: number;
  title: string;
  status: CallStatus;
  attempts: Attempt[];
  tokens: number;
  cost: number | null;
  duration: number | null;
  model: string | null;
  error: JobError | null;
  reused: boolean;
  reusedFrom: string | null;
  /** The job that the step runs, if it runs one. */
  child: string | null;
  /** Requests to the model so far, if the agent has tools; else 0. */
  turns: number;
  maxTurns: number | null;
  toolCalls: ToolCall[];
  /** The item and the round of the call, such as `alpha` or `2/alpha`; else empty. */
  key: string;
  /** Why the call was skipped, if the plan decided so. */
  why: string | null;
}

/** The answer to a question; `how` is `default` or `skipped` if nobody answered in time. */
export interface Answer {
  values: Record<string, unknown>;
  actor: string;
  note: string;
  at: string;
  how: Open<"answered" | "default" | "skipped">;
}

/** A question of a job to a person. `id` names it in an answer, whose values match `inputSchema`. */
export interface Question {
  id: string;
  kind: QuestionKind;
  status: QuestionStatus;
  step: string;
  agent: string | null;
  message: string;
  inputSchema: Schema;
  details: unknown;
  by: string[];
  onTimeout: Open<"fail" | "default" | "skip">;
  askedAt: string | null;
  deadline: string | null;
  endedAt: string | null;
  answer: Answer | null;
}

export interface QuestionList {
  questions: Question[];
}

export interface AnswerRequest {
  /** The `id` of the question, or its `step` if only one question of the step is open. */
  step: string;
  values: Record<string, unknown>;
  note?: string;
}

export interface AnswerResult {
  jobId: string;
  status: JobStatus;
  state: JobState;
  question: Question;
  links: Links;
}

export interface Reason {
  code: ReasonCode;
  message: string;
  step: string | null;
  agent: string | null;
  attempt: number | null;
  nextAttemptAt: string | null;
  lastError: JobError | null;
  /** The question that waits for a person: `step` of an answer. */
  question?: string;
  inputSchema?: Schema;
  deadline?: string;
}

export interface SeenReason {
  code: ReasonCode;
  message: string;
  since: string | null;
  seenAt: string | null;
}

export interface Links {
  self: string;
  events: string;
  output: string;
  cancel: string;
}

export interface JobDetail {
  jobId: string;
  type: Open<"agent" | "workflow">;
  name: string;
  agentId?: string;
  workflowId?: string;
  status: JobStatus;
  state: JobState;
  /** Why an open job is where it is. */
  reason: Reason | null;
  /** Percent; null while not all calls of the job are known. */
  progress: number | null;
  callsDone: number;
  callsRunning: number;
  callsKnown: number;
  input: Record<string, unknown>;
  config: JobConfig;
  output: Output | null;
  error: JobError | null;
  metrics: Metrics;
  steps: AgentCall[];
  /** Your own labels, and those of the surface that started the job. */
  labels: Record<string, string>;
  retryOf: string | null;
  retriedBy: string[] | null;
  /** The jobs that this job started as its children, in order. */
  children: string[];
  /** Questions to people, oldest first. */
  questions: Question[];
  webhookUrl: string | null;
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
  cancelledAt: string | null;
  runPage: string;
  links: Links;
}

export interface ListedError {
  type: string;
  message: string;
}

export interface JobSummary {
  jobId: string;
  type: Open<"agent" | "workflow">;
  name: string;
  owner: string;
  agentId?: string;
  workflowId?: string;
  status: JobStatus;
  state: JobState;
  progress: number | null;
  reason: SeenReason | null;
  error: ListedError | null;
  retryOf: string | null;
  retriedBy: string[];
  createdAt: string;
  startedAt: string | null;
  completedAt: string | null;
  links: Links;
}

export interface StepProgress {
  currentStep: number;
  totalSteps: number;
  percentage: number;
}

export interface StepStatus {
  step: string;
  status: Open<"queued" | "running" | "completed" | "failed" | "cancelled">;
  startedAt?: string;
  completedAt?: string;
}

export interface AgentAccepted {
  jobId: string;
  status: JobStatus;
  agentId: string;
  createdAt: string;
  etaSeconds: number;
  webhookUrl: string | null;
  links: Links;
}

export interface WorkflowAccepted {
  jobId: string;
  workflowId: string;
  status: JobStatus;
  progress: StepProgress;
  stepsStatus: StepStatus[];
  createdAt: string;
  etaSeconds: number;
  webhookUrl: string | null;
  links: Links;
}

export interface AgentRetried extends AgentAccepted {
  type: Open<"agent">;
  retryOf: string;
}

export interface WorkflowRetried extends WorkflowAccepted {
  type: Open<"workflow">;
  retryOf: string;
  reusedCalls: number;
  reusedTokens: number;
  reusedCost: number | null;
}

/** An ended job, as a call that waits for the end returns it. */
export interface Finished {
  jobId: string;
  agentId?: string;
  workflowId?: string;
  status: JobStatus;
  output: Output | null;
  error: JobError | null;
  metrics: Metrics;
  createdAt: string;
  completedAt: string | null;
  links: Links;
}

export interface WorkflowFinished extends Finished {
  progress: StepProgress;
  stepsStatus: StepStatus[];
  etaSeconds: number;
}

/** What a completed job produced. */
export interface Result extends Finished {
  output: Output;
  /** The files of `output`. */
  readonly deliverables: Deliverable[];
}

export interface Controlled {
  jobId: string;
  status: JobStatus;
  state: JobState;
  /** In force; otherwise it is recorded and not yet in force. */
  done: boolean;
  reason: Reason | null;
  links: Links;
}

export interface Cancelled extends Controlled {
  cancelledAt: string | null;
}

/** One event of a job. Text of running agents (`agent.delta`) has no `id`. */
export interface JobEvent {
  /** The cursor: a stream goes on after it. */
  id?: string;
  type: EventType;
  name: EventName;
  jobId: string;
  status: JobStatus;
  state?: JobState;
  progress?: number | null;
  currentStep: string | null;
  message?: string;
  timestamp: string;
  /** Its keys are as the server sends them. */
  data: Record<string, unknown>;
}

/** Where a job is. */
export interface Progress {
  jobId: string;
  /** Percent; the last known one while not all calls of the job are known. */
  progress: number;
  status: JobStatus;
  state: JobState;
  currentStep: string | null;
  message: string;
  timestamp: string;
}

export interface EventPage {
  events: JobEvent[];
  /** The cursor to go on from; null once nothing can follow. */
  next: string | null;
  hasMore: boolean;
}

export interface MetricsSummary {
  totalJobs: number;
  completedJobs: number;
  failedJobs: number;
  successRate: number;
  totalTokens: number;
  totalCost: number | null;
  avgExecutionTime: number;
}

export interface Averages {
  executions: number;
  avgTokens: number;
  avgTime: number;
  successRate: number;
}

export interface MetricsOverview {
  period: string;
  summary: MetricsSummary;
  byAgent: Record<string, Averages>;
  byWorkflow: Record<string, Averages>;
}

export interface AgentFigures {
  totalExecutions: number;
  successful: number;
  failed: number;
  successRate: number;
  totalTokens: number;
  avgTokensPerExecution: number;
  totalCost: number | null;
  avgCostPerExecution: number | null;
  avgExecutionTime: number;
  p50ExecutionTime: number;
  p95ExecutionTime: number;
  p99ExecutionTime: number;
}

export interface TimelineDay {
  date: string;
  executions: number;
  tokens: number;
  cost: number | null;
}

export interface AgentMetrics {
  agentId: string;
  period: Open<Period>;
  metrics: AgentFigures;
  timeline: TimelineDay[];
}

export interface KeyRequest {
  name: string;
  scopes: Scope[];
  tier?: Tier;
  /** The account that its jobs belong to. Default: an account of the key's own. */
  owner?: string | null;
  expiresAt?: string | null;
  /** Seconds from now, instead of `expiresAt`. */
  expiresIn?: number | null;
}

export interface KeyChange {
  name?: string | null;
  scopes?: Scope[] | null;
  tier?: Tier | null;
  /** `null` lets the key never expire. */
  expiresAt?: string | null;
}

export interface KeyRotation {
  overlapSeconds?: number;
}

interface KeyFields {
  id: string;
  name: string;
  scopes: Scope[];
  tier: Tier | null;
  owner: string;
  createdAt: string;
  expiresAt: string | null;
}

export interface IssuedKey extends KeyFields {
  /** The secret. It is in this answer and nowhere else. */
  apiKey: string;
  webhookSecret: string;
}

export interface Key extends KeyFields {
  prefix: string;
  state: Open<"active" | "expired" | "revoked">;
  createdBy: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

export interface Me {
  id: string;
  keyId: string | null;
  name: string | null;
  scopes: Scope[];
  tier: Tier | null;
  expiresAt: string | null;
}

export interface UserRequest {
  username: string;
  password: string;
  roles: Role[];
}

export interface User {
  id: string;
  username: string;
  roles: Role[];
  createdAt: string;
}

export interface AuditEntry {
  id: number;
  at: string;
  principal: string;
  keyId: string | null;
  action: string;
  path: string;
  status: number;
  address: string | null;
  requestId: string;
  surface: string | null;
  calls: number;
}

export interface RequestLimit {
  limit: number | null;
  remaining: number | null;
  /** Unix time in seconds. */
  reset: number | null;
}

export interface JobLimit {
  limit: number | null;
  used: number;
}

export interface TokenLimit {
  limit: number | null;
  used: number;
  reserved: number;
  reset: string;
}

export interface Limits {
  tier: Tier | null;
  requestsPerMinute: RequestLimit;
  concurrentJobs: JobLimit;
  monthlyTokens: TokenLimit;
}

export interface WebhookRequest {
  url: string;
  events: WebhookEventName[];
  /** Signs the deliveries. Better left out: then a strong one is made and returned once. */
  secret?: string | null;
}

export interface WebhookChange {
  url?: string | null;
  events?: WebhookEventName[] | null;
  active?: boolean | null;
}

export interface SecretRotation {
  secret?: string | null;
  overlapSeconds?: number;
}

/** What happens to a run whose predecessor still runs. */
export type OverlapPolicy = Open<"skip" | "buffer_one" | "buffer_all" | "cancel_other" | "terminate_other" | "allow_all">;

/** The values from `start` to `end`, both included; without `end`, only `start`. */
export interface RangeRequest {
  start: number;
  end?: number | null;
  step?: number;
}

/** Times that match all fields. A field that is left out matches the first second, minute or hour, and every day. */
export interface CalendarRequest {
  second?: number;
  minute?: RangeRequest[];
  hour?: RangeRequest[];
  dayOfMonth?: RangeRequest[];
  month?: RangeRequest[];
  year?: RangeRequest[];
  /** Sunday is 0. */
  dayOfWeek?: RangeRequest[];
}

export interface IntervalRequest {
  everySeconds: number;
  offsetSeconds?: number;
}

/** All times of `cron`, `intervals` and `calendars`, without those of `skip`. */
export interface SpecRequest {
  cron?: string[];
  intervals?: IntervalRequest[];
  calendars?: CalendarRequest[];
  skip?: CalendarRequest[];
  /** Such as `Europe/Paris`; UTC by default. */
  timeZone?: string;
  startAt?: string | null;
  endAt?: string | null;
  jitterSeconds?: number;
}

/** A schedule of an agent or of a workflow. */
export interface ScheduleRequest {
  agentId?: string | null;
  workflowId?: string | null;
  name?: string | null;
  input: Record<string, unknown>;
  config?: JobConfig;
  webhookUrl?: string | null;
  labels?: Record<string, string>;
  spec: SpecRequest;
  overlap?: OverlapPolicy;
  catchupWindowSeconds?: number;
  pauseOnFailure?: boolean;
  paused?: boolean;
  note?: string;
  remainingRuns?: number | null;
}

/** What is left out does not change; null removes `webhookUrl` and `remainingRuns`. */
export interface ScheduleChange {
  name?: string | null;
  input?: Record<string, unknown> | null;
  config?: JobConfig | null;
  webhookUrl?: string | null;
  labels?: Record<string, string> | null;
  spec?: SpecRequest | null;
  overlap?: OverlapPolicy | null;
  catchupWindowSeconds?: number | null;
  pauseOnFailure?: boolean | null;
  remainingRuns?: number | null;
}

export interface NoteRequest {
  note?: string;
}

export interface TriggerRequest {
  overlap?: OverlapPolicy | null;
}

export interface BackfillRequest {
  startAt: string;
  endAt: string;
  overlap?: OverlapPolicy;
}

export interface ScheduleRange {
  start: number;
  end: number;
  step: number;
}

export interface ScheduleCalendar {
  second: ScheduleRange[];
  minute: ScheduleRange[];
  hour: ScheduleRange[];
  dayOfMonth: ScheduleRange[];
  month: ScheduleRange[];
  year: ScheduleRange[];
  dayOfWeek: ScheduleRange[];
}

export interface ScheduleInterval {
  everySeconds: number;
  offsetSeconds: number;
}

export interface ScheduleSpec {
  cron: string[];
  intervals: ScheduleInterval[];
  calendars: ScheduleCalendar[];
  skip: ScheduleCalendar[];
  timeZone: string;
  startAt: string | null;
  endAt: string | null;
  jitterSeconds: number;
}

export interface RunConfig {
  model: string | null;
  temperature: number | null;
  maxTokens: number | null;
  parallelExecution: boolean;
  stopOnError: boolean;
}

/** A job that a schedule started, and the time that it was meant for. */
export interface ScheduledRun {
  jobId: string;
  scheduledAt: string;
  startedAt: string;
}

export interface ScheduleCounts {
  started: number;
  skipped: number;
  missed: number;
}

/** A schedule. `nextRuns` are its next five times; while it is paused, those that it would have. */
export interface Schedule {
  scheduleId: string;
  agentId?: string | null;
  workflowId?: string | null;
  name: string;
  type: "agent" | "workflow";
  owner: string;
  input: Record<string, unknown>;
  config: RunConfig;
  webhookUrl: string | null;
  labels: Record<string, string>;
  spec: ScheduleSpec;
  overlap: OverlapPolicy;
  catchupWindowSeconds: number;
  pauseOnFailure: boolean;
  paused: boolean;
  note: string;
  remainingRuns: number | null;
  nextRuns: string[];
  recentRuns: ScheduledRun[];
  running: string[];
  runs: ScheduleCounts;
  createdAt: string;
  updatedAt: string;
}

export interface TriggerResult extends Schedule {
  /** Null if the overlap policy holds the run back. */
  jobId: string | null;
}

export interface BackfillResult extends Schedule {
  /** How many runs the period has. */
  backfilled: number;
}

export interface Webhook {
  id: string;
  url: string;
  events: WebhookEventName[];
  active: boolean;
  disabledReason: string | null;
  disabledAt: string | null;
  createdAt: string;
  updatedAt: string;
}

export interface RegisteredWebhook extends Webhook {
  /** Only if it was made by the server, this once. */
  secret?: string;
}

export interface RotatedWebhook extends RegisteredWebhook {
  /** Until then deliveries carry a signature of the old secret, too. */
  previousUntil: string | null;
}

export interface DeliveryAttempt {
  number: number;
  at: string;
  verdict: Open<"delivered" | "retry" | "gone">;
  status: number | null;
  error: string | null;
  duration: number;
}

export interface Delivery {
  id: string;
  webhookId: string | null;
  jobId: string | null;
  event: Open<"webhook.test"> | WebhookEventName;
  url: string;
  /** The receiver sees it as `webhook-id`. */
  messageId: string;
  state: DeliveryState;
  attempts: DeliveryAttempt[];
  createdAt: string;
  nextAttemptAt: string | null;
  completedAt: string | null;
}

/** What a webhook receives. */
export interface WebhookEvent {
  event: Open<"webhook.test"> | WebhookEventName;
  jobId: string | null;
  timestamp: string;
  data: Record<string, unknown>;
}

export interface Check {
  name: string;
  ok: boolean;
  message: string;
}

export interface Readiness {
  ready: boolean;
  checks: Check[];
}

export interface Liveness {
  status: string;
}

export interface ErrorBody {
  code: string;
  message: string;
  retryAfter?: number;
  details?: Record<string, unknown>;
  requestId: string;
  timestamp: string;
}
