package devora

import (
	"context"
	"time"
)

// Question is a question of a job to a person. ID names it in an answer, whose values match InputSchema.
type Question struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind"`   // "form", "approval", "tool"
	Status      string         `json:"status"` // "open", "answered", "expired", "withdrawn"
	Step        string         `json:"step"`
	Agent       *string        `json:"agent"` // whose tool call needs a yes
	Message     string         `json:"message"`
	InputSchema map[string]any `json:"input_schema"`
	Details     any            `json:"details"` // what to decide on
	By          []string       `json:"by"`      // who may answer
	OnTimeout   string         `json:"on_timeout"`
	AskedAt     *time.Time     `json:"asked_at"`
	Deadline    *time.Time     `json:"deadline"`
	EndedAt     *time.Time     `json:"ended_at"`
	Answer      *Answer        `json:"answer"`

	Extra Extra `json:"-"`
}

// Answer is the answer to a question.
type Answer struct {
	Values map[string]any `json:"values"`
	Actor  string         `json:"actor"`
	Note   string         `json:"note"`
	At     time.Time      `json:"at"`
	How    string         `json:"how"` // "answered", or "default" or "skipped" if nobody answered in time

	Extra Extra `json:"-"`
}

// QuestionList is the questions of a job, oldest first.
type QuestionList struct {
	Questions []Question `json:"questions"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// AnswerRequest answers a question.
type AnswerRequest struct {
	Step   string         `json:"step"` // the question's ID, or its step if only one question of the step is open
	Values map[string]any `json:"values"`
	Note   string         `json:"note,omitempty"`
}

// AnswerResult is an answer that the job has.
type AnswerResult struct {
	JobID    string    `json:"job_id"`
	Status   JobStatus `json:"status"`
	State    string    `json:"state"`
	Question Question  `json:"question"`
	Links    Links     `json:"links"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

type signalBody struct {
	Input any `json:"input"`
}

// Questions returns the questions of a job to people, oldest first.
func (s *JobService) Questions(ctx context.Context, jobID string, options ...Option) (*QuestionList, error) {
	return get[QuestionList](ctx, s.client, nil, options, "jobs", jobID, "questions")
}

// Answer answers a question. The same answer again changes nothing, another one is [ErrConflict].
func (s *JobService) Answer(ctx context.Context, jobID string, answer AnswerRequest, options ...Option) (*AnswerResult, error) {
	if answer.Values == nil {
		answer.Values = map[string]any{}
	}
	return post[AnswerResult](ctx, s.client, answer, options, "jobs", jobID, "answers")
}

// Signal sends a signal that the workflow of a job declares. The input may be nil.
func (s *JobService) Signal(ctx context.Context, jobID, name string, input any, options ...Option) (*Control, error) {
	return post[Control](ctx, s.client, signalBody{input}, options, "jobs", jobID, "signals", name)
}
