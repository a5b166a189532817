// Command conformance performs with this module what sdks/conformance/README.md asks of a runner: one JSON object per
// line in, JSON lines out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"time"

	"github.com/devora/sdk-go"
)

type command struct {
	ID        string          `json:"id"`
	Call      string          `json:"call"`
	Arguments json.RawMessage `json:"arguments"`
	Options   callOptions     `json:"options"`
}

type callOptions struct {
	BaseURL        string   `json:"base_url"`
	APIKey         string   `json:"api_key"`
	Timeout        *float64 `json:"timeout"`
	MaxRetries     *int     `json:"max_retries"`
	Backoff        *float64 `json:"backoff"`
	StallTimeout   *float64 `json:"stall_timeout"`
	IdempotencyKey string   `json:"idempotency_key"`
	CancelAfter    *struct {
		Seconds *float64 `json:"seconds"`
		Events  *int     `json:"events"`
	} `json:"cancel_after"`
	Log string `json:"log"`
}

// arguments holds the arguments of all calls.
type arguments struct {
	AgentID        string                 `json:"agent_id"`
	WorkflowID     string                 `json:"workflow_id"`
	JobID          string                 `json:"job_id"`
	KeyID          string                 `json:"key_id"`
	WebhookID      string                 `json:"webhook_id"`
	DeliveryID     string                 `json:"delivery_id"`
	Input          map[string]interface{} `json:"input"`
	Config         *devora.JobConfig      `json:"config"`
	Labels         map[string]string      `json:"labels"`
	Async          bool                   `json:"async"`
	WebhookURL     string                 `json:"webhook_url"`
	Status         string                 `json:"status"`
	State          string                 `json:"state"`
	Limit          int                    `json:"limit"`
	Offset         int                    `json:"offset"`
	After          string                 `json:"after"`
	Deltas         bool                   `json:"deltas"`
	NeedsAttention bool                   `json:"needs_attention"`
	Reason         string                 `json:"reason"`
	Values         map[string]any         `json:"values"`
	Note           string                 `json:"note"`
	Step           string                 `json:"step"`
	Period         string                 `json:"period"`
	Name           string                 `json:"name"`
	Scopes         []string               `json:"scopes"`
	Tier           string                 `json:"tier"`
	ExpiresAt      *time.Time             `json:"expires_at"`
	URL            string                 `json:"url"`
	Events         []string               `json:"events"`
	Secret         string                 `json:"secret"`
	Active         *bool                  `json:"active"`
	OverlapSeconds *int                   `json:"overlap_seconds"`
	Body           string                 `json:"body"`
	Headers        map[string]string      `json:"headers"`
	ScheduleID     string                 `json:"schedule_id"`
	Spec           json.RawMessage        `json:"spec"`
	Overlap        string                 `json:"overlap"`
	Paused         bool                   `json:"paused"`
	StartAt        *time.Time             `json:"start_at"`
	EndAt          *time.Time             `json:"end_at"`
	Tolerance      *float64               `json:"tolerance"`
	Now            *float64               `json:"now"`
}

