package devora

// The JSON methods of all types of responses. They keep unknown fields in Extra: see decodeObject and encodeObject.

func (x *Account) UnmarshalJSON(data []byte) error {
	type plain Account
	return decodeObject(data, (*plain)(x))
}

func (x Account) MarshalJSON() ([]byte, error) {
	type plain Account
	return encodeObject(plain(x), x.Extra)
}

func (x *Agent) UnmarshalJSON(data []byte) error {
	type plain Agent
	return decodeObject(data, (*plain)(x))
}

func (x Agent) MarshalJSON() ([]byte, error) {
	type plain Agent
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentConfig) UnmarshalJSON(data []byte) error {
	type plain AgentConfig
	return decodeObject(data, (*plain)(x))
}

func (x AgentConfig) MarshalJSON() ([]byte, error) {
	type plain AgentConfig
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentFigures) UnmarshalJSON(data []byte) error {
	type plain AgentFigures
	return decodeObject(data, (*plain)(x))
}

func (x AgentFigures) MarshalJSON() ([]byte, error) {
	type plain AgentFigures
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentHealth) UnmarshalJSON(data []byte) error {
	type plain AgentHealth
	return decodeObject(data, (*plain)(x))
}

func (x AgentHealth) MarshalJSON() ([]byte, error) {
	type plain AgentHealth
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentList) UnmarshalJSON(data []byte) error {
	type plain AgentList
	return decodeObject(data, (*plain)(x))
}

func (x AgentList) MarshalJSON() ([]byte, error) {
	type plain AgentList
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentMetrics) UnmarshalJSON(data []byte) error {
	type plain AgentMetrics
	return decodeObject(data, (*plain)(x))
}

func (x AgentMetrics) MarshalJSON() ([]byte, error) {
	type plain AgentMetrics
	return encodeObject(plain(x), x.Extra)
}

func (x *AgentSummary) UnmarshalJSON(data []byte) error {
	type plain AgentSummary
	return decodeObject(data, (*plain)(x))
}

func (x AgentSummary) MarshalJSON() ([]byte, error) {
	type plain AgentSummary
	return encodeObject(plain(x), x.Extra)
}

func (x *Attempt) UnmarshalJSON(data []byte) error {
	type plain Attempt
	return decodeObject(data, (*plain)(x))
}

func (x Attempt) MarshalJSON() ([]byte, error) {
	type plain Attempt
	return encodeObject(plain(x), x.Extra)
}

func (x *AuditEntry) UnmarshalJSON(data []byte) error {
	type plain AuditEntry
	return decodeObject(data, (*plain)(x))
}

func (x AuditEntry) MarshalJSON() ([]byte, error) {
	type plain AuditEntry
	return encodeObject(plain(x), x.Extra)
}

func (x *AuditList) UnmarshalJSON(data []byte) error {
	type plain AuditList
	return decodeObject(data, (*plain)(x))
}

func (x AuditList) MarshalJSON() ([]byte, error) {
	type plain AuditList
	return encodeObject(plain(x), x.Extra)
}

func (x *Availability) UnmarshalJSON(data []byte) error {
	type plain Availability
	return decodeObject(data, (*plain)(x))
}

func (x Availability) MarshalJSON() ([]byte, error) {
	type plain Availability
	return encodeObject(plain(x), x.Extra)
}

func (x *Averages) UnmarshalJSON(data []byte) error {
	type plain Averages
	return decodeObject(data, (*plain)(x))
}

func (x Averages) MarshalJSON() ([]byte, error) {
	type plain Averages
	return encodeObject(plain(x), x.Extra)
}

func (x *Check) UnmarshalJSON(data []byte) error {
	type plain Check
	return decodeObject(data, (*plain)(x))
}

func (x Check) MarshalJSON() ([]byte, error) {
	type plain Check
	return encodeObject(plain(x), x.Extra)
}

func (x *Control) UnmarshalJSON(data []byte) error {
	type plain Control
	return decodeObject(data, (*plain)(x))
}

func (x Control) MarshalJSON() ([]byte, error) {
	type plain Control
	return encodeObject(plain(x), x.Extra)
}

