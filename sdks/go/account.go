package devora

import (
	"context"
	"net/http"
	"time"
)

// AccountService reads the caller's identity and limits. See Client.Account.
type AccountService struct{ client *Client }

// Me returns the caller's identity and scopes.
func (s *AccountService) Me(ctx context.Context, options ...Option) (*Account, error) {
	return get[Account](ctx, s.client, nil, options, "auth", "me")
}

// Limits returns the caller's limits and usage.
func (s *AccountService) Limits(ctx context.Context, options ...Option) (*Limits, error) {
	return get[Limits](ctx, s.client, nil, options, "limits")
}

// SignOut ends the sign-in of the client's access token.
func (s *AccountService) SignOut(ctx context.Context, options ...Option) error {
	return send(ctx, s.client, call{method: http.MethodPost}, options, "auth", "sign-out")
}

// Account is the caller. A nil Tier has no limits.
type Account struct {
	ID        string     `json:"id"`
	KeyID     *string    `json:"key_id"`
	Name      *string    `json:"name"`
	Scopes    []string   `json:"scopes"`
	Tier      *string    `json:"tier"`
	ExpiresAt *time.Time `json:"expires_at"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Limits are the caller's limits and usage. A nil Limit means no limit.
type Limits struct {
	Tier              *string      `json:"tier"`
	RequestsPerMinute RequestLimit `json:"requests_per_minute"`
	ConcurrentJobs    JobLimit     `json:"concurrent_jobs"`
	MonthlyTokens     TokenLimit   `json:"monthly_tokens"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// RequestLimit is the limit of requests per minute. Reset is a Unix time in seconds.
type RequestLimit struct {
	Limit     *int   `json:"limit"`
	Remaining *int   `json:"remaining"`
	Reset     *int64 `json:"reset"`

	Extra Extra `json:"-"`
}

// JobLimit is the limit of open jobs.
type JobLimit struct {
	Limit *int `json:"limit"`
	Used  int  `json:"used"`

	Extra Extra `json:"-"`
}

// TokenLimit is the limit of tokens per month. Reserved counts tokens that open jobs may still use.
type TokenLimit struct {
	Limit    *int      `json:"limit"`
	Used     int       `json:"used"`
	Reserved int       `json:"reserved"`
	Reset    time.Time `json:"reset"`

	Extra Extra `json:"-"`
}
