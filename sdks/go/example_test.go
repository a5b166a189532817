package devora_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/devora/sdk-go"
)

// exampleServer stands in for the API, so that the examples have an output.
func exampleServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/events"):
			log{2}.send(w, r, 9)
		case strings.HasSuffix(r.URL.Path, "/missing"):
			fail(w, http.StatusNotFound, "not_found", "There is no job missing")
		case r.URL.Path == "/v1/jobs":
			io.WriteString(w, `{"jobs": [{"job_id": "job_2", "status": "failed"}, {"job_id": "job_1", "status": "failed"}], "total": 2}`)
		case strings.HasSuffix(r.URL.Path, "/run"):
			io.WriteString(w, `{"job_id": "job_1", "status": "queued", "workflow_id": "market_research"}`)
		default:
			io.WriteString(w, completed)
		}
	}))
}

func ExampleAgentService_Execute() {
	server := exampleServer()
	defer server.Close()
	client := devora.NewClient("YOUR_API_KEY", devora.WithBaseURL(server.URL))

	result, err := client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{
		AgentID: "product_manager",
		Input: map[string]interface{}{
			"task_type": "prd",
			"context":   "Application de livraison",
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Output)
	fmt.Printf("Tokens: %d\n", result.Metrics.TotalTokens)
	// Output:
	// # Text
	// Tokens: 42
}

func ExampleWorkflowService_Start() {
	server := exampleServer()
	defer server.Close()
	client := devora.NewClient("YOUR_API_KEY", devora.WithBaseURL(server.URL))
	ctx := context.Background()

	job, err := client.Workflows.Start(ctx, &devora.WorkflowRunRequest{
		WorkflowID: "market_research",
		Input:      map[string]interface{}{"topic": "Electric cargo bikes in cities"},
	})
	if err != nil {
		panic(err)
	}
	ended, err := job.Wait(ctx, devora.WithTimeout(10*time.Minute))
	if err != nil {
		panic(err)
	}
	fmt.Println(job.ID, ended.Status, len(ended.Deliverables()))
	// Output: job_1 completed 1
}

func ExampleJobService_Stream() {
	server := exampleServer()
	defer server.Close()
	client := devora.NewClient("YOUR_API_KEY", devora.WithBaseURL(server.URL))

	for event, err := range client.Jobs.Stream(context.Background(), "job_1", nil) {
		if err != nil {
			panic(err)
		}
		fmt.Println(event.ID, event.Type)
	}
	// Output:
	// run:1 job_progress
	// run:2 job_completed
}

func ExampleJobService_All() {
	server := exampleServer()
	defer server.Close()
	client := devora.NewClient("YOUR_API_KEY", devora.WithBaseURL(server.URL))

	for job, err := range client.Jobs.All(context.Background(), &devora.JobListParams{Status: devora.StatusFailed}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(job.ID)
	}
	// Output:
	// job_2
	// job_1
}

func ExampleError() {
	server := exampleServer()
	defer server.Close()
	client := devora.NewClient("YOUR_API_KEY", devora.WithBaseURL(server.URL))

	_, err := client.Jobs.Get(context.Background(), "missing")
	var fault *devora.Error
	if errors.Is(err, devora.ErrNotFound) && errors.As(err, &fault) {
		fmt.Println(fault.Status, fault.Code, fault.RequestID)
	}
	// Output: 404 not_found req_header
}

func ExampleUnwrapWebhook() {
	const secret = "a secret of ours"
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "no body", http.StatusBadRequest)
			return
		}
		event, err := devora.UnwrapWebhook(body, r.Header, secret, devora.WithNow(sentAt))
		if err != nil {
			http.Error(w, "not genuine", http.StatusBadRequest)
			return
		}
		fmt.Println(event.ID, event.Event, *event.JobID)
	}

	request := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(delivered))
	request.Header = headers(signature([]byte(secret), "msg_1", sentAt, delivered))
	handler(httptest.NewRecorder(), request)
	// Output: msg_1 job.completed job_1
}
