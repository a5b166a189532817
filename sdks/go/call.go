package devora

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	blockTimeout  = 600 * time.Second // of Execute and Run
	blockAttempt  = 150 * time.Second // of one attempt of them; the server stops waiting earlier
	largestAnswer = 1 << 26           // bytes of a response, or of one frame of a stream
	unlimited     = math.MaxInt
	noTimeout     = time.Duration(-1)
)

// call is one call of the API, with all its attempts.
type call struct {
	method string
	path   string // escaped, with "/v1"
	query  url.Values
	body   any // sent as JSON, unless nil

	timeout      time.Duration // default without an option; 0 uses the client's, negative disables it
	attemptLimit time.Duration // of one attempt; 0 disables it
	accepts      []int         // further statuses that are no errors
	patient      bool          // retry until the deadline while the server is away
	persistent   bool          // the same, but only after a request was sent
	typed        bool          // the response is a JSON object
}

// do performs a call and decodes the response into into, unless that is nil.
func (c *Client) do(ctx context.Context, call call, into any, options []Option) error {
	config := c.config.with(options)
	if fault := config.check(); fault != nil {
		return fault
	}
	return config.perform(ctx, call, into)
}

// deadline applies the timeout of the option, else own.
func (c config) deadline(ctx context.Context, own time.Duration) (context.Context, context.CancelFunc) {
	if c.timeout != nil {
		own = *c.timeout
	} else if own == 0 {
		own = c.plainTimeout
	}
	if own < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, own)
}

func (c config) perform(ctx context.Context, call call, into any) error {
	ctx, cancel := c.deadline(ctx, call.timeout)
	defer cancel()
	var body []byte
	if call.body != nil {
		encoded, err := json.Marshal(call.body)
		if err != nil {
			return &Error{kind: ErrInvalidRequest, Code: "not_json", Message: "cannot encode the request as JSON: " + err.Error(), cause: err}
		}
		body = encoded
	}
	key := c.idempotencyKey
	if key == "" && call.method == http.MethodPost {
		key = randomKey()
	}
	sent := false // the server may have processed an attempt without a response
	for attempt, counted := 0, 0; ; attempt++ {
		answer, fault := c.attempt(ctx, call, body, key, attempt)
		if fault == nil {
			return c.decode(call, answer, into)
		}
		if fault.Status == http.StatusNotFound && call.method == http.MethodDelete && sent {
			return nil // an earlier attempt deleted it, but its response was lost
		}
		if fault.Status == 0 {
			fault.IdempotencyKey = key
			sent = sent || answer.sent
		}
		patient := fault.away() && (call.patient || call.persistent && sent && c.maxRetries > 0)
		if !fault.retry || !patient && counted >= c.maxRetries {
			return fault
		}
		if !patient {
			counted++
		}
		pause := fault.RetryAfter
		if pause == 0 {
			pause = c.backoff.pause(attempt + 1)
		}
		if until, ok := ctx.Deadline(); ok && time.Until(until) <= pause {
			if fault.RetryAfter > 0 || !patient {
				return fault
			}
			pause = time.Until(until) // the deadline ends the call, not this failure
		}
		c.announce(ctx, Retry{Method: call.method, Path: call.path, Attempt: attempt + 1, Delay: pause, Err: fault})
		if sleep(ctx, pause) != nil {
			interrupted := contextError(ctx)
			interrupted.cause = errors.Join(interrupted.cause, fault)
			interrupted.IdempotencyKey = key
			if interrupted.kind == ErrTimeout {
				interrupted.Message += "; the last attempt failed: " + fault.Message
			}
			return interrupted
		}
	}
}

// answer is the response of an attempt. sent reports that the request left, also without a response.
type answer struct {
	Response
	sent bool
}

// attempt sends the request once and reads the whole response.
func (c config) attempt(ctx context.Context, call call, body []byte, key string, number int) (answer, *Error) {
	within, cancel := ctx, context.CancelFunc(func() {})
	if call.attemptLimit > 0 {
		within, cancel = context.WithTimeout(ctx, call.attemptLimit)
	}
	defer cancel()
	got := answer{Response: Response{Attempt: number}}
	traced := httptrace.WithClientTrace(within, &httptrace.ClientTrace{
		WroteHeaders: func() { got.sent = true },
	})
	request, fault := c.request(traced, call, body, key, number)
	if fault != nil {
		return got, fault
	}
	began := time.Now()
	response, err := c.http.Do(request)
	if err != nil {
		fault = c.networkError(ctx, withoutURL(err))
		c.logAttempt(ctx, call, got.Response, began, fault)
		return got, fault
	}
	defer response.Body.Close()
	got.Status, got.Header = response.StatusCode, response.Header
	got.Body, err = io.ReadAll(io.LimitReader(response.Body, largestAnswer+1))
	if err != nil {
		fault = c.networkError(ctx, err)
		fault.RequestID = response.Header.Get("X-Request-ID")
	} else if len(got.Body) > largestAnswer {
		got.Body = nil
		fault = tooLarge("the response")
	} else if !accepted(call, got.Status) {
		fault = answerError(got.Status, got.Header, got.Body)
		fault.retry = fault.retry && !(fault.Status == http.StatusServiceUnavailable && fault.JobID != "")
	}
	if c.response != nil {
		*c.response = got.Response
	}
	c.logAttempt(ctx, call, got.Response, began, fault)
	return got, fault
}

