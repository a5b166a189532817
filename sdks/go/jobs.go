package devora

import (
	"context"
	"iter"
	"net/url"
	"strings"
	"time"
)

// JobService reads and controls jobs. See Client.Jobs.
type JobService struct{ client *Client }

// JobListParams filters jobs. Zero fields do not filter.
type JobListParams struct {
	Status         JobStatus
	States         []string  // exact states, such as "PAUSED"
	Since          time.Time // created at or after this time
	Until          time.Time // created before this time
	Owner          string    // for an admin
	AgentID        string
	WorkflowID     string
	Labels         map[string]string // jobs with all of these labels
	Reasons        []string          // open jobs with one of these reasons
	NeedsAttention bool
	Page
}

// List returns one page of jobs, newest first. [JobService.All] iterates over all pages.
func (s *JobService) List(ctx context.Context, params *JobListParams, options ...Option) (*JobList, error) {
	query := url.Values{}
	if params != nil {
		params.Page.set(query)
		set(query, "status", string(params.Status))
		for _, state := range params.States {
			query.Add("state", state)
		}
		setTime(query, "since", params.Since)
		setTime(query, "until", params.Until)
		set(query, "owner", params.Owner)
		set(query, "agent_id", params.AgentID)
		set(query, "workflow_id", params.WorkflowID)
		for name, text := range params.Labels {
			query.Add("label", name+":"+text)
		}
		set(query, "reason", strings.Join(params.Reasons, ","))
		if params.NeedsAttention {
			query.Set("needs_attention", "true")
		}
	}
	return get[JobList](ctx, s.client, query, options, "jobs")
}

// All iterates over all matching jobs and fetches pages as needed.
func (s *JobService) All(ctx context.Context, params *JobListParams, options ...Option) iter.Seq2[*JobSummary, error] {
	return all(value(params).Page, func(at Page) ([]JobSummary, position, error) {
		filter := value(params)
		filter.Page = at
		page, err := s.List(ctx, &filter, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Jobs, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Get returns the current state of a job.
func (s *JobService) Get(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	return get[Job](ctx, s.client, nil, options, "jobs", jobID)
}

// Output returns the complete output of a job, or the partial output of a failed one. It fails while there is no output.
func (s *JobService) Output(ctx context.Context, jobID string, options ...Option) (*Output, error) {
	return get[Output](ctx, s.client, nil, options, "jobs", jobID, "output")
}

// EventListParams selects a page of events.
type EventListParams struct {
	After string // the id of the last event seen
	Limit int    // at most 1000, by default 100
}

// Events returns one page of a job's events, oldest first. [JobService.AllEvents] goes through all pages,
// [JobService.Stream] also follows future ones.
func (s *JobService) Events(ctx context.Context, jobID string, params *EventListParams, options ...Option) (*EventList, error) {
	query := url.Values{}
	if params != nil {
		set(query, "after", params.After)
		setNumber(query, "limit", params.Limit)
	}
	return get[EventList](ctx, s.client, query, options, "jobs", jobID, "events")
}

// AllEvents iterates over all past events of a job and fetches pages as needed.
func (s *JobService) AllEvents(ctx context.Context, jobID string, params *EventListParams, options ...Option) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for query := value(params); ; {
			page, err := s.Events(ctx, jobID, &query, options...)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Events {
				if !yield(&page.Events[i], nil) {
					return
				}
			}
			if !page.HasMore || page.Next == nil {
				return
			}
			if stays(query.After, *page.Next) {
				yield(nil, endless(*page.Next))
				return
			}
			query.After = *page.Next
		}
	}
}

// Cancel cancels a job. The reason may be empty. Control.Done reports whether the job has stopped already.
func (s *JobService) Cancel(ctx context.Context, jobID, reason string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "cancel", cancelBody{reason}, options)
}

// Pause starts no further calls of a job; running calls finish. The note may be empty.
func (s *JobService) Pause(ctx context.Context, jobID, note string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "pause", noteBody{note}, options)
}

