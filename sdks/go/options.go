package devora

import (
	"log/slog"
	"math"
	"net/http"
	"time"
)

// Option changes how a client works, or how one call does: every call takes options, too.
type Option func(*config)

// WithAPIKey sets the API key.
func WithAPIKey(key string) Option {
	return func(c *config) { c.apiKey = func() string { return key } }
}

// WithBaseURL sets the address of the API, with or without "/v1". The default is DEVORA_BASE_URL.
func WithBaseURL(address string) Option {
	return func(c *config) { c.baseURL = address }
}

// WithHTTPClient sets the HTTP client. Keep its Timeout at 0: it would end streams. Redirects are never followed.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) {
		if client != nil {
			own := *client
			own.CheckRedirect = followNothing
			c.http = &own
		}
	}
}

// WithTimeout limits a call with all its attempts. For a client it limits only calls that do not wait for a job. The
// defaults are 60 seconds, 10 minutes for Execute and Run, and none for Wait and streams. A negative timeout disables
// the limit.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) { c.timeout = &timeout }
}

// WithMaxRetries sets how often a failed request is retried. The default is 2.
func WithMaxRetries(retries int) Option {
	return func(c *config) { c.maxRetries = retries }
}

// WithBackoff sets the pause before the first retry (0.5 s). It doubles up to the longest (8 s). A random 50 to 100 % of
// it is used.
func WithBackoff(first, longest time.Duration) Option {
	return func(c *config) { c.backoff = backoff{first: first, longest: longest} }
}

// WithReconnectBackoff sets the pauses of streams that reconnect (0.1 s, 5 s).
func WithReconnectBackoff(first, longest time.Duration) Option {
	return func(c *config) { c.reconnect = backoff{first: first, longest: longest} }
}

// WithStallTimeout sets after how much silence a stream reconnects. The default is 45 s; the server writes at least
// every 15 s. 0 disables it.
func WithStallTimeout(timeout time.Duration) Option {
	if timeout <= 0 {
		timeout = math.MaxInt64
	}
	return func(c *config) { c.stallTimeout = timeout }
}

// WithHeader adds a header to each request.
func WithHeader(name, value string) Option {
	return func(c *config) {
		c.header = c.header.Clone() // the client's own headers stay as they are
		if c.header == nil {
			c.header = http.Header{}
		}
		c.header.Set(name, value)
	}
}

// WithLogger logs each attempt at debug level and each retry at info level: method, path, status, attempt, seconds and
// request id, never a key, a secret or a body. By default, DEVORA_LOG=debug or info logs to standard error.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// WithRetryHook calls a function before each retry and each reconnect.
func WithRetryHook(hook func(Retry)) Option {
	return func(c *config) { c.onRetry = hook }
}

// WithIdempotencyKey sets the Idempotency-Key of one call. Repeated requests with the same key have one effect, also from
// other processes. By default, each POST has a random key.
func WithIdempotencyKey(key string) Option {
	return func(c *config) { c.idempotencyKey = key }
}

// WithResponse stores the last HTTP response of a call, also if the call fails.
func WithResponse(into *Response) Option {
	return func(c *config) { c.response = into }
}

// Response is a raw HTTP response.
type Response struct {
	Status  int
	Header  http.Header
	Body    []byte
	Attempt int // 0 for the first attempt
}

// Retry describes a retry for the hook of [WithRetryHook].
type Retry struct {
	Method  string
	Path    string
	Attempt int           // number of the retry, from 1
	Delay   time.Duration // the pause before it
	Err     error         // error of the last attempt; nil if the server ended a stream
}

// Ptr returns a pointer to a value, for optional fields.
func Ptr[T any](value T) *T { return &value }