func (x *Deliverable) UnmarshalJSON(data []byte) error {
	type plain Deliverable
	return decodeObject(data, (*plain)(x))
}

func (x Deliverable) MarshalJSON() ([]byte, error) {
	type plain Deliverable
	return encodeObject(plain(x), x.Extra)
}

func (x *Delivery) UnmarshalJSON(data []byte) error {
	type plain Delivery
	return decodeObject(data, (*plain)(x))
}

func (x Delivery) MarshalJSON() ([]byte, error) {
	type plain Delivery
	return encodeObject(plain(x), x.Extra)
}

func (x *DeliveryAttempt) UnmarshalJSON(data []byte) error {
	type plain DeliveryAttempt
	return decodeObject(data, (*plain)(x))
}

func (x DeliveryAttempt) MarshalJSON() ([]byte, error) {
	type plain DeliveryAttempt
	return encodeObject(plain(x), x.Extra)
}

func (x *DeliveryList) UnmarshalJSON(data []byte) error {
	type plain DeliveryList
	return decodeObject(data, (*plain)(x))
}

func (x DeliveryList) MarshalJSON() ([]byte, error) {
	type plain DeliveryList
	return encodeObject(plain(x), x.Extra)
}

func (x *Event) UnmarshalJSON(data []byte) error {
	type plain Event
	return decodeObject(data, (*plain)(x))
}

func (x Event) MarshalJSON() ([]byte, error) {
	type plain Event
	return encodeObject(plain(x), x.Extra)
}

func (x *EventList) UnmarshalJSON(data []byte) error {
	type plain EventList
	return decodeObject(data, (*plain)(x))
}

func (x EventList) MarshalJSON() ([]byte, error) {
	type plain EventList
	return encodeObject(plain(x), x.Extra)
}

func (x *IssuedKey) UnmarshalJSON(data []byte) error {
	type plain IssuedKey
	return decodeObject(data, (*plain)(x))
}

func (x IssuedKey) MarshalJSON() ([]byte, error) {
	type plain IssuedKey
	return encodeObject(plain(x), x.Extra)
}

func (x *Job) UnmarshalJSON(data []byte) error {
	type plain Job
	return decodeObject(data, (*plain)(x))
}

func (x Job) MarshalJSON() ([]byte, error) {
	type plain Job
	return encodeObject(plain(x), x.Extra)
}

func (x *JobError) UnmarshalJSON(data []byte) error {
	type plain JobError
	return decodeObject(data, (*plain)(x))
}

func (x JobError) MarshalJSON() ([]byte, error) {
	type plain JobError
	return encodeObject(plain(x), x.Extra)
}

func (x *JobLimit) UnmarshalJSON(data []byte) error {
	type plain JobLimit
	return decodeObject(data, (*plain)(x))
}

func (x JobLimit) MarshalJSON() ([]byte, error) {
	type plain JobLimit
	return encodeObject(plain(x), x.Extra)
}

func (x *JobList) UnmarshalJSON(data []byte) error {
	type plain JobList
	return decodeObject(data, (*plain)(x))
}

func (x JobList) MarshalJSON() ([]byte, error) {
	type plain JobList
	return encodeObject(plain(x), x.Extra)
}

func (x *JobMetrics) UnmarshalJSON(data []byte) error {
	type plain JobMetrics
	return decodeObject(data, (*plain)(x))
}

func (x JobMetrics) MarshalJSON() ([]byte, error) {
	type plain JobMetrics
	return encodeObject(plain(x), x.Extra)
}

func (x *JobSummary) UnmarshalJSON(data []byte) error {
	type plain JobSummary
	return decodeObject(data, (*plain)(x))
}

func (x JobSummary) MarshalJSON() ([]byte, error) {
	type plain JobSummary
	return encodeObject(plain(x), x.Extra)
}

func (x *Key) UnmarshalJSON(data []byte) error {
	type plain Key
	return decodeObject(data, (*plain)(x))
}

func (x Key) MarshalJSON() ([]byte, error) {
	type plain Key
	return encodeObject(plain(x), x.Extra)
}

func (x *KeyList) UnmarshalJSON(data []byte) error {
	type plain KeyList
	return decodeObject(data, (*plain)(x))
}