type line struct {
	ID        string    `json:"id"`
	OK        *bool     `json:"ok,omitempty"`
	Value     any       `json:"value"`
	Event     any       `json:"event,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Error     *errorRow `json:"error,omitempty"`
}

type errorRow struct {
	Kind       string   `json:"kind"`
	Code       *string  `json:"code"`
	Status     *int     `json:"status"`
	Message    string   `json:"message"`
	RequestID  *string  `json:"request_id"`
	RetryAfter *float64 `json:"retry_after"`
	JobID      *string  `json:"job_id"`
	Field      *string  `json:"field"`
}

var kinds = map[error]string{
	devora.ErrConfiguration:       "Configuration",
	devora.ErrConnection:          "Connection",
	devora.ErrTimeout:             "Timeout",
	devora.ErrInvalidResponse:     "Server",
	devora.ErrInvalidRequest:      "InvalidRequest",
	devora.ErrAuthentication:      "Authentication",
	devora.ErrPermissionDenied:    "PermissionDenied",
	devora.ErrNotFound:            "NotFound",
	devora.ErrConflict:            "Conflict",
	devora.ErrRateLimit:           "RateLimit",
	devora.ErrServer:              "Server",
	devora.ErrServiceUnavailable:  "ServiceUnavailable",
	devora.ErrJobFailed:           "JobFailed",
	devora.ErrJobCancelled:        "JobCancelled",
	devora.ErrWebhookVerification: "WebhookVerification",
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(input io.Reader, output io.Writer) error {
	lines := bufio.NewReader(input)
	encoder := json.NewEncoder(output)
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 1 {
			var request command
			if err := json.Unmarshal(text, &request); err != nil {
				return fmt.Errorf("a command is not JSON: %w", err)
			}
			if err := encoder.Encode(answer(request, encoder)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer performs a command and returns its last line.
func answer(request command, encoder *json.Encoder) line {
	var args arguments
	if len(request.Arguments) > 0 {
		if err := json.Unmarshal(request.Arguments, &args); err != nil {
			return line{ID: request.ID, OK: devora.Ptr(false), Error: &errorRow{Kind: "Runner", Message: err.Error()}}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := devora.NewClient(request.Options.APIKey, request.Options.client()...)
	defer client.Close()
	after := request.Options.CancelAfter
	if after != nil && after.Seconds != nil {
		timer := time.AfterFunc(duration(*after.Seconds), cancel)
		defer timer.Stop()
	}
	yielded := 0
	show := func(value any) error {
		if err := encoder.Encode(line{ID: request.ID, Event: value}); err != nil {
			return err
		}
		if yielded++; after != nil && after.Events != nil && yielded == *after.Events {
			cancel()
		}
		return nil
	}
	value, err := perform(ctx, client, request.Call, args, show, request.Options.call())
	if err != nil {
		return line{ID: request.ID, OK: devora.Ptr(false), Error: row(err)}
	}
	return line{ID: request.ID, OK: devora.Ptr(true), Value: value, RequestID: requestID(value)}
}

func (o callOptions) client() []devora.Option {
	var options []devora.Option
	if o.BaseURL != "" {
		options = append(options, devora.WithBaseURL(o.BaseURL))
	}
	if o.MaxRetries != nil {
		options = append(options, devora.WithMaxRetries(*o.MaxRetries))
	}
	if o.Backoff != nil {
		options = append(options, devora.WithBackoff(duration(*o.Backoff), 8*time.Second),
			devora.WithReconnectBackoff(duration(*o.Backoff), 5*time.Second))
	}
	if o.StallTimeout != nil {
		options = append(options, devora.WithStallTimeout(duration(*o.StallTimeout)))
	}
	if o.Log != "" {
		handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})
		options = append(options, devora.WithLogger(slog.New(handler)))
	}
	return options
}

func (o callOptions) call() []devora.Option {
	var options []devora.Option
	if o.Timeout != nil {
		options = append(options, devora.WithTimeout(duration(*o.Timeout)))
	}
	if o.IdempotencyKey != "" {
		options = append(options, devora.WithIdempotencyKey(o.IdempotencyKey))
	}
	return options
}

func perform(ctx context.Context, client *devora.Client, call string, a arguments, show func(any) error, options []devora.Option) (any, error) {
	page := &devora.Page{Limit: a.Limit, Offset: a.Offset, After: a.After}
	listed := &devora.JobListParams{Status: devora.JobStatus(a.Status), AgentID: a.AgentID, WorkflowID: a.WorkflowID,
		NeedsAttention: a.NeedsAttention, Page: *page}
	if a.Reason != "" {
		listed.Reasons = []string{a.Reason}
	}
	agent := &devora.AgentExecuteRequest{AgentID: a.AgentID, Input: a.Input, Config: a.Config, Labels: a.Labels, WebhookURL: a.WebhookURL}
	workflow := &devora.WorkflowRunRequest{WorkflowID: a.WorkflowID, Input: a.Input, Config: a.Config, Labels: a.Labels, WebhookURL: a.WebhookURL}
	decision := devora.Decision{Step: a.Step, Note: a.Note}
	switch call {
	case "agents.list":
		return client.Agents.List(ctx, options...)
	case "agents.get":
		return client.Agents.Get(ctx, a.AgentID, options...)
	case "agents.health":
		return client.Agents.Health(ctx, a.AgentID, options...)
	case "agents.execute":
		if a.Async {
			return client.Agents.Start(ctx, agent, options...)
		}
		return client.Agents.Execute(ctx, agent, options...)
	case "workflows.list":
		return client.Workflows.List(ctx, options...)
	case "workflows.get":
		return client.Workflows.Get(ctx, a.WorkflowID, options...)
	case "workflows.run":
		if a.Async {
			return client.Workflows.Start(ctx, workflow, options...)
		}
		return client.Workflows.Run(ctx, workflow, options...)
	case "jobs.list":
		return client.Jobs.List(ctx, listed, options...)
	case "jobs.iterate":
		return nil, each(client.Jobs.All(ctx, listed, options...), show)
	case "jobs.get":
		return client.Jobs.Get(ctx, a.JobID, options...)
	case "jobs.result":
		return client.Jobs.Result(ctx, a.JobID, options...)
	case "jobs.output":
		return client.Jobs.Output(ctx, a.JobID, options...)
	case "jobs.wait":
		return client.Jobs.Wait(ctx, a.JobID, options...)
	case "jobs.stream":
		return nil, each(client.Jobs.Stream(ctx, a.JobID, &devora.StreamParams{After: a.After, Deltas: a.Deltas}, options...), show)
	case "events.stream":
		return nil, each(client.Events.Stream(ctx, &devora.AccountStreamParams{After: a.After}, options...), show)
	case "jobs.events":
		return client.Jobs.Events(ctx, a.JobID, &devora.EventListParams{After: a.After, Limit: a.Limit}, options...)
	case "jobs.cancel":
		return client.Jobs.Cancel(ctx, a.JobID, a.Reason, options...)
	case "jobs.pause":
		return client.Jobs.Pause(ctx, a.JobID, a.Note, options...)
	case "jobs.resume":
		return client.Jobs.Resume(ctx, a.JobID, a.Note, options...)
	case "jobs.approve":
		return client.Jobs.Approve(ctx, a.JobID, decision, options...)
	case "jobs.reject":
		return client.Jobs.Reject(ctx, a.JobID, decision, options...)
	case "jobs.questions":
		return client.Jobs.Questions(ctx, a.JobID, options...)
	case "jobs.answer":
		return client.Jobs.Answer(ctx, a.JobID, devora.AnswerRequest{Step: a.Step, Values: a.Values, Note: a.Note}, options...)
	case "jobs.signal":
		return client.Jobs.Signal(ctx, a.JobID, a.Name, a.Input, options...)
	case "jobs.retry":
		return client.Jobs.Retry(ctx, a.JobID, options...)
	case "metrics.get":
		return client.Metrics.Get(ctx, options...)
	case "metrics.agent":
		return client.Metrics.Agent(ctx, a.AgentID, a.Period, options...)
	case "limits.get":
		return client.Account.Limits(ctx, options...)
	case "me.get":
		return client.Account.Me(ctx, options...)
	case "health.get":
		return client.Health.Live(ctx, options...)
	case "keys.create":
		return client.Keys.Create(ctx, &devora.KeyCreateRequest{Name: a.Name, Scopes: a.Scopes, Tier: a.Tier, ExpiresAt: a.ExpiresAt}, options...)
	case "keys.list":
		return client.Keys.List(ctx, page, options...)
	case "keys.get":
		return client.Keys.Get(ctx, a.KeyID, options...)
	case "keys.update":
		return client.Keys.Update(ctx, a.KeyID, &devora.KeyUpdateRequest{Name: a.Name, Scopes: a.Scopes, Tier: a.Tier, ExpiresAt: a.ExpiresAt}, options...)
	case "keys.rotate":
		return client.Keys.Rotate(ctx, a.KeyID, &devora.KeyRotateRequest{OverlapSeconds: a.OverlapSeconds}, options...)
	case "keys.revoke":
		return client.Keys.Revoke(ctx, a.KeyID, options...)
	case "schedules.create":
		request := &devora.ScheduleCreateRequest{
			AgentID: a.AgentID, WorkflowID: a.WorkflowID, Input: a.Input, Labels: a.Labels, Overlap: a.Overlap, Paused: a.Paused,
		}
		if err := json.Unmarshal(a.Spec, &request.Spec); err != nil {
			return nil, err
		}
		return client.Schedules.Create(ctx, request, options...)
	case "schedules.list":
		return client.Schedules.List(ctx, page, options...)
	case "schedules.get":
		return client.Schedules.Get(ctx, a.ScheduleID, options...)
	case "schedules.update":
		return client.Schedules.Update(ctx, a.ScheduleID, &devora.ScheduleUpdateRequest{Overlap: a.Overlap, Name: a.Name}, options...)
	case "schedules.pause":
		return client.Schedules.Pause(ctx, a.ScheduleID, a.Note, options...)
	case "schedules.unpause":
		return client.Schedules.Unpause(ctx, a.ScheduleID, a.Note, options...)
	case "schedules.trigger":
		return client.Schedules.Trigger(ctx, a.ScheduleID, &devora.TriggerRequest{Overlap: a.Overlap}, options...)
	case "schedules.backfill":
		return client.Schedules.Backfill(ctx, a.ScheduleID, &devora.BackfillRequest{StartAt: *a.StartAt, EndAt: *a.EndAt, Overlap: a.Overlap}, options...)
	case "schedules.delete":
		return nil, client.Schedules.Delete(ctx, a.ScheduleID, options...)
	case "webhooks.create":
		return client.Webhooks.Create(ctx, &devora.WebhookCreateRequest{URL: a.URL, Events: a.Events, Secret: a.Secret}, options...)
	case "webhooks.list":
		return client.Webhooks.List(ctx, page, options...)
	case "webhooks.get":
		return client.Webhooks.Get(ctx, a.WebhookID, options...)
	case "webhooks.update":
		return client.Webhooks.Update(ctx, a.WebhookID, &devora.WebhookUpdateRequest{URL: a.URL, Events: a.Events, Active: a.Active}, options...)
	case "webhooks.delete":
		return nil, client.Webhooks.Delete(ctx, a.WebhookID, options...)
	case "webhooks.rotate_secret":
		return client.Webhooks.RotateSecret(ctx, a.WebhookID, &devora.SecretRotateRequest{Secret: a.Secret, OverlapSeconds: a.OverlapSeconds}, options...)
	case "webhooks.test":
		return client.Webhooks.Test(ctx, a.WebhookID, options...)
	case "webhooks.deliveries":
		return client.Webhooks.Deliveries(ctx, a.WebhookID, &devora.DeliveryListParams{State: a.State, Page: *page}, options...)
	case "webhooks.redeliver":
		return client.Webhooks.Redeliver(ctx, a.WebhookID, a.DeliveryID, options...)
	case "webhooks.unwrap":
		return unwrap(client, a)
	}
	return nil, fmt.Errorf("no such call: %s", call)
}

func unwrap(client *devora.Client, a arguments) (any, error) {
	header := http.Header{}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	var options []devora.WebhookOption
	if a.Tolerance != nil {
		options = append(options, devora.WithTolerance(duration(*a.Tolerance)))
	}
	if a.Now != nil {
		options = append(options, devora.WithNow(time.Unix(int64(*a.Now), 0)))
	}
	return client.Webhooks.Unwrap([]byte(a.Body), header, a.Secret, options...)
}

// each passes all values of an iterator to show.
func each[T any](values iter.Seq2[T, error], show func(any) error) error {
	for value, err := range values {
		if err != nil {
			return err
		}
		if err := show(value); err != nil {
			return err
		}
	}
	return nil
}

func row(err error) *errorRow {
	var fault *devora.Error
	if !errors.As(err, &fault) {
		return &errorRow{Kind: "Runner", Message: err.Error()}
	}
	kind := kinds[fault.Kind()]
	if errors.Is(err, context.Canceled) {
		kind = "Cancelled"
	}
	shown := &errorRow{Kind: kind, Code: some(fault.Code), Status: some(fault.Status), Message: fault.Message,
		RequestID: some(fault.RequestID), JobID: some(fault.JobID), Field: some(fault.Field)}
	if fault.RetryAfter > 0 {
		shown.RetryAfter = devora.Ptr(fault.RetryAfter.Seconds())
	}
	return shown
}

func requestID(value any) string {
	structure := reflect.Indirect(reflect.ValueOf(value))
	if structure.Kind() != reflect.Struct {
		return ""
	}
	if field := structure.FieldByName("RequestID"); field.IsValid() {
		return field.String()
	}
	return ""
}

// some returns a pointer to a value, nil for zero, which is null in JSON.
func some[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
