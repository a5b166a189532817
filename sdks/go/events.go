package devora

import (
	"encoding/json"
	"time"
)

// Event is one event of a job. Newer servers may send other types and names.
type Event struct {
	ID          string         `json:"id"`   // cursor; empty for text of a running agent
	Type        string         `json:"type"` // "job_queued", "job_started", "job_progress", "agent_event", "job_completed", "job_failed"
	Name        string         `json:"name"` // such as "agent.completed"
	JobID       string         `json:"job_id"`
	Status      JobStatus      `json:"status"`
	State       string         `json:"state"`
	Progress    *int           `json:"progress"` // percent; nil while not all calls are known
	CurrentStep *string        `json:"current_step"`
	Message     string         `json:"message"`
	Timestamp   time.Time      `json:"timestamp"`
	Data        map[string]any `json:"data"`

	Extra Extra `json:"-"`
}

// Ends reports whether this is the last event of the job.
func (e *Event) Ends() bool { return e.Type == "job_completed" || e.Type == "job_failed" }

// Text returns the text of an "agent.delta" event. It continues the text of the previous one.
func (e *Event) Text() string {
	text, _ := e.Data["text"].(string)
	return text
}

// Output returns the complete output of a "job.completed" event, nil for others.
func (e *Event) Output() *Output {
	output := new(Output)
	if !member(e.Data, "output", output) {
		return nil
	}
	return output
}

// Failure returns the error of an event of a failed job or call, nil for others.
func (e *Event) Failure() *JobError {
	failure := new(JobError)
	if !member(e.Data, "error", failure) {
		return nil
	}
	return failure
}

// member decodes one member of data. It returns false if there is none of that form.
func member(data map[string]any, name string, into any) bool {
	if data[name] == nil {
		return false
	}
	encoded, err := json.Marshal(data[name])
	return err == nil && json.Unmarshal(encoded, into) == nil
}
