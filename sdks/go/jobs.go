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

// JobListParams says which jobs are listed. Zero fields do not filter.
type JobListParams struct {
	Status         JobStatus
	States         []string  // exact ones, such as "PAUSED"
	Since          time.Time // created then or later
	Until          time.Time // created before
	Owner          string    // for an admin
	AgentID        string
	WorkflowID     string
	Reasons        []string // open jobs with one of these reasons
	NeedsAttention bool
	Page
}

// List gives one page of jobs, newest first. [JobService.All] goes through all pages.
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
		set(query, "reason", strings.Join(params.Reasons, ","))
		if params.NeedsAttention {
			query.Set("needs_attention", "true")
		}
	}
	return get[JobList](ctx, s.client, query, options, "jobs")
}

// All goes through all jobs that match, and fetches pages as it goes.
func (s *JobService) All(ctx context.Context, params *JobListParams, options ...Option) iter.Seq2[*JobSummary, error] {
	return all(value(params).Page, func(at Page) ([]JobSummary, position, error) {
		wanted := value(params)
		wanted.Page = at
		page, err := s.List(ctx, &wanted, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Jobs, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Get gives a job as it is now.
func (s *JobService) Get(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	return get[Job](ctx, s.client, nil, options, "jobs", jobID)
}

// Output gives the complete output of a job, or what is left of one that failed. While there is none it is an error.
func (s *JobService) Output(ctx context.Context, jobID string, options ...Option) (*Output, error) {
	return get[Output](ctx, s.client, nil, options, "jobs", jobID, "output")
}

// EventListParams says which events a page holds.
type EventListParams struct {
	After string // the id of the last event seen
	Limit int    // at most 1000, by default 100
}

// Events gives one page of a job's events, oldest first. [JobService.AllEvents] goes through all pages,
// [JobService.Stream] follows those to come, too.
func (s *JobService) Events(ctx context.Context, jobID string, params *EventListParams, options ...Option) (*EventList, error) {
	query := url.Values{}
	if params != nil {
		set(query, "after", params.After)
		setNumber(query, "limit", params.Limit)
	}
	return get[EventList](ctx, s.client, query, options, "jobs", jobID, "events")
}

// AllEvents goes through all events that a job has until now, and fetches pages as it goes.
func (s *JobService) AllEvents(ctx context.Context, jobID string, params *EventListParams, options ...Option) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for wanted := value(params); ; {
			page, err := s.Events(ctx, jobID, &wanted, options...)
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
			wanted.After = *page.Next
		}
	}
}

// Cancel cancels a job. The reason may be empty. Done says whether it is in force already.
func (s *JobService) Cancel(ctx context.Context, jobID, reason string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "cancel", cancelBody{reason}, options)
}

// Pause starts nothing new of a job; calls under way finish. The note may be empty.
func (s *JobService) Pause(ctx context.Context, jobID, note string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "pause", noteBody{note}, options)
}

// Resume goes on after a pause. The note may be empty.
func (s *JobService) Resume(ctx context.Context, jobID, note string, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "resume", noteBody{note}, options)
}

// Decision says which waiting step is decided on, and why. The step may be left out where only one waits.
type Decision struct {
	Step string `json:"step,omitempty"`
	Note string `json:"note,omitempty"`
}

// Approve lets a step run that waits for a person.
func (s *JobService) Approve(ctx context.Context, jobID string, decision Decision, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "approve", decision, options)
}

// Reject refuses a step that waits for a person; it counts as failed.
func (s *JobService) Reject(ctx context.Context, jobID string, decision Decision, options ...Option) (*Control, error) {
	return s.control(ctx, jobID, "reject", decision, options)
}

// Retry finishes a job that failed, was cancelled or timed out, in a new job that takes over each finished call.
func (s *JobService) Retry(ctx context.Context, jobID string, options ...Option) (*StartedJob, error) {
	job, err := post[StartedJob](ctx, s.client, struct{}{}, options, "jobs", jobID, "retry")
	if err != nil {
		return nil, err
	}
	job.client = s.client
	return job, nil
}