func (x KeyList) MarshalJSON() ([]byte, error) {
	type plain KeyList
	return encodeObject(plain(x), x.Extra)
}

func (x *Limits) UnmarshalJSON(data []byte) error {
	type plain Limits
	return decodeObject(data, (*plain)(x))
}

func (x Limits) MarshalJSON() ([]byte, error) {
	type plain Limits
	return encodeObject(plain(x), x.Extra)
}

func (x *Links) UnmarshalJSON(data []byte) error {
	type plain Links
	return decodeObject(data, (*plain)(x))
}

func (x Links) MarshalJSON() ([]byte, error) {
	type plain Links
	return encodeObject(plain(x), x.Extra)
}

func (x *ListedError) UnmarshalJSON(data []byte) error {
	type plain ListedError
	return decodeObject(data, (*plain)(x))
}

func (x ListedError) MarshalJSON() ([]byte, error) {
	type plain ListedError
	return encodeObject(plain(x), x.Extra)
}

func (x *Liveness) UnmarshalJSON(data []byte) error {
	type plain Liveness
	return decodeObject(data, (*plain)(x))
}

func (x Liveness) MarshalJSON() ([]byte, error) {
	type plain Liveness
	return encodeObject(plain(x), x.Extra)
}

func (x *Metrics) UnmarshalJSON(data []byte) error {
	type plain Metrics
	return decodeObject(data, (*plain)(x))
}

func (x Metrics) MarshalJSON() ([]byte, error) {
	type plain Metrics
	return encodeObject(plain(x), x.Extra)
}

func (x *MetricsSummary) UnmarshalJSON(data []byte) error {
	type plain MetricsSummary
	return decodeObject(data, (*plain)(x))
}

func (x MetricsSummary) MarshalJSON() ([]byte, error) {
	type plain MetricsSummary
	return encodeObject(plain(x), x.Extra)
}

func (x *Output) UnmarshalJSON(data []byte) error {
	type plain Output
	return decodeObject(data, (*plain)(x))
}

func (x Output) MarshalJSON() ([]byte, error) {
	type plain Output
	return encodeObject(plain(x), x.Extra)
}

func (x *Pricing) UnmarshalJSON(data []byte) error {
	type plain Pricing
	return decodeObject(data, (*plain)(x))
}

func (x Pricing) MarshalJSON() ([]byte, error) {
	type plain Pricing
	return encodeObject(plain(x), x.Extra)
}

func (x *Readiness) UnmarshalJSON(data []byte) error {
	type plain Readiness
	return decodeObject(data, (*plain)(x))
}

func (x Readiness) MarshalJSON() ([]byte, error) {
	type plain Readiness
	return encodeObject(plain(x), x.Extra)
}

func (x *Reason) UnmarshalJSON(data []byte) error {
	type plain Reason
	return decodeObject(data, (*plain)(x))
}

func (x Reason) MarshalJSON() ([]byte, error) {
	type plain Reason
	return encodeObject(plain(x), x.Extra)
}

func (x *RequestLimit) UnmarshalJSON(data []byte) error {
	type plain RequestLimit
	return decodeObject(data, (*plain)(x))
}

func (x RequestLimit) MarshalJSON() ([]byte, error) {
	type plain RequestLimit
	return encodeObject(plain(x), x.Extra)
}

func (x *Result) UnmarshalJSON(data []byte) error {
	type plain Result
	return decodeObject(data, (*plain)(x))
}

func (x Result) MarshalJSON() ([]byte, error) {
	type plain Result
	return encodeObject(plain(x), x.Extra)
}

func (x *SeenReason) UnmarshalJSON(data []byte) error {
	type plain SeenReason
	return decodeObject(data, (*plain)(x))
}

func (x SeenReason) MarshalJSON() ([]byte, error) {
	type plain SeenReason
	return encodeObject(plain(x), x.Extra)
}

func (x *StartedJob) UnmarshalJSON(data []byte) error {
	type plain StartedJob
	return decodeObject(data, (*plain)(x))
}

func (x StartedJob) MarshalJSON() ([]byte, error) {
	type plain StartedJob
	return encodeObject(plain(x), x.Extra)
}

