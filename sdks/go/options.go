package devora

import (
	"log/slog"
	"net/http"
	"time"
)

// Option changes how a client works, or how one call does: every call takes options, too.
type Option func(*config)

// WithAPIKey sets the API key.
func WithAPIKey(key string) Option {
	return func(c *config) { c.apiKey = func() string { return key } }
}

// WithBaseURL sets where the API is, with or without "/v1". The environment variable is DEVORA_BASE_URL.
func WithBaseURL(address string) Option {
	return func(c *config) { c.baseURL = address }
}

// WithHTTPClient sends requests with another client. Leave its Timeout at 0: it would end streams.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) { c.http = client }
}

// WithTimeout bounds a call with all its attempts; of a client, each call that waits for no job. Without it, such a call
// has 60 seconds, a blocking Execute or Run 10 minutes, Wait and streams as long as their context. A negative timeout is
// none.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) { c.timeout = &timeout }
}

// WithMaxRetries sets how often a failed call is tried again; the default is 2.
func WithMaxRetries(retries int) Option {
	return func(c *config) { c.maxRetries = retries }
}

// WithBackoff sets the pause before the first retry (0.5 s), which doubles up to the longest (8 s). Half to all of it is
// waited, at random.
func WithBackoff(first, longest time.Duration) Option {
	return func(c *config) { c.backoff = backoff{first: first, longest: longest} }
}

// WithReconnectBackoff sets the same for streams that reconnect (0.1 s, 5 s).
func WithReconnectBackoff(first, longest time.Duration) Option {
	return func(c *config) { c.reconnect = backoff{first: first, longest: longest} }
}

// WithStallTimeout sets how long a stream may be silent before it is opened again. The server writes at least every 15
// seconds; the default is 45 s.
func WithStallTimeout(timeout time.Duration) Option {
	return func(c *config) { c.stallTimeout = timeout }
}

// WithHeader adds a header to each request.
func WithHeader(name, value string) Option {
	return func(c *config) {
		c.header = c.header.Clone() // a call's header is not the client's
		if c.header == nil {
			c.header = http.Header{}
		}
		c.header.Set(name, value)
	}
}

// WithLogger logs each attempt at debug level and each retry at info level: method, path, status, attempt, seconds and
// request id, never a key, a secret or a body. Without it, DEVORA_LOG=debug or info logs to standard error.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { c.logger = logger }
}

// WithRetryHook calls a function before each retry and each reconnect.
func WithRetryHook(hook func(Retry)) Option {
	return func(c *config) { c.onRetry = hook }
}

// WithIdempotencyKey names a call. The same key with the same request does nothing twice, even from another process.
// Without it, each POST has a random key, the same on its retries.
func WithIdempotencyKey(key string) Option {
	return func(c *config) { c.idempotencyKey = key }
}

// WithResponse stores the HTTP answer of a call: its last one, of errors too.
func WithResponse(into *Response) Option {
	return func(c *config) { c.response = into }
}

// Response is an HTTP answer as it came.
type Response struct {
	Status  int
	Header  http.Header
	Body    []byte
	Attempt int // 0, or how many retries it took
}

// Retry says what a retry hook is called for.
type Retry struct {
	Method  string
	Path    string
	Attempt int           // the retry that follows, from 1
	Delay   time.Duration // the pause before it
	Err     error         // why the last attempt failed; nil where a server ended a stream
}

// Ptr makes a pointer, for optional fields.
func Ptr[T any](value T) *T { return &value }
