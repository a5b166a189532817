package devora

import (
	"context"
	"net/http"
)

// HealthService probes the server. See Client.Health.
type HealthService struct{ client *Client }

// Live reports that the server responds. It does not check its backends.
func (s *HealthService) Live(ctx context.Context, options ...Option) (*Liveness, error) {
	return answered[Liveness](ctx, s.client, call{method: http.MethodGet, path: "/healthz"}, options)
}

// Ready reports whether each backend of the server responds. A server that is not ready is not an error; see Readiness.
func (s *HealthService) Ready(ctx context.Context, options ...Option) (*Readiness, error) {
	probe := call{method: http.MethodGet, path: "/readyz", accepts: []int{http.StatusServiceUnavailable}}
	return answered[Readiness](ctx, s.client, probe, options)
}

// Liveness is the status of the server itself.
type Liveness struct {
	Status string `json:"status"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Readiness is the status of the server's backends.
type Readiness struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Check is the status of one backend.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`

	Extra Extra `json:"-"`
}
