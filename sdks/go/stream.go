package devora

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// rememberedEvents is the number of event ids that a stream keeps to drop duplicates.
const rememberedEvents = 5000

// StreamParams selects the start and the content of a stream.
type StreamParams struct {
	After  string // id of the last seen event, or "now" to skip past events; empty starts at the first event
	Deltas bool   // include the text of running agents
}

// Stream follows a job. It yields each event once and in order, and ends after the last event of the job.
//
// If the connection breaks or goes silent, or the server restarts, the stream reconnects after the last event, until the
// context ends. Errors that a retry cannot fix, such as an invalid key or an unknown job, end it. Leaving the loop closes
// the connection.
func (s *JobService) Stream(ctx context.Context, jobID string, params *StreamParams, options ...Option) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		config := s.client.config.with(options)
		ctx, cancel := config.deadline(ctx, noTimeout)
		defer cancel()
		start := value(params)
		query := url.Values{"deltas": {strconv.FormatBool(start.Deltas)}, "snapshot": {"false"}}
		stream := &stream{config: config, jobs: s, jobID: jobID, query: query, cursor: start.After, seen: map[string]bool{}}
		stream.emit = func(frame frame) (*Error, bool) {
			if frame.event == "snapshot" {
				return nil, false
			}
			event := new(Event)
			if fault := decodeFrame(frame, event); fault != nil {
				return fault, false
			}
			if event.Type == "" {
				event.Type = frame.event
			}
			if event.ID == "" {
				event.ID = frame.id
			}
			return nil, !yield(event, nil) || event.Ends()
		}
		if err := stream.follow(ctx, "jobs", jobID, "events"); err != nil {
			yield(nil, unfinished(err, jobID, nil))
		}
	}
}

// AccountEventService reads the events of the account.
type AccountEventService struct{ client *Client }

// AccountStreamParams selects the start of a stream of the account.
type AccountStreamParams struct {
	After string // id of the last seen event, or "0" for the oldest stored event; empty starts with new events
}

// Stream follows the account: it yields what its webhooks are sent, without a webhook. The stream does not end by itself;
// it reconnects like [JobService.Stream]. The id of an event is the cursor after it.
func (s *AccountEventService) Stream(ctx context.Context, params *AccountStreamParams, options ...Option) iter.Seq2[*WebhookEvent, error] {
	return func(yield func(*WebhookEvent, error) bool) {
		config := s.client.config.with(options)
		ctx, cancel := config.deadline(ctx, noTimeout)
		defer cancel()
		stream := &stream{config: config, cursor: value(params).After, seen: map[string]bool{}}
		stream.emit = func(frame frame) (*Error, bool) {
			if frame.event == "stream_started" {
				return nil, false
			}
			event := new(WebhookEvent)
			if fault := decodeFrame(frame, event); fault != nil {
				return fault, false
			}
			event.ID = frame.id
			return nil, !yield(event, nil)
		}
		if err := stream.follow(ctx, "events"); err != nil {
			yield(nil, err)
		}
	}
}

// stream is the state of one reader.
type stream struct {
	config config
	path   string
	query  url.Values
	emit   func(frame) (fault *Error, done bool) // yields the event of a frame

	jobs  *JobService // of a job's stream, which ends
	jobID string

	cursor   string
	seen     map[string]bool
	order    []string // of seen, oldest first
	failures int      // consecutive connections without an event
	brought  bool     // the connection delivered a frame after the snapshot
}

// follow opens connections until the last event. It returns nil at the end, also if the reader leaves.
func (s *stream) follow(ctx context.Context, parts ...string) error {
	if fault := s.config.check(); fault != nil {
		return fault
	}
	address, fault := path(parts...)
	if fault != nil {
		return fault
	}
	s.path = address
	if s.cursor == "now" && s.jobs != nil {
		if over, err := s.fixCursor(ctx); over || err != nil {
			return err
		}
	}
	for connection := 0; ; connection++ {
		s.brought = false
		fault, done := s.connect(ctx, connection)
		if done {
			return nil
		}
		if fault != nil && !fault.retry {
			return fault
		}
		if s.brought {
			s.failures = 0
		}
		if fault == nil && !s.brought && s.jobs != nil {
			over, err := s.nothingFollows(ctx)
			if over || err != nil {
				return err
			}
		}
		s.failures++
		pause := s.config.reconnect.pause(s.failures)
		retry := Retry{Method: http.MethodGet, Path: s.path, Attempt: connection + 1}
		if fault != nil {
			pause = max(pause, fault.RetryAfter)
			retry.Err = fault
		}
		retry.Delay = pause
		s.config.announce(ctx, retry)
		if sleep(ctx, pause) != nil {
			return contextError(ctx)
		}
	}
}

