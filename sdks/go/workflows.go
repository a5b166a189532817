package devora

import (
	"context"
	"time"
)

// WorkflowService runs workflows. See Client.Workflows.
type WorkflowService struct{ client *Client }

// WorkflowRunRequest starts a workflow.
type WorkflowRunRequest struct {
	WorkflowID string                 `json:"-"`
	Input      map[string]interface{} `json:"input"`
	Config     *JobConfig             `json:"config,omitempty"`
	Labels     map[string]string      `json:"labels,omitempty"` // your own; lists filter by them
	// WebhookURL receives the end of the job. Only Start sends it.
	WebhookURL string `json:"webhook_url,omitempty"`
	// StartAt, or Delay in seconds, is when the job starts. Only Start sends them.
	StartAt *time.Time `json:"start_at,omitempty"`
	Delay   int        `json:"delay,omitempty"`
}

// Run runs a workflow and waits for its result. The default timeout is 10 minutes; see [WithTimeout].
//
// If the server's wait runs out or the connection breaks, Run keeps waiting for the same job. A failed or cancelled
// job is an error: [ErrJobFailed], [ErrJobCancelled].
func (s *WorkflowService) Run(ctx context.Context, request *WorkflowRunRequest, options ...Option) (*Result, error) {
	start := value(request)
	body := startBody{Input: start.Input, Config: start.Config, Labels: start.Labels}
	return s.client.runToEnd(ctx, body, options, "workflows", start.WorkflowID, "run")
}

// Start starts a workflow and returns at once. The job continues without the caller.
func (s *WorkflowService) Start(ctx context.Context, request *WorkflowRunRequest, options ...Option) (*StartedJob, error) {
	start := value(request)
	body := startBody{Input: start.Input, Config: start.Config, Labels: start.Labels, WebhookURL: start.WebhookURL, StartAt: start.StartAt, Delay: start.Delay, Async: true}
	return s.client.start(ctx, body, options, "workflows", start.WorkflowID, "run")
}

// List returns all workflows.
func (s *WorkflowService) List(ctx context.Context, options ...Option) (*WorkflowList, error) {
	return get[WorkflowList](ctx, s.client, nil, options, "workflows")
}

// Get returns one workflow with its steps and schemas.
func (s *WorkflowService) Get(ctx context.Context, workflowID string, options ...Option) (*Workflow, error) {
	return get[Workflow](ctx, s.client, nil, options, "workflows", workflowID)
}

// WorkflowList is the list of all workflows.
type WorkflowList struct {
	Workflows []WorkflowSummary `json:"workflows"`
	Total     int               `json:"total"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// WorkflowSummary is one workflow of the list.
type WorkflowSummary struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	Squads        []string `json:"squads"`
	AgentsCount   int      `json:"agents_count"`
	EstimatedTime string   `json:"estimated_time"`
	EstimatedCost string   `json:"estimated_cost"`
	Complexity    string   `json:"complexity"`

	Extra Extra `json:"-"`
}

// Workflow is one workflow.
type Workflow struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Description   string         `json:"description"`
	Version       string         `json:"version"`
	Complexity    string         `json:"complexity"`
	EstimatedTime string         `json:"estimated_time"`
	EstimatedCost string         `json:"estimated_cost"`
	Steps         []WorkflowStep `json:"steps"`
	InputSchema   map[string]any `json:"input_schema"`
	OutputSchema  map[string]any `json:"output_schema"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// WorkflowStep is one step of a workflow. It starts after the steps in Needs.
type WorkflowStep struct {
	Order         int            `json:"order"`
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	Squad         string         `json:"squad"`
	Agents        []string       `json:"agents"`
	Needs         []string       `json:"needs"`
	EstimatedTime string         `json:"estimated_time"`
	Approval      bool           `json:"approval"` // the step waits for a person
	Decides       map[string]any `json:"decides"`  // what else the plan says of the step
	Steps         []WorkflowStep `json:"steps"`    // the steps of a group

	Extra Extra `json:"-"`
}
