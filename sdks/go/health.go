package devora

import (
	"context"
	"net/http"
)

// HealthService asks whether the server is up. See Client.Health.
type HealthService struct{ client *Client }

// Live says that the server answers, and nothing of the parts behind it.
func (s *HealthService) Live(ctx context.Context, options ...Option) (*Liveness, error) {
	return answered[Liveness](ctx, s.client, call{method: http.MethodGet, path: "/healthz"}, options)
}

// Ready says whether each part behind the server answers. A server that is not ready is no error: see Readiness.Ready.
func (s *HealthService) Ready(ctx context.Context, options ...Option) (*Readiness, error) {
	probe := call{method: http.MethodGet, path: "/readyz", accepts: []int{http.StatusServiceUnavailable}}
	return answered[Readiness](ctx, s.client, probe, options)
}

// Liveness says that the server answers.
type Liveness struct {
	Status string `json:"status"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Readiness says whether each part behind the server answers.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Check is what one part said.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`

	Extra Extra `json:"-"`
}
