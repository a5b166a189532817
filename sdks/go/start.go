package devora

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"
)

type startBody struct {
	Input      map[string]interface{} `json:"input"`
	Config     *JobConfig             `json:"config,omitempty"`
	Labels     map[string]string      `json:"labels,omitempty"`
	Async      bool                   `json:"async"`
	WebhookURL string                 `json:"webhook_url,omitempty"`
	StartAt    *time.Time             `json:"start_at,omitempty"`
	Delay      int                    `json:"delay,omitempty"`
}

// MarshalJSON sends a nil input as an empty object.
func (b startBody) MarshalJSON() ([]byte, error) {
	type plain startBody
	if b.Input == nil {
		b.Input = map[string]interface{}{}
	}
	return json.Marshal(plain(b))
}

// start starts a job and returns at once.
func (c *Client) start(ctx context.Context, body startBody, options []Option, parts ...string) (*StartedJob, error) {
	job, err := post[StartedJob](ctx, c, body, options, parts...)
	if err != nil {
		return nil, err
	}
	job.client = c
	return job, nil
}

// runToEnd starts one job and waits for its end, through lost connections.
//
// A deadline within the server's own wait would cut that wait, and the job's id with it: the job is then started without
// a wait, so that the error of the deadline names it.
func (c *Client) runToEnd(ctx context.Context, body startBody, options []Option, parts ...string) (*Result, error) {
	ctx, cancel := c.config.with(options).deadline(ctx, blockTimeout)
	defer cancel()
	if until, ok := ctx.Deadline(); ok && time.Until(until) < blockAttempt {
		body.Async = true
	}
	options = append(options[:len(options):len(options)], WithTimeout(noTimeout)) // ctx holds the deadline
	blocking := call{method: http.MethodPost, body: body, attemptLimit: blockAttempt, persistent: true}
	result, err := fetch[Result](ctx, c, blocking, options, parts...)
	var fault *Error
	if errors.As(err, &fault) && fault.Status == http.StatusServiceUnavailable && fault.JobID != "" {
		return c.resultOf(ctx, fault.JobID, options) // the server's wait ran out; the job continues
	}
	if err != nil {
		return nil, err
	}
	if err := result.failure(); err != nil {
		return nil, err
	}
	if result.Status == "" || result.JobID == "" {
		return nil, noJob(result.RequestID)
	}
	if !result.Status.Ended() { // answered before the end of the job
		return c.resultOf(ctx, result.JobID, options)
	}
	return result, nil
}

// resultOf waits for a started job.
func (c *Client) resultOf(ctx context.Context, jobID string, options []Option) (*Result, error) {
	job, err := c.Jobs.Wait(ctx, jobID, options...)
	if err != nil {
		return nil, err
	}
	return job.result(), nil
}

// StartedJob is a started job. Its methods call the API.
type StartedJob struct {
	ID          string        `json:"job_id"`
	AgentID     string        `json:"agent_id"`    // of an agent's job
	WorkflowID  string        `json:"workflow_id"` // of a workflow's job
	Status      JobStatus     `json:"status"`      // at the start
	Progress    *StepProgress `json:"progress"`    // of a workflow's job
	StepsStatus []StepStatus  `json:"steps_status"`
	CreatedAt   time.Time     `json:"created_at"`
	ETASeconds  int           `json:"eta_seconds"`
	WebhookURL  *string       `json:"webhook_url"`
	Links       Links         `json:"links"`

	// For a retry: the job that it finishes, and what it reuses of that job.
	Type         string   `json:"type"` // agent or workflow
	RetryOf      string   `json:"retry_of"`
	ReusedCalls  int      `json:"reused_calls"`
	ReusedTokens int      `json:"reused_tokens"`
	ReusedCost   *float64 `json:"reused_cost"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`

	client *Client
}

// StepProgress counts finished steps.
type StepProgress struct {
	CurrentStep int `json:"current_step"`
	TotalSteps  int `json:"total_steps"`
	Percentage  int `json:"percentage"`

	Extra Extra `json:"-"`
}

// StepStatus is one started step.
type StepStatus struct {
	Step        string     `json:"step"`
	Status      string     `json:"status"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`

	Extra Extra `json:"-"`
}

// Get returns the current state of the job: progress, steps and reason.
func (j *StartedJob) Get(ctx context.Context, options ...Option) (*Job, error) {
	return j.client.Jobs.Get(ctx, j.ID, options...)
}

// IsComplete reports whether the job has ended, successfully or not.
func (j *StartedJob) IsComplete(ctx context.Context, options ...Option) (bool, error) {
	job, err := j.Get(ctx, options...)
	return err == nil && job.Status.Ended(), err
}

// Wait waits for the end of the job. See [JobService.Wait].
func (j *StartedJob) Wait(ctx context.Context, options ...Option) (*Job, error) {
	return j.client.Jobs.Wait(ctx, j.ID, options...)
}

// Result returns the ended job. See [JobService.Result].
func (j *StartedJob) Result(ctx context.Context, options ...Option) (*Job, error) {
	return j.client.Jobs.Result(ctx, j.ID, options...)
}

// Stream follows the job's events. See [JobService.Stream].
func (j *StartedJob) Stream(ctx context.Context, params *StreamParams, options ...Option) iter.Seq2[*Event, error] {
	return j.client.Jobs.Stream(ctx, j.ID, params, options...)
}

// Cancel cancels the job. See [JobService.Cancel].
func (j *StartedJob) Cancel(ctx context.Context, reason string, options ...Option) (*Control, error) {
	return j.client.Jobs.Cancel(ctx, j.ID, reason, options...)
}