func (x *Step) UnmarshalJSON(data []byte) error {
	type plain Step
	return decodeObject(data, (*plain)(x))
}

func (x Step) MarshalJSON() ([]byte, error) {
	type plain Step
	return encodeObject(plain(x), x.Extra)
}

func (x *StepProgress) UnmarshalJSON(data []byte) error {
	type plain StepProgress
	return decodeObject(data, (*plain)(x))
}

func (x StepProgress) MarshalJSON() ([]byte, error) {
	type plain StepProgress
	return encodeObject(plain(x), x.Extra)
}

func (x *StepStatus) UnmarshalJSON(data []byte) error {
	type plain StepStatus
	return decodeObject(data, (*plain)(x))
}

func (x StepStatus) MarshalJSON() ([]byte, error) {
	type plain StepStatus
	return encodeObject(plain(x), x.Extra)
}

func (x *TimelineDay) UnmarshalJSON(data []byte) error {
	type plain TimelineDay
	return decodeObject(data, (*plain)(x))
}

func (x TimelineDay) MarshalJSON() ([]byte, error) {
	type plain TimelineDay
	return encodeObject(plain(x), x.Extra)
}

func (x *TokenLimit) UnmarshalJSON(data []byte) error {
	type plain TokenLimit
	return decodeObject(data, (*plain)(x))
}

func (x TokenLimit) MarshalJSON() ([]byte, error) {
	type plain TokenLimit
	return encodeObject(plain(x), x.Extra)
}

func (x *User) UnmarshalJSON(data []byte) error {
	type plain User
	return decodeObject(data, (*plain)(x))
}

func (x User) MarshalJSON() ([]byte, error) {
	type plain User
	return encodeObject(plain(x), x.Extra)
}

func (x *UserList) UnmarshalJSON(data []byte) error {
	type plain UserList
	return decodeObject(data, (*plain)(x))
}

func (x UserList) MarshalJSON() ([]byte, error) {
	type plain UserList
	return encodeObject(plain(x), x.Extra)
}

func (x *Webhook) UnmarshalJSON(data []byte) error {
	type plain Webhook
	return decodeObject(data, (*plain)(x))
}

func (x Webhook) MarshalJSON() ([]byte, error) {
	type plain Webhook
	return encodeObject(plain(x), x.Extra)
}

func (x *WebhookEvent) UnmarshalJSON(data []byte) error {
	type plain WebhookEvent
	return decodeObject(data, (*plain)(x))
}

func (x WebhookEvent) MarshalJSON() ([]byte, error) {
	type plain WebhookEvent
	return encodeObject(plain(x), x.Extra)
}

func (x *WebhookList) UnmarshalJSON(data []byte) error {
	type plain WebhookList
	return decodeObject(data, (*plain)(x))
}

func (x WebhookList) MarshalJSON() ([]byte, error) {
	type plain WebhookList
	return encodeObject(plain(x), x.Extra)
}

func (x *Workflow) UnmarshalJSON(data []byte) error {
	type plain Workflow
	return decodeObject(data, (*plain)(x))
}

func (x Workflow) MarshalJSON() ([]byte, error) {
	type plain Workflow
	return encodeObject(plain(x), x.Extra)
}

func (x *WorkflowList) UnmarshalJSON(data []byte) error {
	type plain WorkflowList
	return decodeObject(data, (*plain)(x))
}

func (x WorkflowList) MarshalJSON() ([]byte, error) {
	type plain WorkflowList
	return encodeObject(plain(x), x.Extra)
}

func (x *WorkflowStep) UnmarshalJSON(data []byte) error {
	type plain WorkflowStep
	return decodeObject(data, (*plain)(x))
}

func (x WorkflowStep) MarshalJSON() ([]byte, error) {
	type plain WorkflowStep
	return encodeObject(plain(x), x.Extra)
}

func (x *WorkflowSummary) UnmarshalJSON(data []byte) error {
	type plain WorkflowSummary
	return decodeObject(data, (*plain)(x))
}

func (x WorkflowSummary) MarshalJSON() ([]byte, error) {
	type plain WorkflowSummary
	return encodeObject(plain(x), x.Extra)
}