func accepted(call call, status int) bool {
	if status >= 200 && status < 300 {
		return true
	}
	for _, other := range call.accepts {
		if status == other {
			return true
		}
	}
	return false
}

func (c config) request(ctx context.Context, call call, body []byte, key string, number int) (*http.Request, *Error) {
	address := c.root() + call.path
	if len(call.query) > 0 {
		address += "?" + call.query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, call.method, address, reader)
	if err != nil {
		return nil, &Error{kind: ErrConfiguration, Code: "invalid_base_url", Message: "invalid request URL: " + err.Error(), cause: err}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent())
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if number > 0 {
		request.Header.Set("X-Devora-Retry-Count", strconv.Itoa(number))
	}
	for name, values := range c.header {
		request.Header[name] = values
	}
	request.Header.Set("Authorization", "Bearer "+c.apiKey())
	return request, nil
}

func (c config) decode(call call, got answer, into any) error {
	if into == nil || got.Status == http.StatusNoContent && !call.typed {
		return nil
	}
	err := json.Unmarshal(got.Body, into)
	if err == nil && call.typed && got.Body[bytes.IndexFunc(got.Body, notSpace)] != '{' {
		err = errors.New("not a JSON object")
	}
	if err != nil {
		return &Error{kind: ErrInvalidResponse, Code: "unexpected_response", Status: got.Status, Header: got.Header, Body: got.Body,
			RequestID: got.Header.Get("X-Request-ID"), cause: err,
			Message: "invalid response, check the base URL: " + err.Error() + ": " + beginning(got.Body)}
	}
	setRequestID(into, got.Header.Get("X-Request-ID"))
	return nil
}

// announce logs a retry and calls the hook.
func (c config) announce(ctx context.Context, retry Retry) {
	if c.logger != nil {
		reason := "the server ended the stream"
		if retry.Err != nil {
			reason = retry.Err.Error()
		}
		c.logger.LogAttrs(ctx, slog.LevelInfo, "devora retry", slog.String("method", retry.Method), slog.String("path", retry.Path),
			slog.Int("attempt", retry.Attempt), slog.Float64("delay", retry.Delay.Seconds()), slog.String("reason", reason))
	}
	if c.onRetry != nil {
		c.onRetry(retry)
	}
}

func (c config) logAttempt(ctx context.Context, call call, got Response, began time.Time, fault *Error) {
	if c.logger == nil || !c.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attributes := []slog.Attr{slog.String("method", call.method), slog.String("path", call.path), slog.Int("status", got.Status),
		slog.Int("attempt", got.Attempt), slog.Float64("seconds", time.Since(began).Seconds()), slog.String("request_id", got.Header.Get("X-Request-ID"))}
	if fault != nil && fault.Status == 0 {
		attributes = append(attributes, slog.String("error", fault.Message))
	}
	c.logger.LogAttrs(ctx, slog.LevelDebug, "devora request", attributes...)
}

// withoutURL unwraps the HTTP client's error, which repeats method and URL.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

func notSpace(letter rune) bool { return !strings.ContainsRune(" \t\r\n", letter) }

func randomKey() string {
	var number [16]byte
	if _, err := rand.Read(number[:]); err != nil {
		panic("devora: no random numbers: " + err.Error()) // as crypto/rand itself does since Go 1.24
	}
	return "auto-" + hex.EncodeToString(number[:])
}

// Do calls any route, with the same key, retries and errors. The path starts with "/v1/" and is escaped. body is sent as
// JSON; the response is decoded into the pointer into. Both may be nil.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, into any, options ...Option) error {
	return c.do(ctx, call{method: method, path: path, query: query, body: body}, into, options)
}

// path escapes and joins parts. An empty part or a dot would address another resource.
func path(parts ...string) (string, *Error) {
	var joined strings.Builder
	joined.WriteString("/v1")
	for _, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", &Error{kind: ErrInvalidRequest, Code: "invalid_request", Message: "invalid id " + quoted(part) + ": expected the id of a resource"}
		}
		joined.WriteString("/" + url.PathEscape(part))
	}
	return joined.String(), nil
}

// fetch performs a call that returns a T.
func fetch[T any](ctx context.Context, c *Client, call call, options []Option, parts ...string) (*T, error) {
	var fault *Error
	if call.path, fault = path(parts...); fault != nil {
		return nil, fault
	}
	call.typed = true
	return answered[T](ctx, c, call, options)
}

// answered performs a call with a complete path.
func answered[T any](ctx context.Context, c *Client, call call, options []Option) (*T, error) {
	into := new(T)
	if err := c.do(ctx, call, into, options); err != nil {
		return nil, err
	}
	return into, nil
}

// send performs a call that returns nothing.
func send(ctx context.Context, c *Client, call call, options []Option, parts ...string) error {
	var fault *Error
	if call.path, fault = path(parts...); fault != nil {
		return fault
	}
	return c.do(ctx, call, nil, options)
}

func get[T any](ctx context.Context, c *Client, query url.Values, options []Option, parts ...string) (*T, error) {
	return fetch[T](ctx, c, call{method: http.MethodGet, query: query}, options, parts...)
}

func post[T any](ctx context.Context, c *Client, body any, options []Option, parts ...string) (*T, error) {
	return fetch[T](ctx, c, call{method: http.MethodPost, body: body}, options, parts...)
}
