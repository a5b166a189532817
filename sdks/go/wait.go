package devora

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	longPoll      = 30 * time.Second
	longPollSlack = 15 * time.Second // how much later than asked for an answer may come
)

// Wait waits until a job has ended, as long as the context or [WithTimeout] allows, through restarts of the server and
// lost connections. It returns the job with its output, or an error: [ErrJobFailed], [ErrJobCancelled], or [ErrTimeout], after which
// the job goes on.
func (s *JobService) Wait(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	config := s.client.config.with(options)
	ctx, cancel := config.deadline(ctx, noTimeout)
	defer cancel()
	options = append(options[:len(options):len(options)], WithTimeout(noTimeout)) // ctx holds the deadline
	for {
		began := time.Now()
		seconds := longPoll.Seconds()
		if until, ok := ctx.Deadline(); ok {
			seconds = math.Ceil(max(0, min(seconds, time.Until(until).Seconds())))
		}
		query := url.Values{"wait": {strconv.FormatFloat(seconds, 'f', -1, 64)}, "until": {"end"}}
		poll := call{method: http.MethodGet, query: query, timeout: noTimeout, attemptLimit: longPoll + longPollSlack, patient: true}
		job, err := fetch[Job](ctx, s.client, poll, options, "jobs", jobID)
		if err != nil {
			return nil, unfinished(err, jobID)
		}
		if job.Status.Ended() {
			return job.outcome()
		}
		if time.Since(began) < time.Second { // a server that did not wait must not be asked without a pause
			if sleep(ctx, config.backoff.pause(1)) != nil {
				return nil, unfinished(contextError(ctx), jobID)
			}
		}
	}
}

// unfinished names the job in the error of a wait.
func unfinished(err error, jobID string) error {
	var fault *Error
	if errors.As(err, &fault) {
		fault.JobID = jobID
		if fault.kind == ErrTimeout {
			fault.Message = "job " + jobID + " has not ended before the deadline; it goes on"
		}
	}
	return err
}

// Result gives a job that has completed, with its output. Of one that failed or was cancelled it is an error, [ErrJobFailed] or
// [ErrJobCancelled]; of one that is still open, [ErrConflict].
func (s *JobService) Result(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	job, err := s.Get(ctx, jobID, options...)
	if err != nil {
		return nil, err
	}
	if !job.Status.Ended() {
		return nil, &Error{kind: ErrConflict, Code: "not_ended", JobID: jobID, RequestID: job.RequestID,
			Message: "job " + jobID + " has not ended, it is " + string(job.Status) + ": use Wait"}
	}
	return job.outcome()
}

// result is the job as the result of its end.
func (j *Job) result() *Result {
	return &Result{
		JobID: j.ID, AgentID: j.AgentID, WorkflowID: j.WorkflowID, Status: j.Status, Output: j.Output, Error: j.Error,
		Metrics: j.Metrics, CreatedAt: j.CreatedAt, CompletedAt: j.CompletedAt, Links: j.Links, RequestID: j.RequestID, Extra: j.Extra,
	}
}

// outcome is the job if it completed, else its error.
func (j *Job) outcome() (*Job, error) {
	if err := j.result().failure(); err != nil {
		return nil, err
	}
	return j, nil
}

// failure is the error of a job that failed or was cancelled; nil of others.
func (r *Result) failure() error {
	if r.Status != StatusFailed && r.Status != StatusCancelled {
		return nil
	}
	fault := &Error{kind: ErrJobFailed, Code: "job_failed", JobID: r.JobID, Result: r, RequestID: r.RequestID, Message: "job " + r.JobID + " failed"}
	if r.Status == StatusCancelled {
		fault.kind, fault.Code, fault.Message = ErrJobCancelled, "job_cancelled", "job "+r.JobID+" was cancelled"
	}
	if r.Error != nil {
		fault.Code = r.Error.Type
		fault.Message += ": " + r.Error.Message
	}
	return fault
}