// connect opens one connection and yields its events. done reports the last event, or that the reader left. Without
// done and fault, the server closed the stream.
func (s *stream) connect(ctx context.Context, number int) (fault *Error, done bool) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(s.config.stallTimeout, cancel)
	defer silence.Stop()
	call := call{method: http.MethodGet, path: s.path, query: s.query}
	request, fault := s.config.request(within, call, nil, "", number)
	if fault != nil {
		return fault, false
	}
	request.Header.Set("Accept", "text/event-stream")
	if s.cursor != "" {
		if fault := checkHeader("Last-Event-ID", s.cursor); fault != nil {
			fault.Field, fault.Message = "after", "invalid cursor "+quoted(s.cursor)+": expected the id of an event"
			return fault, false
		}
		request.Header.Set("Last-Event-ID", s.cursor)
	}
	began := time.Now()
	response, err := s.config.http.Do(request)
	if err != nil {
		fault = s.broken(ctx, within, withoutURL(err))
		s.config.logAttempt(ctx, call, Response{Attempt: number}, began, fault)
		return fault, false
	}
	defer response.Body.Close()
	got := Response{Status: response.StatusCode, Header: response.Header, Attempt: number}
	s.config.logAttempt(ctx, call, got, began, nil)
	if s.config.response != nil {
		*s.config.response = got
	}
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer))
		if err != nil {
			return s.broken(ctx, within, err), false
		}
		return streamFault(answerError(response.StatusCode, response.Header, body)), false
	}
	frames := newFrameReader(&watched{response.Body, silence, s.config.stallTimeout})
	for {
		frame, err := frames.next()
		if err == io.EOF {
			return nil, false
		}
		if err == errTooLarge {
			return tooLarge("a frame of the stream"), false
		}
		if err != nil {
			return s.broken(ctx, within, err), false
		}
		if ctx.Err() != nil {
			return contextError(ctx), false
		}
		silence.Stop() // a slow reader is not a stalled server
		fault, done := s.take(frame, response.Header)
		if fault != nil || done {
			return fault, done
		}
		silence.Reset(s.config.stallTimeout)
	}
}

// take yields the event of one frame, unless it was seen.
func (s *stream) take(frame frame, header http.Header) (fault *Error, done bool) {
	if frame.event == "stream_error" {
		return streamFault(answerError(statusOf(frame.data), header, frame.data)), false
	}
	s.brought = s.brought || frame.event != "snapshot"
	if frame.id != "" {
		if s.seen[frame.id] {
			return nil, false
		}
		s.remember(frame.id)
		if checkHeader("Last-Event-ID", frame.id) == nil { // else resume after the last id that can be sent
			s.cursor = frame.id
		}
	}
	return s.emit(frame)
}

func decodeFrame(frame frame, into any) *Error {
	err := json.Unmarshal(frame.data, into)
	if err == nil && bytes.TrimSpace(frame.data)[0] != '{' {
		err = errors.New("not a JSON object")
	}
	if err == nil {
		return nil
	}
	return &Error{kind: ErrInvalidResponse, Code: "unexpected_response", Body: frame.data, cause: err,
		Message: "invalid event: " + err.Error() + ": " + beginning(frame.data)}
}

func (s *stream) remember(id string) {
	s.seen[id] = true
	if s.order = append(s.order, id); len(s.order) > rememberedEvents {
		delete(s.seen, s.order[0])
		s.order = s.order[1:]
	}
}

// fixCursor replaces "now" by the id of the last event: a reconnect must not skip events. over: the job has ended.
func (s *stream) fixCursor(ctx context.Context) (over bool, err error) {
	job, page, err := s.look(ctx)
	if err != nil {
		return false, err
	}
	s.cursor = ""
	if page.Next != nil {
		s.cursor = *page.Next
	}
	return page.Next == nil && job.Status.Ended(), nil
}

// nothingFollows reports whether the job has ended and the cursor is at its last event.
func (s *stream) nothingFollows(ctx context.Context) (bool, error) {
	job, page, err := s.look(ctx)
	return err == nil && job.Status.Ended() && len(page.Events) == 0, err
}

// look reads the job, then the page after the cursor. In this order the page of an ended job is complete.
func (s *stream) look(ctx context.Context) (*Job, *EventList, error) {
	patient := func(c *config) {
		*c = s.config
		c.maxRetries, c.response = unlimited, nil
		WithTimeout(noTimeout)(c)
	}
	attempt := call{method: http.MethodGet, attemptLimit: s.config.stallTimeout}
	job, err := fetch[Job](ctx, s.jobs.client, attempt, []Option{patient}, "jobs", s.jobID)
	if err != nil {
		return nil, nil, err
	}
	if job.Status == "" {
		return nil, nil, noJob(job.RequestID)
	}
	attempt.query = url.Values{"limit": {"1"}}
	set(attempt.query, "after", s.cursor)
	page, err := fetch[EventList](ctx, s.jobs.client, attempt, []Option{patient}, "jobs", s.jobID, "events")
	return job, page, err
}

// broken returns the error of a broken or stalled connection.
func (s *stream) broken(ctx, within context.Context, err error) *Error {
	if ctx.Err() == nil && within.Err() != nil {
		return &Error{kind: ErrTimeout, Code: "stalled", cause: err, retry: true,
			Message: "the stream of " + s.config.shownURL() + " was silent for " + s.config.stallTimeout.String()}
	}
	return s.config.networkError(ctx, err)
}

// streamFault decides whether the stream reconnects after an error of the server.
func streamFault(fault *Error) *Error {
	switch fault.Status {
	case 400, 401, 403, 404, 410, 422:
		fault.retry = false
	default:
		fault.retry = fault.Header.Get("X-Should-Retry") != "false" && fault.Status >= 400
	}
	return fault
}

// statusOf returns the HTTP status for the error code of a frame.
func statusOf(body []byte) int {
	var envelope errorEnvelope
	_ = json.Unmarshal(body, &envelope) // a body of another form has no code and counts as 500
	switch envelope.Error.Code {
	case "invalid_request":
		return http.StatusBadRequest
	case "authentication_failed":
		return http.StatusUnauthorized
	case "forbidden":
		return http.StatusForbidden
	case "not_found":
		return http.StatusNotFound
	case "rate_limit_exceeded":
		return http.StatusTooManyRequests
	case "service_unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// watched restarts the stall timer with each read.
type watched struct {
	io.Reader
	silence *time.Timer
	limit   time.Duration
}

func (w *watched) Read(into []byte) (int, error) {
	n, err := w.Reader.Read(into)
	if n > 0 {
		w.silence.Reset(w.limit)
	}
	return n, err
}
