package devora

import (
	"encoding/json"
	"time"
)

// Event is one event of a job. A newer server may send types and names that are not listed here.
type Event struct {
	ID          string         `json:"id"`   // the cursor to go on from; empty for text of a running agent
	Type        string         `json:"type"` // "job_queued", "job_started", "job_progress", "agent_event", "job_completed", "job_failed"
	Name        string         `json:"name"` // exactly what happened, such as "agent.completed"
	JobID       string         `json:"job_id"`
	Status      JobStatus      `json:"status"`
	State       string         `json:"state"`
	Progress    int            `json:"progress"` // percent
	CurrentStep *string        `json:"current_step"`
	Message     string         `json:"message"`
	Timestamp   time.Time      `json:"timestamp"`
	Data        map[string]any `json:"data"`

	Extra Extra `json:"-"`
}

// Ends says whether the event is the last one of its job.
func (e *Event) Ends() bool { return e.Type == "job_completed" || e.Type == "job_failed" }

// Text is the text of an event "agent.delta", which goes on where the one before ended.
func (e *Event) Text() string {
	text, _ := e.Data["text"].(string)
	return text
}

// Output is the complete output, of the event "job.completed"; nil of others.
func (e *Event) Output() *Output {
	output := new(Output)
	if !member(e.Data, "output", output) {
		return nil
	}
	return output
}

// Failure is why a job or a call failed, of events that carry an error; nil of others.
func (e *Event) Failure() *JobError {
	failure := new(JobError)
	if !member(e.Data, "error", failure) {
		return nil
	}
	return failure
}

// member reads one member of free data into a structure; false where there is none.
func member(data map[string]any, name string, into any) bool {
	if data[name] == nil {
		return false
	}
	encoded, err := json.Marshal(data[name])
	return err == nil && json.Unmarshal(encoded, into) == nil
}
