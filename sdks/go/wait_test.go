package devora_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/devora/sdk-go"
)

const completed = `{"job_id": "job_1", "status": "completed", "output": {"status": "success", "output": "# Text", "deliverables": [{"path": "a.md"}]}, "metrics": {"total_tokens": 42}}`

func TestABlockingCallGoesOnWaitingForItsJob(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(503)
			io.WriteString(w, `{"error": {"code": "service_unavailable", "message": "not done", "details": {"job_id": "job_1"}}}`)
		case number == 2:
			io.WriteString(w, `{"job_id": "job_1", "status": "running"}`)
		default:
			io.WriteString(w, completed)
		}
	})
	result, err := client.Workflows.Run(context.Background(), &devora.WorkflowRunRequest{WorkflowID: "w"})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(result.Output) != "# Text" || result.Metrics.TotalTokens != 42 || result.Deliverables()[0].Path != "a.md" || result.JobID != "job_1" {
		t.Errorf("%+v", result)
	}
	if seen.all[0].Method != http.MethodPost || seen.all[1].Method != http.MethodGet || seen.count() != 3 || seen.body[0] != `{"input":{},"async":false}` {
		t.Error(seen.count(), seen.body)
	}
	if query := seen.all[1].URL.Query(); query.Get("wait") != "30.000" || query.Get("until") != "end" {
		t.Error(query)
	}
}

func TestABlockingCallOutlivesARestartOfTheServer(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number < 7 {
			sever(w) // for longer than two retries
			return
		}
		io.WriteString(w, completed)
	})
	result, err := client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{AgentID: "a"})
	if err != nil || result.JobID != "job_1" || seen.count() != 7 {
		t.Fatal(result, err, seen.count())
	}
	if keys := seen.headers("Idempotency-Key"); len(slices.Compact(keys)) != 1 {
		t.Error(keys)
	}
}

func TestWaitOutlivesARestartOfTheServer(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case number < 5:
			sever(w)
		case number < 9:
			fail(w, 503, "service_unavailable", "starting")
		default:
			io.WriteString(w, completed)
		}
	})
	job, err := client.Jobs.Wait(context.Background(), "job_1", devora.WithTimeout(time.Minute))
	if err != nil || job.Output.String() != "# Text" || len(job.Deliverables()) != 1 || seen.count() != 9 {
		t.Error(job, err, seen.count())
	}
}

func TestWaitDoesNotHideAFaultOfTheServer(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { fail(w, 500, "internal_error", "fault") })
	if _, err := client.Jobs.Wait(context.Background(), "job_1"); !errors.Is(err, devora.ErrServer) || seen.count() != 3 {
		t.Error(err, seen.count())
	}
}

func TestAWaitThatRunsOutNamesTheJob(t *testing.T) {
	for name, handle := range map[string]func(http.ResponseWriter, *http.Request, int){
		"held":        func(w http.ResponseWriter, r *http.Request, number int) { <-r.Context().Done() },
		"unreachable": func(w http.ResponseWriter, r *http.Request, number int) { sever(w) },
		"impatient":   func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, `{"status": "running"}`) },
	} {
		client, _ := serve(t, handle)
		_, err := client.Jobs.Wait(context.Background(), "job_1", devora.WithTimeout(50*time.Millisecond))
		if !errors.Is(err, devora.ErrTimeout) || asError(t, err).JobID != "job_1" || !strings.Contains(err.Error(), "continues") {
			t.Error(name, err)
		}
	}
}

func TestAJobThatFailsIsAnError(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		status := "failed"
		if strings.HasSuffix(r.URL.Path, "job_c") {
			status = "cancelled"
		}
		fmt.Fprintf(w, `{"job_id": "job_1", "status": %q, "output": null, "error": {"type": "rejected", "message": "a person said no", "step": "review"}}`, status)
	})
	ctx := context.Background()
	_, run := client.Workflows.Run(ctx, &devora.WorkflowRunRequest{WorkflowID: "w"})
	_, wait := client.Jobs.Wait(ctx, "job_1")
	_, result := client.Jobs.Result(ctx, "job_1")
	for _, err := range []error{run, wait, result} {
		fault := asError(t, err)
		if !errors.Is(err, devora.ErrJobFailed) || fault.Code != "rejected" || fault.JobID != "job_1" || *fault.Result.Error.Step != "review" {
			t.Errorf("%#v", fault)
		}
	}
	if _, err := client.Jobs.Wait(ctx, "job_c"); !errors.Is(err, devora.ErrJobCancelled) || errors.Is(err, devora.ErrJobFailed) {
		t.Error(err)
	}
}

