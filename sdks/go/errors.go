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

// Kinds of errors, for [errors.Is]. An error can be of two kinds: a timeout is a connection error, too, and
// [ErrServiceUnavailable] a server error.
var (
	ErrConfiguration       = errors.New("the client's configuration cannot work")
	ErrConnection          = errors.New("no answer of the API")
	ErrTimeout             = errors.New("the deadline ran out")
	ErrInvalidResponse     = errors.New("the answer is not one of the API")
	ErrInvalidRequest      = errors.New("the request is wrong")
	ErrAuthentication      = errors.New("no valid API key")
	ErrPermissionDenied    = errors.New("the API key lacks the scope")
	ErrNotFound            = errors.New("no such resource")
	ErrConflict            = errors.New("the state of the resource forbids it")
	ErrRateLimit           = errors.New("a limit is reached")
	ErrServer              = errors.New("a fault of the server")
	ErrServiceUnavailable  = errors.New("the service is not available now")
	ErrJobFailed           = errors.New("the job failed")
	ErrJobCancelled        = errors.New("the job was cancelled")
	ErrWebhookVerification = errors.New("the webhook is not genuine")
)

// broader names the kind that another one belongs to.
var broader = map[error]error{
	ErrTimeout:            ErrConnection,
	ErrServiceUnavailable: ErrServer,
}

// Error is every error of this package. Fields that do not apply are zero.
type Error struct {
	Code       string         // the machine word, such as "not_found"; of a failed job its error's type
	Message    string         // a sentence for people
	Status     int            // the HTTP status; 0 without an answer
	RequestID  string         // quote it in reports
	Field      string         // the field that is wrong
	Details    map[string]any // error.details of the answer
	RetryAfter time.Duration  // when to come back
	Body       []byte         // the answer's body as it came
	Header     http.Header    // the answer's header

	// JobID is the job that the call started or waited for. After a timeout the job goes on: wait for it again.
	JobID string
	// Result is that of a job that failed or was cancelled.
	Result *Result
	// IdempotencyKey is that of a POST without an answer: the same call with it does nothing twice.
	IdempotencyKey string

	kind  error
	cause error
	retry bool // whether another attempt may help
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

// Is makes [errors.Is] work with the kinds.
func (e *Error) Is(kind error) bool {
	for own := e.kind; own != nil; own = broader[own] {
		if own == kind {
			return true
		}
	}
	return false
}

// Unwrap is the error below: that of the network or of the context.
func (e *Error) Unwrap() error { return e.cause }

// Kind is the narrowest kind of the error, such as [ErrRateLimit]. It is nil where the caller's context was cancelled.
func (e *Error) Kind() error { return e.kind }

// away says that the server, or what is behind it, cannot be reached now.
func (e *Error) away() bool {
	switch e.Status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// kindOf is the kind of an HTTP status.
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

// retried holds the statuses that may pass. The header x-should-retry knows better where it is there.
var retried = map[int]bool{
	http.StatusRequestTimeout:      true,
	http.StatusTooManyRequests:     true,
	http.StatusInternalServerError: true,
	http.StatusBadGateway:          true,
	http.StatusServiceUnavailable:  true,
	http.StatusGatewayTimeout:      true,
}

// answerError is the error of an answer that is not a success.
func answerError(status int, header http.Header, body []byte) *Error {
	e := &Error{kind: kindOf(status), Status: status, RequestID: header.Get("X-Request-ID"), Body: body, Header: header}
	var envelope struct {
		Error struct {
			Code       string          `json:"code"`
			Message    string          `json:"message"`
			RetryAfter *float64        `json:"retry_after"`
			Details    json.RawMessage `json:"details"`
			RequestID  string          `json:"request_id"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &envelope); err == nil && envelope.Error.Message != "" {
		e.Code, e.Message = envelope.Error.Code, envelope.Error.Message
		// details that are no object stay in Body
		if json.Unmarshal(envelope.Error.Details, &e.Details) == nil {
			e.Field, _ = e.Details["field"].(string)
			e.JobID, _ = e.Details["job_id"].(string)
		}
		if e.RequestID == "" {
			e.RequestID = envelope.Error.RequestID
		}
		if seconds := envelope.Error.RetryAfter; seconds != nil && *seconds >= 0 && *seconds <= 1e9 {
			e.RetryAfter = time.Duration(*seconds * float64(time.Second))
		}
	} else {
		e.Message = "the answer is " + http.StatusText(status) + ", not in the API's form: " + beginning(body)
		if location := header.Get("Location"); location != "" && status < http.StatusBadRequest {
			e.Message = "the server redirects to " + location + ": use that address as the base URL"
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

// networkError is the error of an attempt without a whole answer. ctx is that of the call, not of the attempt.
func networkError(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	e := &Error{kind: ErrConnection, Code: "connection_error", Message: "the connection failed: " + err.Error(), cause: err, retry: true}
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate), errors.As(err, &plain), strings.Contains(err.Error(), "gave HTTP response to HTTPS client"):
		e.retry = false // another attempt meets the same server
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		e.kind, e.Code = ErrTimeout, "timeout"
		e.Message = "no answer in time: " + err.Error()
	}
	return e
}

// contextError is the error of a call whose context ended. Never retried.
func contextError(ctx context.Context) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{kind: ErrTimeout, Code: "timeout", Message: "no answer before the deadline of the call", cause: ctx.Err()}
	}
	return &Error{Code: "cancelled", Message: "the caller cancelled the call", cause: ctx.Err()}
}

// beginning is enough of a body to recognise what answered.
func beginning(body []byte) string {
	const most = 200
	if !utf8.Valid(body) {
		return fmt.Sprintf("%d bytes that are no text", len(body))
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
