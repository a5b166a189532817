package devora

import (
	"context"
	"time"
)

// AgentService runs agents. See Client.Agents.
type AgentService struct{ client *Client }

// AgentExecuteRequest starts an agent.
type AgentExecuteRequest struct {
	AgentID string                 `json:"-"`
	Input   map[string]interface{} `json:"input"`
	Config  *JobConfig             `json:"config,omitempty"`
	Labels  map[string]string      `json:"labels,omitempty"` // your own; lists filter by them
	// WebhookURL receives the end of the job. Only Start sends it.
	WebhookURL string `json:"webhook_url,omitempty"`
	// StartAt, or Delay in seconds, is when the job starts. Only Start sends them.
	StartAt *time.Time `json:"start_at,omitempty"`
	Delay   int        `json:"delay,omitempty"`
}

// JobConfig overrides settings of the job's agents. Zero fields keep the agent's setting.
type JobConfig struct {
	Model             string   `json:"model,omitempty"` // "provider:model", for every agent of the job
	Temperature       *float64 `json:"temperature,omitempty"`
	MaxTokens         *int     `json:"max_tokens,omitempty"`
	ParallelExecution *bool    `json:"parallel_execution,omitempty"`
	StopOnError       *bool    `json:"stop_on_error,omitempty"`
}

// Execute runs an agent and waits for its result. The default timeout is 10 minutes; see [WithTimeout].
//
// If the server's wait runs out or the connection breaks, Execute keeps waiting for the same job. A failed or
// cancelled job is an error: [ErrJobFailed], [ErrJobCancelled].
func (s *AgentService) Execute(ctx context.Context, request *AgentExecuteRequest, options ...Option) (*Result, error) {
	start := value(request)
	body := startBody{Input: start.Input, Config: start.Config, Labels: start.Labels}
	return s.client.runToEnd(ctx, body, options, "agents", start.AgentID, "execute")
}

// Start starts an agent and returns at once. The job continues without the caller.
func (s *AgentService) Start(ctx context.Context, request *AgentExecuteRequest, options ...Option) (*StartedJob, error) {
	start := value(request)
	body := startBody{Input: start.Input, Config: start.Config, Labels: start.Labels, WebhookURL: start.WebhookURL, StartAt: start.StartAt, Delay: start.Delay, Async: true}
	return s.client.start(ctx, body, options, "agents", start.AgentID, "execute")
}

// List returns all agents.
func (s *AgentService) List(ctx context.Context, options ...Option) (*AgentList, error) {
	return get[AgentList](ctx, s.client, nil, options, "agents")
}

// Get returns one agent with its schemas, settings and price.
func (s *AgentService) Get(ctx context.Context, agentID string, options ...Option) (*Agent, error) {
	return get[Agent](ctx, s.client, nil, options, "agents", agentID)
}

// Health returns an agent's error rate and response time over the last 24 hours.
func (s *AgentService) Health(ctx context.Context, agentID string, options ...Option) (*AgentHealth, error) {
	return get[AgentHealth](ctx, s.client, nil, options, "agents", agentID, "health")
}

// AgentList is the list of all agents.
type AgentList struct {
	Agents      []AgentSummary `json:"agents"`
	Total       int            `json:"total"`
	Available   int            `json:"available"`
	Unavailable int            `json:"unavailable"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// AgentSummary is one agent of the list.
type AgentSummary struct {
	ID           string       `json:"id"`
	Name         string       `json:"name"`
	Squad        string       `json:"squad"`
	Description  string       `json:"description"`
	Capabilities []string     `json:"capabilities"`
	Status       string       `json:"status"` // "available" or "unavailable"
	Health       Availability `json:"health"`

	Extra Extra `json:"-"`
}

// Availability reports whether an agent can run now.
type Availability struct {
	Healthy   bool      `json:"healthy"`
	LastCheck time.Time `json:"last_check"`

	Extra Extra `json:"-"`
}

// Agent is one agent.
type Agent struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Squad        string         `json:"squad"`
	Description  string         `json:"description"`
	Capabilities []string       `json:"capabilities"`
	InputSchema  map[string]any `json:"input_schema"`
	OutputSchema map[string]any `json:"output_schema"`
	Config       AgentConfig    `json:"config"`
	Pricing      Pricing        `json:"pricing"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// AgentConfig are an agent's default settings.
type AgentConfig struct {
	DefaultModel       string  `json:"default_model"`
	DefaultTemperature float64 `json:"default_temperature"`
	MaxTokens          int     `json:"max_tokens"`

	Extra Extra `json:"-"`
}

// Pricing is an agent's price in USD.
type Pricing struct {
	PerRequest  float64 `json:"per_request"`
	Per1kTokens float64 `json:"per_1k_tokens"`

	Extra Extra `json:"-"`
}

// AgentHealth are figures of an agent's last 24 hours. Times are seconds, rates percent.
type AgentHealth struct {
	AgentID         string     `json:"agent_id"`
	Healthy         bool       `json:"healthy"`
	LastExecution   *time.Time `json:"last_execution"`
	AvgResponseTime *float64   `json:"avg_response_time"`
	ErrorRate       float64    `json:"error_rate"`
	Uptime          float64    `json:"uptime"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
