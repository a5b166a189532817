package devora

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kinds of errors, for [errors.Is]. Some belong to another kind: [ErrTimeout] to [ErrConnection],
// [ErrServiceUnavailable] to [ErrServer].
var (
	ErrConfiguration       = errors.New("invalid configuration of the client")
	ErrConnection          = errors.New("no response from the API")
	ErrTimeout             = errors.New("deadline exceeded")
	ErrInvalidResponse     = errors.New("invalid response")
	ErrInvalidRequest      = errors.New("invalid request")
	ErrAuthentication      = errors.New("invalid API key")
	ErrPermissionDenied    = errors.New("permission denied")
	ErrNotFound            = errors.New("not found")
	ErrConflict            = errors.New("conflict with the state of the resource")
	ErrRateLimit           = errors.New("rate limit exceeded")
	ErrServer              = errors.New("server error")
	ErrServiceUnavailable  = errors.New("service unavailable")
	ErrJobFailed           = errors.New("job failed")
	ErrJobCancelled        = errors.New("job cancelled")
	ErrWebhookVerification = errors.New("webhook verification failed")
)

// broader maps a kind to the kind that it belongs to.
var broader = map[error]error{
	ErrTimeout:            ErrConnection,
	ErrServiceUnavailable: ErrServer,
}

// Error is the type of all errors of this package. Fields that do not apply are zero.
type Error struct {
	Code       string         // such as "not_found"; for a failed job the type of its error
	Message    string         // for people
	Status     int            // HTTP status; 0 without a response
	RequestID  string         // quote it in reports
	Field      string         // the invalid field of the request
	Details    map[string]any // error.details of the response
	RetryAfter time.Duration  // pause that the server asks for
	Body       []byte         // raw body of the response
	Header     http.Header    // headers of the response

	// JobID is the job that the call started or waited for. After a timeout the job continues: wait for it again.
	JobID string
	// Result is set for a failed or cancelled job.
	Result *Result
	// IdempotencyKey is the key of a POST without a response. Repeat the call with it to avoid a second effect.
	IdempotencyKey string

	kind  error
	cause error
	retry bool // another attempt may succeed
}

func (e *Error) Error() string {
	text := "devora: "
	if e.Status != 0 {
		text += strconv.Itoa(e.Status) + " "
	}
	if e.Code != "" {
		text += e.Code + ": "
	}
	text += e.Message
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is implements [errors.Is] for kinds.
func (e *Error) Is(kind error) bool {
	for own := e.kind; own != nil; own = broader[own] {
		if own == kind {
			return true
		}
	}
	return false
}

// Unwrap returns the cause: an error of the network or of the context.
func (e *Error) Unwrap() error { return e.cause }

// Kind returns the narrowest kind, such as [ErrRateLimit]. It is nil if the caller's context was cancelled.
func (e *Error) Kind() error { return e.kind }

// away reports that the server or its backend cannot be reached now.
func (e *Error) away() bool {
	switch e.Status {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// kindOf returns the kind of an HTTP status.
func kindOf(status int) error {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return ErrInvalidRequest
	case http.StatusUnauthorized:
		return ErrAuthentication
	case http.StatusForbidden:
		return ErrPermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return ErrNotFound
	case http.StatusConflict:
		return ErrConflict
	case http.StatusTooManyRequests:
		return ErrRateLimit
	case http.StatusServiceUnavailable:
		return ErrServiceUnavailable
	}
	return ErrServer
}

// retried holds the transient statuses. The header x-should-retry overrides it.
var retried = map[int]bool{
	http.StatusRequestTimeout:      true,
	http.StatusTooManyRequests:     true,
	http.StatusInternalServerError: true,
	http.StatusBadGateway:          true,
	http.StatusServiceUnavailable:  true,
	http.StatusGatewayTimeout:      true,
}

// errorEnvelope is the body of an unsuccessful response.
type errorEnvelope struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code       string         `json:"code"`
	Message    string         `json:"message"`
	RetryAfter *float64       `json:"retry_after"`
	Details    map[string]any `json:"details"`
	RequestID  string         `json:"request_id"`

	Extra Extra `json:"-"` // members of another type: they cost no other member
}

func (x *errorBody) UnmarshalJSON(data []byte) error {
	type plain errorBody
	return decodeObject(data, (*plain)(x))
}

// answerError returns the error of an unsuccessful response.
func answerError(status int, header http.Header, body []byte) *Error {
	e := &Error{kind: kindOf(status), Status: status, RequestID: header.Get("X-Request-ID"), Body: body, Header: header}
	var envelope errorEnvelope
	err := json.Unmarshal(body, &envelope)
	failure := envelope.Error
	if err == nil && (failure.Message != "" || failure.Code != "") {
		e.Code, e.Message, e.Details = failure.Code, failure.Message, failure.Details
		e.Field, _ = e.Details["field"].(string)
		e.JobID, _ = e.Details["job_id"].(string)
		if e.RequestID == "" {
			e.RequestID = failure.RequestID
		}
		if seconds := failure.RetryAfter; seconds != nil && *seconds >= 0 && *seconds <= 1e9 {
			e.RetryAfter = time.Duration(*seconds * float64(time.Second))
		}
	}
	if e.Message == "" {
		e.Message = "unexpected response " + http.StatusText(status) + ": " + beginning(body)
		if location := header.Get("Location"); location != "" && status < http.StatusBadRequest {
			e.Code, e.Message = "unexpected_redirect", "the server redirects to "+location+": use that address as the base URL"
		}
	}
	if pause, ok := retryAfter(header); ok {
		e.RetryAfter = pause
	}
	switch strings.ToLower(header.Get("X-Should-Retry")) {
	case "true":
		e.retry = true
	case "false":
		e.retry = false
	default:
		e.retry = retried[status]
	}
	return e
}

// tooLarge returns the error of a response, or of a part of one, that no memory should hold.
func tooLarge(what string) *Error {
	return &Error{kind: ErrInvalidResponse, Code: "unexpected_response", Message: what + " is larger than 64 MiB"}
}

// networkError returns the error of an attempt without a complete response. ctx is the call's, not the attempt's.
func (c config) networkError(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	e := &Error{kind: ErrConnection, Code: "connection_error", cause: err, retry: true,
		Message: "no response from " + c.shownURL() + ": " + err.Error() + "; is the server running? DEVORA_BASE_URL selects another"}
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate), errors.As(err, &plain), strings.Contains(err.Error(), "gave HTTP response to HTTPS client"):
		e.retry = false // another attempt would meet the same server
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.kind, e.Code = ErrTimeout, "timeout"
		e.Message = "no response in time from " + c.shownURL() + ": " + err.Error() + "; is the server running? DEVORA_BASE_URL selects another"
	}
	return e
}

// contextError returns the error of a call whose context ended. It is never retried.
func contextError(ctx context.Context) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{kind: ErrTimeout, Code: "timeout", Message: "no response before the deadline of the call", cause: ctx.Err()}
	}
	return &Error{Code: "cancelled", Message: "the caller cancelled the call", cause: ctx.Err()}
}

// beginning returns the start of a body, enough to recognize what sent it.
func beginning(body []byte) string {
	const most = 200
	if !utf8.Valid(body) {
		return fmt.Sprintf("%d bytes of binary data", len(body))
	}
	letters := []rune(strings.Join(strings.Fields(string(body)), " "))
	if len(letters) > most {
		return string(letters[:most]) + "…"
	}
	if len(letters) == 0 {
		return "an empty body"
	}
	return string(letters)
}

func quoted(text string) string { return strconv.Quote(text) }
