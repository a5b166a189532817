package devora

import (
	"context"
	"net/url"
)

// MetricsService reads figures of jobs. See Client.Metrics.
type MetricsService struct{ client *Client }

// Get returns the figures of the last 24 hours.
func (s *MetricsService) Get(ctx context.Context, options ...Option) (*Metrics, error) {
	return get[Metrics](ctx, s.client, nil, options, "metrics")
}

// Agent returns the figures of one agent over "1h", "24h", "7d", "30d" or "all". An empty period is 24 hours.
func (s *MetricsService) Agent(ctx context.Context, agentID, period string, options ...Option) (*AgentMetrics, error) {
	query := url.Values{}
	set(query, "period", period)
	return get[AgentMetrics](ctx, s.client, query, options, "metrics", "agents", agentID)
}

// Metrics are the figures of the last 24 hours.
type Metrics struct {
	Period     string              `json:"period"`
	Summary    MetricsSummary      `json:"summary"`
	ByAgent    map[string]Averages `json:"by_agent"`
	ByWorkflow map[string]Averages `json:"by_workflow"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// MetricsSummary are the figures of all jobs. Rates are percent, times seconds, costs USD.
type MetricsSummary struct {
	TotalJobs        int      `json:"total_jobs"`
	CompletedJobs    int      `json:"completed_jobs"`
	FailedJobs       int      `json:"failed_jobs"`
	SuccessRate      float64  `json:"success_rate"`
	TotalTokens      int      `json:"total_tokens"`
	TotalCost        *float64 `json:"total_cost"`
	AvgExecutionTime float64  `json:"avg_execution_time"`

	Extra Extra `json:"-"`
}

// Averages are figures of the executions of one agent or workflow.
type Averages struct {
	Executions  int     `json:"executions"`
	AvgTokens   int     `json:"avg_tokens"`
	AvgTime     float64 `json:"avg_time"`
	SuccessRate float64 `json:"success_rate"`

	Extra Extra `json:"-"`
}

// AgentMetrics are the figures of one agent over a period.
type AgentMetrics struct {
	AgentID  string        `json:"agent_id"`
	Period   string        `json:"period"`
	Metrics  AgentFigures  `json:"metrics"`
	Timeline []TimelineDay `json:"timeline"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// AgentFigures are figures of an agent's attempts. Times are seconds, costs USD.
type AgentFigures struct {
	TotalExecutions       int      `json:"total_executions"`
	Successful            int      `json:"successful"`
	Failed                int      `json:"failed"`
	SuccessRate           float64  `json:"success_rate"`
	TotalTokens           int      `json:"total_tokens"`
	AvgTokensPerExecution int      `json:"avg_tokens_per_execution"`
	TotalCost             *float64 `json:"total_cost"`
	AvgCostPerExecution   *float64 `json:"avg_cost_per_execution"`
	AvgExecutionTime      float64  `json:"avg_execution_time"`
	P50ExecutionTime      float64  `json:"p50_execution_time"`
	P95ExecutionTime      float64  `json:"p95_execution_time"`
	P99ExecutionTime      float64  `json:"p99_execution_time"`

	Extra Extra `json:"-"`
}

// TimelineDay is one day in UTC.
type TimelineDay struct {
	Date       string   `json:"date"` // 2024-12-09
	Executions int      `json:"executions"`
	Tokens     int      `json:"tokens"`
	Cost       *float64 `json:"cost"`

	Extra Extra `json:"-"`
}