func TestTheHandleOfAJob(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case number <= 2:
			io.WriteString(w, `{"job_id": "job_1", "status": "queued", "workflow_id": "w"}`)
		case number <= 4:
			io.WriteString(w, `{"job_id": "job_1", "status": "running", "progress": 40}`)
		case strings.HasSuffix(r.URL.Path, "/cancel"):
			io.WriteString(w, `{"job_id": "job_1", "status": "cancelled", "done": true}`)
		case strings.HasSuffix(r.URL.Path, "/events"):
			log{3}.send(w, r, 9)
		default:
			io.WriteString(w, completed)
		}
	})
	ctx := context.Background()
	if _, err := client.Jobs.Retry(ctx, "job_0"); err != nil {
		t.Fatal(err)
	}
	job, err := client.Workflows.Start(ctx, &devora.WorkflowRunRequest{WorkflowID: "w", WebhookURL: "https://example.com", Labels: map[string]string{"team": "press"}})
	if err != nil {
		t.Fatal(err)
	}
	if seen.body[1] != `{"input":{},"labels":{"team":"press"},"async":true,"webhook_url":"https://example.com"}` {
		t.Error(seen.body[1])
	}
	now, err := job.Get(ctx)
	if err != nil || now.Progress == nil || *now.Progress != 40 {
		t.Error(now, err)
	}
	if _, err := job.Result(ctx); !errors.Is(err, devora.ErrConflict) || !strings.Contains(err.Error(), "running") {
		t.Error(err)
	}
	if done, err := job.IsComplete(ctx); !done || err != nil {
		t.Error(done, err)
	}
	if ended, err := job.Wait(ctx); err != nil || ended.ID != "job_1" {
		t.Error(ended, err)
	}
	if control, err := job.Cancel(ctx, ""); err != nil || !control.Done {
		t.Error(control, err)
	}
	for _, err := range job.Stream(ctx, nil) {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestABlockingCallWaitsIfItIsAnsweredEarly(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, `{"job_id": "job_1", "status": "queued"}`)
			return
		}
		io.WriteString(w, completed)
	})
	result, err := client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{AgentID: "a"})
	if err != nil || result.Status != devora.StatusCompleted || seen.count() != 2 {
		t.Error(result, err, seen.count())
	}
}

// A deadline that ends before the server's wait leaves the caller the job, not a start without an answer.
func TestABlockingCallThatRunsOutNamesItsJob(t *testing.T) {
	handle := func(w http.ResponseWriter, r *http.Request, number int) {
		if r.Method == http.MethodPost && number == 1 {
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, `{"job_id": "job_1", "status": "queued"}`)
			return
		}
		<-r.Context().Done()
	}
	byOption := func(client *devora.Client) error {
		_, err := client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{AgentID: "a"}, devora.WithTimeout(300*time.Millisecond))
		return err
	}
	byContext := func(client *devora.Client) error {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		_, err := client.Workflows.Run(ctx, &devora.WorkflowRunRequest{WorkflowID: "w"})
		return err
	}
	for _, run := range []func(*devora.Client) error{byOption, byContext} {
		client, seen := serve(t, handle)
		err := run(client)
		if !errors.Is(err, devora.ErrTimeout) || asError(t, err).JobID != "job_1" || !strings.Contains(err.Error(), "continues") {
			t.Error(err)
		}
		seen.mutex.Lock() // the last request may still be open
		if seen.body[0] != `{"input":{},"async":true}` || seen.all[1].Method != http.MethodGet {
			t.Error(seen.body)
		}
		seen.mutex.Unlock()
	}
}

func TestAWaitThatRunsOutSaysWhyTheJobIsOpen(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		io.WriteString(w, `{"job_id": "job_1", "status": "running", "reason": {"code": "waiting_for_approval", "message": "step review waits for approval"}}`)
	})
	_, err := client.Jobs.Wait(context.Background(), "job_1", devora.WithTimeout(100*time.Millisecond))
	if !errors.Is(err, devora.ErrTimeout) || !strings.Contains(err.Error(), "step review waits for approval") {
		t.Error(err)
	}
}

func TestAnAnswerThatIsNoJobEndsAWait(t *testing.T) {
	for _, body := range []string{`{}`, `{"job_id": "job_1", "status": ["completed"]}`, `{"job_id": "job_1", "status": null}`} {
		client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, body) })
		ctx := context.Background()
		long := devora.WithTimeout(time.Minute)
		_, wait := client.Jobs.Wait(ctx, "job_1", long)
		_, run := client.Workflows.Run(ctx, &devora.WorkflowRunRequest{WorkflowID: "w"}, long)
		for _, err := range []error{wait, run} {
			if !errors.Is(err, devora.ErrInvalidResponse) || !strings.Contains(err.Error(), "base URL") {
				t.Error(body, err)
			}
		}
		if seen.count() != 2 {
			t.Error(body, seen.count())
		}
	}
}
