package devora

import "context"

// WorkflowService runs workflows. See Client.Workflows.
type WorkflowService struct{ client *Client }

// WorkflowRunRequest is what a workflow is started with.
type WorkflowRunRequest struct {
	WorkflowID string                 `json:"-"`
	Input      map[string]interface{} `json:"input"`
	Config     *JobConfig             `json:"config,omitempty"`
	// WebhookURL is called when the job has ended. It is for Start.
	WebhookURL string `json:"webhook_url,omitempty"`
}

// Run runs a workflow and waits for the result, 10 minutes unless [WithTimeout] says otherwise.
//
// If the wait of the server ends before the job, or the connection breaks, Run goes on waiting for the same job. A job
// that fails or is cancelled is an error: [ErrJobFailed], [ErrJobCancelled].
func (s *WorkflowService) Run(ctx context.Context, request *WorkflowRunRequest, options ...Option) (*Result, error) {
	body := startBody{Input: request.Input, Config: request.Config}
	return s.client.runToEnd(ctx, body, options, "workflows", request.WorkflowID, "run")
}

// Start starts a workflow and returns at once. The job goes on without the caller.
func (s *WorkflowService) Start(ctx context.Context, request *WorkflowRunRequest, options ...Option) (*StartedJob, error) {
	body := startBody{Input: request.Input, Config: request.Config, WebhookURL: request.WebhookURL, Async: true}
	return s.client.start(ctx, body, options, "workflows", request.WorkflowID, "run")
}

// List gives every workflow.
func (s *WorkflowService) List(ctx context.Context, options ...Option) (*WorkflowList, error) {
	return get[WorkflowList](ctx, s.client, nil, options, "workflows")
}

// Get gives one workflow with its steps and schemas.
func (s *WorkflowService) Get(ctx context.Context, workflowID string, options ...Option) (*Workflow, error) {
	return get[Workflow](ctx, s.client, nil, options, "workflows", workflowID)
}

// WorkflowList is every workflow.
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

// WorkflowStep is one step of a workflow. Needs are the steps that must be done before it.
type WorkflowStep struct {
	Order         int      `json:"order"`
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Squad         string   `json:"squad"`
	Agents        []string `json:"agents"`
	Needs         []string `json:"needs"`
	EstimatedTime string   `json:"estimated_time"`
	Approval      bool     `json:"approval"` // whether the step waits for a person

	Extra Extra `json:"-"`
}
