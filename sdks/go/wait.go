package devora

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	longPoll      = 30 * time.Second
	longPollSlack = 15 * time.Second // extra time for the response
)

// Wait waits for the end of a job, through restarts of the server and lost connections, until the context ends or
// [WithTimeout] expires. It returns the job with its output, or an error: [ErrJobFailed], [ErrJobCancelled], or
// [ErrTimeout], after which the job continues.
func (s *JobService) Wait(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	config := s.client.config.with(options)
	ctx, cancel := config.deadline(ctx, noTimeout)
	defer cancel()
	options = append(options[:len(options):len(options)], WithTimeout(noTimeout)) // ctx holds the deadline
	var last *Job
	for {
		began := time.Now()
		seconds := longPoll.Seconds()
		if until, ok := ctx.Deadline(); ok {
			// A little less than the rest, so that the answer comes in time, with the reason why the job has not ended.
			seconds = max(0, min(seconds, 0.9*time.Until(until).Seconds()))
		}
		query := url.Values{"wait": {strconv.FormatFloat(seconds, 'f', 3, 64)}, "until": {"end"}}
		poll := call{method: http.MethodGet, query: query, timeout: noTimeout, attemptLimit: longPoll + longPollSlack, patient: true}
		job, err := fetch[Job](ctx, s.client, poll, options, "jobs", jobID)
		if err != nil {
			return nil, unfinished(err, jobID, last)
		}
		if job.Status == "" {
			return nil, noJob(job.RequestID)
		}
		if job.Status.Ended() {
			return job.outcome()
		}
		last = job
		if time.Since(began).Seconds() < min(1, seconds/2) || seconds < 0.01 { // the server did not wait: do not poll in a tight loop
			if sleep(ctx, config.backoff.pause(1)) != nil {
				return nil, unfinished(contextError(ctx), jobID, last)
			}
		}
	}
}

// noJob returns the error of a response without the status of a job: waiting would never end.
func noJob(requestID string) *Error {
	return &Error{kind: ErrInvalidResponse, Code: "unexpected_response", RequestID: requestID,
		Message: "invalid response, check the base URL: expected a job with its id and status"}
}

// unfinished adds the job id to the error of a wait or a stream, and the reason why the job is open, if it is known.
func unfinished(err error, jobID string, last *Job) error {
	var fault *Error
	if errors.As(err, &fault) {
		fault.JobID = jobID
		if fault.kind == ErrTimeout {
			fault.Message = "job " + jobID + " has not ended before the deadline; it continues"
			if last != nil && last.Reason != nil && last.Reason.Message != "" {
				fault.Message += " (" + last.Reason.Message + ")"
			}
		}
	}
	return err
}

// Result returns a completed job with its output. A failed or cancelled job is an error, [ErrJobFailed] or
// [ErrJobCancelled]; so is an open one, [ErrConflict].
func (s *JobService) Result(ctx context.Context, jobID string, options ...Option) (*Job, error) {
	job, err := s.Get(ctx, jobID, options...)
	if err != nil {
		return nil, err
	}
	if !job.Status.Ended() {
		return nil, &Error{kind: ErrConflict, Code: "not_ended", JobID: jobID, RequestID: job.RequestID,
			Message: "job " + jobID + " has not ended (status " + string(job.Status) + "): use Wait"}
	}
	return job.outcome()
}

// result converts an ended job.
func (j *Job) result() *Result {
	return &Result{
		JobID: j.ID, AgentID: j.AgentID, WorkflowID: j.WorkflowID, Status: j.Status, Output: j.Output, Error: j.Error,
		Metrics: j.Metrics, CreatedAt: j.CreatedAt, CompletedAt: j.CompletedAt, Links: j.Links, RequestID: j.RequestID, Extra: j.Extra,
	}
}

// outcome returns the job if it completed, otherwise its error.
func (j *Job) outcome() (*Job, error) {
	if err := j.result().failure(); err != nil {
		return nil, err
	}
	return j, nil
}

// failure returns the error of a failed or cancelled job, nil for others.
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