// Resume continues a paused job. The note may be empty.
func (s *JobService) Resume(ctx context.Context, jobID, note string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "resume", noteBody{note}, options)
}

// Decision names the waiting step and the reason. Step may be empty if only one step waits.
type Decision struct {
	Step string `json:"step,omitempty"`
	Note string `json:"note,omitempty"`
}

// Approve runs a step that waits for approval.
func (s *JobService) Approve(ctx context.Context, jobID string, decision Decision, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "approve", decision, options)
}

// Reject refuses a step that waits for approval. The step fails.
func (s *JobService) Reject(ctx context.Context, jobID string, decision Decision, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "reject", decision, options)
}

// Retry starts a job that finishes a failed, cancelled or timed-out one. It reuses the results of finished calls.
func (s *JobService) Retry(ctx context.Context, jobID string, options ...Option) (*StartedJob, error) {
	job, err := post[StartedJob](ctx, s.client, struct{}{}, options, "jobs", jobID, "retry")
	if err != nil {
		return nil, err
	}
	job.client = s.client
	return job, nil
}

// Deliveries returns one page of webhook deliveries of a job, newest first.
func (s *JobService) Deliveries(ctx context.Context, jobID string, params *Page, options ...Option) (*DeliveryList, error) {
	query := url.Values{}
	if params != nil {
		params.set(query)
	}
	return get[DeliveryList](ctx, s.client, query, options, "jobs", jobID, "deliveries")
}

