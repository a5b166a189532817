package devora

import (
	"context"
	"net/http"
	"time"
)

// AccountService says who the caller is and what the key allows. See Client.Account.
type AccountService struct{ client *Client }

// Me says who the caller is.
func (s *AccountService) Me(ctx context.Context, options ...Option) (*Account, error) {
	return get[Account](ctx, s.client, nil, options, "auth", "me")
}

// Limits gives the caller's limits and what is used of them.
func (s *AccountService) Limits(ctx context.Context, options ...Option) (*Limits, error) {
	return get[Limits](ctx, s.client, nil, options, "limits")
}

// SignOut ends the sign-in whose access token the client has as its key.
func (s *AccountService) SignOut(ctx context.Context, options ...Option) error {
	return send(ctx, s.client, call{method: http.MethodPost}, options, "auth", "sign-out")
}

// Account is the caller. A nil tier has no limits.
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

// Limits is the caller's limits. One that is nil does not limit.
type Limits struct {
	Tier              *string      `json:"tier"`
	RequestsPerMinute RequestLimit `json:"requests_per_minute"`
	ConcurrentJobs    JobLimit     `json:"concurrent_jobs"`
	MonthlyTokens     TokenLimit   `json:"monthly_tokens"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// RequestLimit is the requests of a minute. Reset is a Unix time in seconds.
type RequestLimit struct {
	Limit     *int   `json:"limit"`
	Remaining *int   `json:"remaining"`
	Reset     *int64 `json:"reset"`

	Extra Extra `json:"-"`
}

// JobLimit is the jobs that are open at once.
type JobLimit struct {
	Limit *int `json:"limit"`
	Used  int  `json:"used"`

	Extra Extra `json:"-"`
}

// TokenLimit is the tokens of a month. Reserved are those that open jobs may still use.
type TokenLimit struct {
	Limit    *int      `json:"limit"`
	Used     int       `json:"used"`
	Reserved int       `json:"reserved"`
	Reset    time.Time `json:"reset"`

	Extra Extra `json:"-"`
}
