package devora

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// ScheduleService manages schedules, which start jobs at their times. See Client.Schedules.
type ScheduleService struct{ client *Client }

// RangeRequest is the values from Start to End, both included. Without End, only Start.
type RangeRequest struct {
	Start int  `json:"start"`
	End   *int `json:"end,omitempty"`
	Step  int  `json:"step,omitempty"`
}

// CalendarRequest is the times that match all fields. An empty field matches the first minute or hour, and every day,
// month and year.
type CalendarRequest struct {
	Second     int            `json:"second,omitempty"`
	Minute     []RangeRequest `json:"minute,omitempty"`
	Hour       []RangeRequest `json:"hour,omitempty"`
	DayOfMonth []RangeRequest `json:"day_of_month,omitempty"`
	Month      []RangeRequest `json:"month,omitempty"`
	Year       []RangeRequest `json:"year,omitempty"`
	DayOfWeek  []RangeRequest `json:"day_of_week,omitempty"` // Sunday is 0
}

// IntervalRequest is every so many seconds since 1970, plus an offset.
type IntervalRequest struct {
	EverySeconds  int `json:"every_seconds"`
	OffsetSeconds int `json:"offset_seconds,omitempty"`
}

// SpecRequest is all times of Cron, Intervals and Calendars, without those of Skip.
type SpecRequest struct {
	Cron          []string          `json:"cron,omitempty"`
	Intervals     []IntervalRequest `json:"intervals,omitempty"`
	Calendars     []CalendarRequest `json:"calendars,omitempty"`
	Skip          []CalendarRequest `json:"skip,omitempty"`
	TimeZone      string            `json:"time_zone,omitempty"` // such as "Europe/Paris"; UTC if empty
	StartAt       *time.Time        `json:"start_at,omitempty"`
	EndAt         *time.Time        `json:"end_at,omitempty"`
	JitterSeconds int               `json:"jitter_seconds,omitempty"`
}

// ScheduleCreateRequest creates a schedule of an agent or of a workflow. Zero fields have the server's defaults.
type ScheduleCreateRequest struct {
	AgentID              string                 `json:"agent_id,omitempty"`
	WorkflowID           string                 `json:"workflow_id,omitempty"`
	Name                 string                 `json:"name,omitempty"`
	Input                map[string]interface{} `json:"input"`
	Config               *JobConfig             `json:"config,omitempty"`
	WebhookURL           string                 `json:"webhook_url,omitempty"`
	Labels               map[string]string      `json:"labels,omitempty"`
	Spec                 SpecRequest            `json:"spec"`
	Overlap              string                 `json:"overlap,omitempty"` // "skip", "buffer_one", "buffer_all", …
	CatchupWindowSeconds int                    `json:"catchup_window_seconds,omitempty"`
	PauseOnFailure       bool                   `json:"pause_on_failure,omitempty"`
	Paused               bool                   `json:"paused,omitempty"`
	Note                 string                 `json:"note,omitempty"`
	RemainingRuns        *int                   `json:"remaining_runs,omitempty"`
}

// Create creates a schedule.
func (s *ScheduleService) Create(ctx context.Context, request *ScheduleCreateRequest, options ...Option) (*Schedule, error) {
	body := value(request)
	if body.Input == nil {
		body.Input = map[string]interface{}{}
	}
	return post[Schedule](ctx, s.client, body, options, "schedules")
}

// List returns one page of schedules, oldest first. [ScheduleService.All] iterates over all pages.
func (s *ScheduleService) List(ctx context.Context, page *Page, options ...Option) (*ScheduleList, error) {
	query := url.Values{}
	value(page).set(query)
	return get[ScheduleList](ctx, s.client, query, options, "schedules")
}