// AllDeliveries iterates over all webhook deliveries of a job and fetches pages as needed.
func (s *JobService) AllDeliveries(ctx context.Context, jobID string, params *Page, options ...Option) iter.Seq2[*Delivery, error] {
	return all(value(params), func(at Page) ([]Delivery, position, error) {
		page, err := s.Deliveries(ctx, jobID, &at, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Deliveries, position{page.Next, page.HasMore, page.Total}, nil
	})
}

type cancelBody struct {
	Reason string `json:"reason,omitempty"`
}

type noteBody struct {
	Note string `json:"note,omitempty"`
}

func (s *JobService) control(ctx context.Context, jobID, verb string, body any, options []Option) (*Control, error) {
	return post[Control](ctx, s.client, body, options, "jobs", jobID, verb)
}

// JobStatus is the status of a job. Newer servers may send other values.
type JobStatus string

// Statuses of a job.
const (
	StatusQueued    JobStatus = "queued"
	StatusRunning   JobStatus = "running"
	StatusCompleted JobStatus = "completed"
	StatusFailed    JobStatus = "failed"
	StatusCancelled JobStatus = "cancelled"
)

// Ended reports whether the status is final.
func (s JobStatus) Ended() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Job is a job in full.
type Job struct {
	ID           string            `json:"job_id"`
	Type         string            `json:"type"` // "agent" or "workflow"
	Name         string            `json:"name"`
	AgentID      string            `json:"agent_id"`    // of an agent's job
	WorkflowID   string            `json:"workflow_id"` // of a workflow's job
	Status       JobStatus         `json:"status"`
	State        string            `json:"state"` // exact state: PENDING, RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED, TIMEOUT
	Reason       *Reason           `json:"reason"`
	Progress     *int              `json:"progress"` // percent; nil while not all calls are known
	CallsDone    int               `json:"calls_done"`
	CallsRunning int               `json:"calls_running"`
	CallsKnown   int               `json:"calls_known"`
	Input        map[string]any    `json:"input"`
	Config       map[string]any    `json:"config"`
	Labels       map[string]string `json:"labels"`
	Output       *Output           `json:"output"`
	Error        *JobError         `json:"error"`
	Metrics      JobMetrics        `json:"metrics"`
	Steps        []Step            `json:"steps"`
	RetryOf      *string           `json:"retry_of"`
	RetriedBy    []string          `json:"retried_by"` // nil while the index does not answer
	Children     []string          `json:"children"`   // jobs that this job started
	Questions    []Question        `json:"questions"`
	WebhookURL   *string           `json:"webhook_url"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at"`
	CompletedAt  *time.Time        `json:"completed_at"`
	CancelledAt  *time.Time        `json:"cancelled_at"`
	RunPage      string            `json:"run_page"`
	Links        Links             `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Deliverables returns the files of the output.
func (j *Job) Deliverables() []Deliverable { return j.Output.files() }

// Result is the result of an ended job.
type Result struct {
	JobID       string        `json:"job_id"`
	AgentID     string        `json:"agent_id"`    // of an agent's job
	WorkflowID  string        `json:"workflow_id"` // of a workflow's job
	Status      JobStatus     `json:"status"`
	Output      *Output       `json:"output"` // prints as its text
	Error       *JobError     `json:"error"`
	Metrics     JobMetrics    `json:"metrics"`
	Progress    *StepProgress `json:"progress"` // only in results of Run
	StepsStatus []StepStatus  `json:"steps_status"`
	ETASeconds  int           `json:"eta_seconds"`
	CreatedAt   time.Time     `json:"created_at"`
	CompletedAt *time.Time    `json:"completed_at"`
	Links       Links         `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Deliverables returns the files of the output.
func (r *Result) Deliverables() []Deliverable { return r.Output.files() }

// Output is the output of a job: the text of an agent or a digest of a workflow, and files.
type Output struct {
	Status       string         `json:"status"` // "success" or "partial"
	Output       string         `json:"output"` // Markdown
	Deliverables []Deliverable  `json:"deliverables"`
	Metadata     map[string]any `json:"metadata"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// String returns the text, so that fmt.Println prints it.
func (o *Output) String() string {
	if o == nil {
		return ""
	}
	return o.Output
}

func (o *Output) files() []Deliverable {
	if o == nil {
		return nil
	}
	return o.Deliverables
}

// Deliverable is a file of an output.
type Deliverable struct {
	Path      string  `json:"path"`
	MediaType string  `json:"media_type"`
	Content   string  `json:"content"`
	Step      string  `json:"step"`
	Agent     string  `json:"agent"`
	Artifact  *string `json:"artifact"`

	Extra Extra `json:"-"`
}

// JobMetrics is the usage of a job. Costs are USD, nil without a known price.
type JobMetrics struct {
	TotalTokens      int      `json:"total_tokens"`
	PromptTokens     int      `json:"prompt_tokens"`
	CompletionTokens int      `json:"completion_tokens"`
	ExecutionTime    *float64 `json:"execution_time"` // seconds, once ended
	Cost             *float64 `json:"cost"`
	ProviderCost     *float64 `json:"provider_cost"`
	ReusedTokens     int      `json:"reused_tokens"`
	ReusedCost       *float64 `json:"reused_cost"`

	Extra Extra `json:"-"`
}

// JobError is the error of a job, a call or an attempt.
type JobError struct {
	Type      string  `json:"type"`
	Message   string  `json:"message"`
	Step      *string `json:"step"`
	Agent     *string `json:"agent"`
	Retryable bool    `json:"retryable"`

	Extra Extra `json:"-"`
}

// Reason explains the state of an open job.
type Reason struct {
	Code          string     `json:"code"` // "running", "waiting_for_approval", "no_worker", …
	Message       string     `json:"message"`
	Step          *string    `json:"step"`
	Agent         *string    `json:"agent"`
	Attempt       *int       `json:"attempt"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastError     *JobError  `json:"last_error"`

	// Of a job that waits for a person: the question, the schema of the answer's values, and the end of the wait.
	Question    string         `json:"question"`
	InputSchema map[string]any `json:"input_schema"`
	Deadline    *time.Time     `json:"deadline"`

	Extra Extra `json:"-"`
}

// Step is one agent call of a job.
type Step struct {
	Step       string     `json:"step"`
	Agent      string     `json:"agent"`
	Call       int        `json:"call"`
	Title      string     `json:"title"`
	Status     string     `json:"status"`
	Attempts   []Attempt  `json:"attempts"`
	Tokens     int        `json:"tokens"`
	Cost       *float64   `json:"cost"`
	Duration   *float64   `json:"duration"` // seconds
	Model      *string    `json:"model"`
	Error      *JobError  `json:"error"`
	Reused     bool       `json:"reused"`
	ReusedFrom *string    `json:"reused_from"`
	Child      *string    `json:"child"` // the job that the step runs
	Turns      int        `json:"turns"` // requests of an agent with tools
	MaxTurns   *int       `json:"max_turns"`
	ToolCalls  []ToolCall `json:"tool_calls"`
	Key        string     `json:"key"` // item and round, such as "2/alpha"
	Why        *string    `json:"why"` // of a skipped call

	Extra Extra `json:"-"`
}

// ToolCall is one call of a tool by an agent. Arguments and Result are beginnings.
type ToolCall struct {
	ID          string     `json:"id"`
	Turn        int        `json:"turn"`
	Tool        string     `json:"tool"`
	Status      string     `json:"status"`
	Arguments   string     `json:"arguments"`
	Attempts    int        `json:"attempts"`
	EffectID    string     `json:"effect_id"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Result      *string    `json:"result"`
	Bytes       *int       `json:"bytes"` // size of the whole result
	Error       *JobError  `json:"error"`
	Calls       *string    `json:"calls"` // the key of the call of the agent that is the tool
	AnsweredBy  *string    `json:"answered_by"`

	Extra Extra `json:"-"`
}

// Attempt is one attempt of a call.
type Attempt struct {
	Number      int        `json:"number"`
	Status      string     `json:"status"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Error       *JobError  `json:"error"`

	Extra Extra `json:"-"`
}

// Links are paths of the job and its parts, relative to the server.
type Links struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Output string `json:"output"`
	Cancel string `json:"cancel"`

	Extra Extra `json:"-"`
}

// JobList is one page of jobs.
type JobList struct {
	Jobs    []JobSummary `json:"jobs"`
	Total   int          `json:"total"`
	Limit   int          `json:"limit"`
	Offset  int          `json:"offset"`
	Next    *string      `json:"next"`
	HasMore bool         `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// JobSummary is one job of a list.
type JobSummary struct {
	ID          string       `json:"job_id"`
	Type        string       `json:"type"`
	Name        string       `json:"name"`
	Owner       string       `json:"owner"`
	AgentID     string       `json:"agent_id"`
	WorkflowID  string       `json:"workflow_id"`
	Status      JobStatus    `json:"status"`
	State       string       `json:"state"`
	Progress    *int         `json:"progress"` // percent; nil while not all calls are known
	Reason      *SeenReason  `json:"reason"`
	Error       *ListedError `json:"error"`
	RetryOf     *string      `json:"retry_of"`
	RetriedBy   []string     `json:"retried_by"`
	CreatedAt   time.Time    `json:"created_at"`
	StartedAt   *time.Time   `json:"started_at"`
	CompletedAt *time.Time   `json:"completed_at"`
	Links       Links        `json:"links"`

	Extra Extra `json:"-"`
}

// SeenReason explains the state of an open job at SeenAt.
type SeenReason struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Since   *time.Time `json:"since"`
	SeenAt  *time.Time `json:"seen_at"`

	Extra Extra `json:"-"`
}

// ListedError is the short error of a failed job.
type ListedError struct {
	Type    string `json:"type"`
	Message string `json:"message"`

	Extra Extra `json:"-"`
}

// Control is the outcome of a control. Done is false while it is requested but not yet in force.
type Control struct {
	JobID       string     `json:"job_id"`
	Status      JobStatus  `json:"status"`
	State       string     `json:"state"`
	Done        bool       `json:"done"`
	CancelledAt *time.Time `json:"cancelled_at"` // of a cancel
	Reason      *Reason    `json:"reason"`
	Links       Links      `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// EventList is one page of events. Next is nil after the last event of the job.
type EventList struct {
	Events  []Event `json:"events"`
	Next    *string `json:"next"`
	HasMore bool    `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