// Deliveries gives one page of what webhooks were sent about a job, newest first.
func (s *JobService) Deliveries(ctx context.Context, jobID string, params *Page, options ...Option) (*DeliveryList, error) {
	query := url.Values{}
	if params != nil {
		params.set(query)
	}
	return get[DeliveryList](ctx, s.client, query, options, "jobs", jobID, "deliveries")
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

// JobStatus is where a job is, in one of five words. A newer server may have others.
type JobStatus string

// The five words.
const (
	StatusQueued    JobStatus = "queued"
	StatusRunning   JobStatus = "running"
	StatusCompleted JobStatus = "completed"
	StatusFailed    JobStatus = "failed"
	StatusCancelled JobStatus = "cancelled"
)

// Ended says whether nothing can follow.
func (s JobStatus) Ended() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Job is a job in full.
type Job struct {
	ID          string         `json:"job_id"`
	Type        string         `json:"type"` // "agent" or "workflow"
	Name        string         `json:"name"`
	AgentID     string         `json:"agent_id"`    // of an agent's job
	WorkflowID  string         `json:"workflow_id"` // of a workflow's job
	Status      JobStatus      `json:"status"`
	State       string         `json:"state"` // exactly where it is: PENDING, RUNNING, PAUSED, COMPLETED, FAILED, CANCELLED, TIMEOUT
	Reason      *Reason        `json:"reason"`
	Progress    int            `json:"progress"` // percent
	Input       map[string]any `json:"input"`
	Config      map[string]any `json:"config"`
	Output      *Output        `json:"output"`
	Error       *JobError      `json:"error"`
	Metrics     JobMetrics     `json:"metrics"`
	Steps       []Step         `json:"steps"`
	RetryOf     *string        `json:"retry_of"`
	RetriedBy   []string       `json:"retried_by"` // nil while the index does not answer
	WebhookURL  *string        `json:"webhook_url"`
	CreatedAt   time.Time      `json:"created_at"`
	StartedAt   *time.Time     `json:"started_at"`
	CompletedAt *time.Time     `json:"completed_at"`
	CancelledAt *time.Time     `json:"cancelled_at"`
	RunPage     string         `json:"run_page"`
	Links       Links          `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Deliverables are the files of the output.
func (j *Job) Deliverables() []Deliverable { return j.Output.files() }

// Result is what became of a job that ended.
type Result struct {
	JobID       string        `json:"job_id"`
	AgentID     string        `json:"agent_id"`    // of an agent's job
	WorkflowID  string        `json:"workflow_id"` // of a workflow's job
	Status      JobStatus     `json:"status"`
	Output      *Output       `json:"output"` // prints as its text
	Error       *JobError     `json:"error"`
	Metrics     JobMetrics    `json:"metrics"`
	Progress    *StepProgress `json:"progress"` // where the answer to Run held it
	StepsStatus []StepStatus  `json:"steps_status"`
	ETASeconds  int           `json:"eta_seconds"`
	CreatedAt   time.Time     `json:"created_at"`
	CompletedAt *time.Time    `json:"completed_at"`
	Links       Links         `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Deliverables are the files of the output.
func (r *Result) Deliverables() []Deliverable { return r.Output.files() }

// Output is what a job made: an agent's answer, or a digest of a whole workflow, and files.
type Output struct {
	Status       string         `json:"status"` // "success" or "partial"
	Output       string         `json:"output"` // Markdown
	Deliverables []Deliverable  `json:"deliverables"`
	Metadata     map[string]any `json:"metadata"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// String is the text, so that an output prints as it.
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

// Deliverable is a file that a job made.
type Deliverable struct {
	Path      string  `json:"path"`
	MediaType string  `json:"media_type"`
	Content   string  `json:"content"`
	Step      string  `json:"step"`
	Agent     string  `json:"agent"`
	Artifact  *string `json:"artifact"`

	Extra Extra `json:"-"`
}

// JobMetrics is what a job used. Costs are USD, nil where no price is known.
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

// JobError is why a job, a call or an attempt failed.
type JobError struct {
	Type      string  `json:"type"`
	Message   string  `json:"message"`
	Step      *string `json:"step"`
	Agent     *string `json:"agent"`
	Retryable bool    `json:"retryable"`

	Extra Extra `json:"-"`
}

// Reason is why an open job is where it is.
type Reason struct {
	Code          string     `json:"code"` // "running", "waiting_for_approval", "no_worker", …
	Message       string     `json:"message"`
	Step          *string    `json:"step"`
	Agent         *string    `json:"agent"`
	Attempt       *int       `json:"attempt"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastError     *JobError  `json:"last_error"`

	Extra Extra `json:"-"`
}

// Step is one call of an agent in a job.
type Step struct {
	Step       string    `json:"step"`
	Agent      string    `json:"agent"`
	Call       int       `json:"call"`
	Title      string    `json:"title"`
	Status     string    `json:"status"`
	Attempts   []Attempt `json:"attempts"`
	Tokens     int       `json:"tokens"`
	Cost       *float64  `json:"cost"`
	Duration   *float64  `json:"duration"` // seconds
	Model      *string   `json:"model"`
	Error      *JobError `json:"error"`
	Reused     bool      `json:"reused"`
	ReusedFrom *string   `json:"reused_from"`

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

// Links are where the parts of a job are, relative to the server.
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
	Progress    int          `json:"progress"`
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

// SeenReason is why an open job was where it was at SeenAt.
type SeenReason struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Since   *time.Time `json:"since"`
	SeenAt  *time.Time `json:"seen_at"`

	Extra Extra `json:"-"`
}

// ListedError is why a job failed, in short.
type ListedError struct {
	Type    string `json:"type"`
	Message string `json:"message"`

	Extra Extra `json:"-"`
}

// Control is what became of a control: Done, or requested and not yet in force.
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

// EventList is one page of events. Next is nil once nothing can follow.
type EventList struct {
	Events  []Event `json:"events"`
	Next    *string `json:"next"`
	HasMore bool    `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