// All iterates over all schedules and fetches pages as needed.
func (s *ScheduleService) All(ctx context.Context, page *Page, options ...Option) iter.Seq2[*Schedule, error] {
	return all(value(page), func(at Page) ([]Schedule, position, error) {
		page, err := s.List(ctx, &at, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Schedules, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Get returns one schedule with its next times and its last runs.
func (s *ScheduleService) Get(ctx context.Context, scheduleID string, options ...Option) (*Schedule, error) {
	return get[Schedule](ctx, s.client, nil, options, "schedules", scheduleID)
}

// ScheduleUpdateRequest changes a schedule. Zero fields stay unchanged. To remove the webhook or the limit of runs, use
// [Client.Do].
type ScheduleUpdateRequest struct {
	Name                 string                 `json:"name,omitempty"`
	Input                map[string]interface{} `json:"input,omitempty"`
	Config               *JobConfig             `json:"config,omitempty"`
	WebhookURL           string                 `json:"webhook_url,omitempty"`
	Labels               map[string]string      `json:"labels,omitempty"`
	Spec                 *SpecRequest           `json:"spec,omitempty"`
	Overlap              string                 `json:"overlap,omitempty"`
	CatchupWindowSeconds int                    `json:"catchup_window_seconds,omitempty"`
	PauseOnFailure       *bool                  `json:"pause_on_failure,omitempty"`
	RemainingRuns        *int                   `json:"remaining_runs,omitempty"`
}

// Update changes a schedule.
func (s *ScheduleService) Update(ctx context.Context, scheduleID string, request *ScheduleUpdateRequest, options ...Option) (*Schedule, error) {
	return fetch[Schedule](ctx, s.client, call{method: http.MethodPatch, body: request}, options, "schedules", scheduleID)
}

// Delete deletes a schedule. Its running jobs continue.
func (s *ScheduleService) Delete(ctx context.Context, scheduleID string, options ...Option) error {
	return send(ctx, s.client, call{method: http.MethodDelete}, options, "schedules", scheduleID)
}

// Pause pauses a schedule.
func (s *ScheduleService) Pause(ctx context.Context, scheduleID, note string, options ...Option) (*Schedule, error) {
	return post[Schedule](ctx, s.client, noteBody{Note: note}, options, "schedules", scheduleID, "pause")
}

// Unpause unpauses a schedule.
func (s *ScheduleService) Unpause(ctx context.Context, scheduleID, note string, options ...Option) (*Schedule, error) {
	return post[Schedule](ctx, s.client, noteBody{Note: note}, options, "schedules", scheduleID, "unpause")
}

// TriggerRequest is the overlap policy of one run; that of the schedule if it is empty.
type TriggerRequest struct {
	Overlap string `json:"overlap,omitempty"`
}

// Trigger starts a run now. The JobID of the result is nil if the overlap policy holds it back.
func (s *ScheduleService) Trigger(ctx context.Context, scheduleID string, request *TriggerRequest, options ...Option) (*Schedule, error) {
	return post[Schedule](ctx, s.client, value(request), options, "schedules", scheduleID, "trigger")
}

// BackfillRequest is a period, both ends included.
type BackfillRequest struct {
	StartAt time.Time `json:"start_at"`
	EndAt   time.Time `json:"end_at"`
	Overlap string    `json:"overlap,omitempty"`
}

// Backfill starts the runs of a period.
func (s *ScheduleService) Backfill(ctx context.Context, scheduleID string, request *BackfillRequest, options ...Option) (*Schedule, error) {
	return post[Schedule](ctx, s.client, value(request), options, "schedules", scheduleID, "backfill")
}

// Schedule is a schedule. NextRuns are its next five times; while it is paused, those that it would have.
type Schedule struct {
	ScheduleID           string                 `json:"schedule_id"`
	AgentID              string                 `json:"agent_id"`
	WorkflowID           string                 `json:"workflow_id"`
	Name                 string                 `json:"name"`
	Type                 string                 `json:"type"` // "agent" or "workflow"
	Owner                string                 `json:"owner"`
	Input                map[string]interface{} `json:"input"`
	Config               RunConfig              `json:"config"`
	WebhookURL           *string                `json:"webhook_url"`
	Labels               map[string]string      `json:"labels"`
	Spec                 ScheduleSpec           `json:"spec"`
	Overlap              string                 `json:"overlap"`
	CatchupWindowSeconds int                    `json:"catchup_window_seconds"`
	PauseOnFailure       bool                   `json:"pause_on_failure"`
	Paused               bool                   `json:"paused"`
	Note                 string                 `json:"note"`
	RemainingRuns        *int                   `json:"remaining_runs"`
	NextRuns             []time.Time            `json:"next_runs"`
	RecentRuns           []ScheduledRun         `json:"recent_runs"`
	Running              []string               `json:"running"` // job ids
	Runs                 ScheduleCounts         `json:"runs"`
	CreatedAt            time.Time              `json:"created_at"`
	UpdatedAt            time.Time              `json:"updated_at"`
	// JobID is set only in the result of Trigger.
	JobID *string `json:"job_id"`
	// Backfilled is set only in the result of Backfill.
	Backfilled int `json:"backfilled"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// RunConfig is the settings of each run.
type RunConfig struct {
	Model             *string  `json:"model"`
	Temperature       *float64 `json:"temperature"`
	MaxTokens         *int     `json:"max_tokens"`
	ParallelExecution bool     `json:"parallel_execution"`
	StopOnError       bool     `json:"stop_on_error"`

	Extra Extra `json:"-"`
}

// ScheduleSpec is the times of a schedule.
type ScheduleSpec struct {
	Cron          []string           `json:"cron"`
	Intervals     []ScheduleInterval `json:"intervals"`
	Calendars     []ScheduleCalendar `json:"calendars"`
	Skip          []ScheduleCalendar `json:"skip"`
	TimeZone      string             `json:"time_zone"`
	StartAt       *time.Time         `json:"start_at"`
	EndAt         *time.Time         `json:"end_at"`
	JitterSeconds int                `json:"jitter_seconds"`

	Extra Extra `json:"-"`
}

// ScheduleInterval is every so many seconds since 1970, plus an offset.
type ScheduleInterval struct {
	EverySeconds  int `json:"every_seconds"`
	OffsetSeconds int `json:"offset_seconds"`

	Extra Extra `json:"-"`
}

// ScheduleCalendar is the times that match all fields.
type ScheduleCalendar struct {
	Second     []ScheduleRange `json:"second"`
	Minute     []ScheduleRange `json:"minute"`
	Hour       []ScheduleRange `json:"hour"`
	DayOfMonth []ScheduleRange `json:"day_of_month"`
	Month      []ScheduleRange `json:"month"`
	Year       []ScheduleRange `json:"year"`
	DayOfWeek  []ScheduleRange `json:"day_of_week"`

	Extra Extra `json:"-"`
}

// ScheduleRange is the values from Start to End, both included, in steps.
type ScheduleRange struct {
	Start int `json:"start"`
	End   int `json:"end"`
	Step  int `json:"step"`

	Extra Extra `json:"-"`
}

// ScheduledRun is a job that the schedule started, and the time that it was meant for.
type ScheduledRun struct {
	JobID       string    `json:"job_id"`
	ScheduledAt time.Time `json:"scheduled_at"`
	StartedAt   time.Time `json:"started_at"`

	Extra Extra `json:"-"`
}

// ScheduleCounts counts runs: started, skipped for an overlap, missed beyond the catch-up window.
type ScheduleCounts struct {
	Started int `json:"started"`
	Skipped int `json:"skipped"`
	Missed  int `json:"missed"`

	Extra Extra `json:"-"`
}

// ScheduleList is one page of schedules.
type ScheduleList struct {
	Schedules []Schedule `json:"schedules"`
	Total     int        `json:"total"`
	Limit     int        `json:"limit"`
	Offset    int        `json:"offset"`
	Next      *string    `json:"next"`
	HasMore   bool       `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
