package devora_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devora/sdk-go"
)

const key = "dvr_sk_test_0123456789"

// requests keeps what a server was asked.
type requests struct {
	mutex sync.Mutex
	all   []*http.Request
	at    []time.Time
	body  []string
}

func (r *requests) add(request *http.Request) int {
	body, _ := io.ReadAll(request.Body)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all, r.at, r.body = append(r.all, request), append(r.at, time.Now()), append(r.body, string(body))
	return len(r.all)
}

func (r *requests) count() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.all)
}

func (r *requests) headers(name string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	values := make([]string, len(r.all))
	for i, request := range r.all {
		values[i] = request.Header.Get(name)
	}
	return values
}

// serve runs a server whose handler gets the number of the request, from 1, and gives a client of it.
func serve(t testing.TB, handle func(http.ResponseWriter, *http.Request, int), options ...devora.Option) (*devora.Client, *requests) {
	t.Helper()
	seen := &requests{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, seen.add(r))
	}))
	own := &http.Client{Transport: &http.Transport{}}
	options = append([]devora.Option{devora.WithBaseURL(server.URL + "/v1"), devora.WithHTTPClient(own),
		devora.WithBackoff(time.Millisecond, 4*time.Millisecond), devora.WithReconnectBackoff(time.Millisecond, 4*time.Millisecond)}, options...)
	client := devora.NewClient(key, options...)
	t.Cleanup(func() {
		own.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return client, seen
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-ID", "req_header")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error": {"code": %q, "message": %q, "details": {}, "request_id": "req_body"}}`, code, message)
}

func sever(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	connection.Close()
}

func asError(t testing.TB, err error) *devora.Error {
	t.Helper()
	var fault *devora.Error
	if !errors.As(err, &fault) {
		t.Fatalf("%v (%T) is no *devora.Error", err, err)
	}
	return fault
}

const noAgents = `{"agents": [], "total": 0, "available": 0, "unavailable": 0}`

func TestTransientStatusesAreRetried(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
			if number < 3 {
				fail(w, status, "x", "not yet")
				return
			}
			io.WriteString(w, noAgents)
		})
		if _, err := client.Agents.List(context.Background()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if got := seen.headers("X-Devora-Retry-Count"); !slices.Equal(got, []string{"", "1", "2"}) {
			t.Errorf("%d: retry counts %q", status, got)
		}
	}
}

func TestOtherStatusesAreNotRetried(t *testing.T) {
	kinds := map[int]error{400: devora.ErrInvalidRequest, 401: devora.ErrAuthentication, 403: devora.ErrPermissionDenied,
		404: devora.ErrNotFound, 409: devora.ErrConflict, 413: devora.ErrInvalidRequest, 422: devora.ErrInvalidRequest, 501: devora.ErrServer}
	for status, kind := range kinds {
		client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { fail(w, status, "word", "a sentence") })
		_, err := client.Agents.List(context.Background())
		fault := asError(t, err)
		if !errors.Is(err, kind) || fault.Status != status || fault.Code != "word" || fault.Message != "a sentence" || fault.RequestID != "req_header" {
			t.Errorf("%d: %#v", status, fault)
		}
		if seen.count() != 1 {
			t.Errorf("%d: asked %d times", status, seen.count())
		}
	}
}

func TestKindsAreNested(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { fail(w, 503, "service_unavailable", "away") }, devora.WithMaxRetries(0))
	_, err := client.Agents.List(context.Background())
	if !errors.Is(err, devora.ErrServiceUnavailable) || !errors.Is(err, devora.ErrServer) || errors.Is(err, devora.ErrConnection) {
		t.Error(err)
	}
}

func TestXShouldRetryOverridesTheStatus(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		word := map[string]string{"/v1/agents": "false", "/v1/workflows": "true"}[r.URL.Path]
		w.Header().Set("x-should-retry", word)
		if word == "true" && number > 2 {
			io.WriteString(w, `{"workflows": [], "total": 0}`)
			return
		}
		fail(w, map[string]int{"false": 503, "true": 409}[word], "x", "y")
	})
	if _, err := client.Agents.List(context.Background()); !errors.Is(err, devora.ErrServiceUnavailable) {
		t.Error(err)
	}
	if _, err := client.Workflows.List(context.Background()); err != nil {
		t.Error(err)
	}
	if seen.count() != 3 {
		t.Error(seen.count())
	}
}

func TestRetryAfterInBothForms(t *testing.T) {
	for name, value := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(1500 * time.Millisecond).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
				if number == 1 {
					w.Header().Set("Retry-After", value())
					w.Header()["Date"] = nil
					fail(w, 429, "rate_limit_exceeded", "slowly")
					return
				}
				io.WriteString(w, noAgents)
			})
			if _, err := client.Agents.List(context.Background()); err != nil {
				t.Fatal(err)
			}
			if pause := seen.at[1].Sub(seen.at[0]); pause < 400*time.Millisecond {
				t.Errorf("came back after %s", pause)
			}
		})
	}
}

func TestRetryAfterBeyondTheDeadlineIsRaisedAtOnce(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		w.Header().Set("Retry-After", "3600")
		fail(w, 429, "rate_limit_exceeded", "slowly")
	})
	_, err := client.Agents.List(context.Background(), devora.WithTimeout(20*time.Second))
	if !errors.Is(err, devora.ErrRateLimit) || asError(t, err).RetryAfter != time.Hour || seen.count() != 1 {
		t.Error(err, seen.count())
	}
}

func TestADateCountsFromTheServersClock(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		skewed := time.Now().Add(-time.Hour) // a clock an hour behind
		w.Header().Set("Date", skewed.UTC().Format(http.TimeFormat))
		w.Header().Set("Retry-After", skewed.Add(90*time.Second).UTC().Format(http.TimeFormat))
		fail(w, 429, "rate_limit_exceeded", "slowly")
	})
	_, err := client.Agents.List(context.Background(), devora.WithTimeout(time.Minute))
	if after := asError(t, err).RetryAfter; after != 90*time.Second {
		t.Error(after)
	}
}

func TestAPostHasOneKeyOnAllItsAttempts(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch number % 3 {
		case 1:
			sever(w)
		case 2:
			fail(w, 503, "service_unavailable", "away")
		default:
			io.WriteString(w, `{"job_id": "job_1", "status": "queued"}`)
		}
	})
	request := &devora.AgentExecuteRequest{AgentID: "a b/c", Input: map[string]interface{}{"word": "Zürich 🙂 <&>"}}
	for range 2 {
		job, err := client.Agents.Start(context.Background(), request)
		if err != nil || job.ID != "job_1" {
			t.Fatal(job, err)
		}
	}
	if _, err := client.Agents.Start(context.Background(), request, devora.WithIdempotencyKey("mine")); err != nil {
		t.Fatal(err)
	}
	keys := seen.headers("Idempotency-Key")
	if keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] || keys[3] == keys[0] || keys[3] != keys[5] || keys[8] != "mine" {
		t.Errorf("%q", keys)
	}
	if got := seen.all[0].URL.EscapedPath(); got != "/v1/agents/a%20b%2Fc/execute" {
		t.Error(got)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(seen.body[2]), &sent); err != nil || sent["async"] != true || sent["input"].(map[string]any)["word"] != "Zürich 🙂 <&>" {
		t.Error(seen.body[2], err)
	}
}

func TestAnIncompleteResponseIsRetried(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"agents": [`)
			w.(http.Flusher).Flush()
			sever(w)
			return
		}
		io.WriteString(w, noAgents)
	})
	if _, err := client.Agents.List(context.Background()); err != nil || seen.count() != 2 {
		t.Error(err, seen.count())
	}
}

func TestConnectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	var retries []devora.Retry
	client := devora.NewClient(key, devora.WithBaseURL("http://"+address), devora.WithBackoff(time.Millisecond, time.Millisecond),
		devora.WithRetryHook(func(retry devora.Retry) { retries = append(retries, retry) }))
	_, err = client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{AgentID: "a"})
	if !errors.Is(err, devora.ErrConnection) || errors.Is(err, devora.ErrTimeout) || asError(t, err).IdempotencyKey == "" {
		t.Error(err)
	}
	if !strings.Contains(err.Error(), "http://"+address) || !strings.Contains(err.Error(), "DEVORA_BASE_URL") {
		t.Error(err)
	}
	if len(retries) != 2 || retries[1].Attempt != 2 || retries[1].Err == nil || retries[1].Path != "/v1/agents/a/execute" {
		t.Errorf("%+v", retries)
	}
}

func TestTheDeadlineCoversAllAttempts(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { <-r.Context().Done() })
	_, err := client.Agents.List(context.Background(), devora.WithTimeout(50*time.Millisecond))
	if !errors.Is(err, devora.ErrTimeout) || !errors.Is(err, devora.ErrConnection) || !errors.Is(err, context.DeadlineExceeded) || seen.count() != 1 {
		t.Error(err, seen.count())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Agents.List(ctx); !errors.Is(err, devora.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestACancelledCallEndsAtOnceAndIsNotRetried(t *testing.T) {
	arrived := make(chan struct{}, 9)
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()
	_, err := client.Agents.List(ctx)
	if !errors.Is(err, context.Canceled) || asError(t, err).Kind() != nil || seen.count() != 1 {
		t.Error(err, seen.count())
	}
}

func TestACancelInAPauseEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { fail(w, 503, "service_unavailable", "away") },
		devora.WithBackoff(time.Hour, time.Hour), devora.WithTimeout(-1), devora.WithRetryHook(func(devora.Retry) { cancel() }))
	_, err := client.Agents.List(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, devora.ErrServiceUnavailable) {
		t.Error(err)
	}
}

func TestInvalidConfigurations(t *testing.T) {
	t.Setenv("DEVORA_API_KEY", "")
	t.Setenv("DEVORA_BASE_URL", "")
	if _, err := devora.New(); !errors.Is(err, devora.ErrConfiguration) || !strings.Contains(err.Error(), "DEVORA_API_KEY") {
		t.Error(err)
	}
	for code, client := range map[string]*devora.Client{
		"no_api_key":       devora.NewClient(" "),
		"invalid_api_key":  devora.NewClient("one\ntwo"),
		"invalid_base_url": devora.NewClient(key, devora.WithBaseURL("api.devora.ai/v1")),
	} {
		_, err := client.Agents.List(context.Background())
		if asError(t, err).Code != code || client.Err() == nil {
			t.Errorf("%s: %v", code, err)
		}
		for _, err := range client.Jobs.Stream(context.Background(), "job_1", nil) {
			if asError(t, err).Code != code {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
	t.Setenv("DEVORA_API_KEY", key)
	t.Setenv("DEVORA_BASE_URL", "https://example.com/api/v1/")
	if client, err := devora.New(); err != nil || client.String() != "devora.Client(https://example.com/api/v1/)" {
		t.Error(client, err)
	}
}

func TestAPasswordInTheBaseURLIsNotShown(t *testing.T) {
	for _, address := range []string{"https://user:hidden@example.com/v1", "ftp://user:hidden@example.com"} {
		client := devora.NewClient(key, devora.WithBaseURL(address))
		if shown := fmt.Sprint(client, client.Err()); strings.Contains(shown, "hidden") {
			t.Error(shown)
		}
	}
}

func TestBaseURLWithAndWithoutVersion(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		io.WriteString(w, noAgents)
	}))
	defer server.Close()
	for _, end := range []string{"", "/", "/v1", "/v1/", "/prefix/v1"} {
		if _, err := devora.NewClient(key, devora.WithBaseURL(server.URL+end)).Agents.List(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"/v1/agents", "/v1/agents", "/v1/agents", "/v1/agents", "/prefix/v1/agents"}; !slices.Equal(paths, want) {
		t.Error(paths)
	}
}

func TestHeadersOfARequest(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, noAgents) }, devora.WithHeader("X-Team", "blue"))
	ctx := context.Background()
	if _, err := client.Agents.List(ctx, devora.WithHeader("X-Team", "red"), devora.WithHeader("Authorization", "nobody")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Agents.List(ctx); err != nil {
		t.Fatal(err)
	}
	if got := seen.headers("X-Team"); !slices.Equal(got, []string{"red", "blue"}) {
		t.Error(got)
	}
	header := seen.all[0].Header
	if header.Get("Authorization") != "Bearer "+key || !strings.HasPrefix(header.Get("User-Agent"), "devora-go/"+devora.Version+" go/1.") {
		t.Error(header)
	}
	if header.Get("Idempotency-Key") != "" {
		t.Error("a GET needs no key")
	}
}

func TestLogsAndPrintsDoNotShowTheKey(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			fail(w, 500, "internal_error", "fault")
			return
		}
		w.Header().Set("X-Request-ID", "req_7")
		io.WriteString(w, `{"job_id": "job_1", "status": "queued", "secret": "hidden output"}`)
	}, devora.WithLogger(logger))
	if _, err := client.Agents.Start(context.Background(), &devora.AgentExecuteRequest{AgentID: "a", Input: map[string]interface{}{"x": "hidden input"}}); err != nil {
		t.Fatal(err)
	}
	shown := log.String() + fmt.Sprintf("%v %+v %#v %s", client, client, client, client)
	for _, secret := range []string{key, "hidden"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s in %s", secret, shown)
		}
	}
	for _, word := range []string{"method=POST", "path=/v1/agents/a/execute", "status=500", "status=200", "attempt=1", "request_id=req_7", "seconds=", "devora retry"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("no %s in %s", word, log.String())
		}
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	const sent = `{"job_id":"job_1","status":"asleep","metrics":{"total_tokens":3,"joules":1.5},"output":null,"dreams":["Ω"]}`
	var raw devora.Response
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		w.Header().Set("X-Request-ID", "req_9")
		io.WriteString(w, sent)
	})
	job, err := client.Jobs.Get(context.Background(), "job_1", devora.WithResponse(&raw))
	if err != nil {
		t.Fatal(err)
	}
	if string(job.Extra["dreams"]) != `["Ω"]` || string(job.Metrics.Extra["joules"]) != "1.5" || job.Status != "asleep" || job.Status.Ended() {
		t.Errorf("%+v", job)
	}
	if job.RequestID != "req_9" || raw.Status != 200 || string(raw.Body) != sent || raw.Header.Get("X-Request-ID") != "req_9" {
		t.Errorf("%+v", raw)
	}
	written, err := json.Marshal(job)
	if err != nil || !strings.Contains(string(written), `"dreams":["Ω"]`) || !strings.Contains(string(written), `"joules":1.5`) {
		t.Error(string(written), err)
	}
	if _, err := json.Marshal(devora.Job{Extra: devora.Extra{}}); err != nil {
		t.Error(err)
	}
}

func TestValuesOfOtherTypesAreKept(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		io.WriteString(w, `{"job_id":"job_1","status":"completed","progress":33.5,"metrics":null,"steps":{},"created_at":"soon","name":"Ω","output":{"output":7,"status":"success"}}`)
	})
	job, err := client.Jobs.Wait(context.Background(), "job_1")
	if err != nil || job.Name != "Ω" || job.Status != devora.StatusCompleted || job.Output.Status != "success" {
		t.Fatal(job, err)
	}
	if string(job.Extra["progress"]) != "33.5" || string(job.Extra["created_at"]) != `"soon"` || string(job.Output.Extra["output"]) != "7" || job.Progress != nil {
		t.Errorf("%+v", job)
	}
	written, err := json.Marshal(job)
	if err != nil || strings.Count(string(written), `"progress"`) != 1 || !strings.Contains(string(written), `"progress":33.5`) {
		t.Error(string(written), err)
	}
}

func TestAnyOtherCall(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			fail(w, 503, "service_unavailable", "away")
			return
		}
		io.WriteString(w, `{"made": true}`)
	})
	var answer struct{ Made bool }
	err := client.Do(context.Background(), http.MethodPost, "/v1/dreams", url.Values{"of": {"sheep"}}, map[string]int{"count": 3}, &answer)
	if err != nil || !answer.Made || seen.count() != 2 || seen.all[1].URL.String() != "/v1/dreams?of=sheep" || seen.body[1] != `{"count":3}` {
		t.Error(answer, err, seen.all[1].URL, seen.body)
	}
	if keys := seen.headers("Idempotency-Key"); keys[0] == "" || keys[0] != keys[1] {
		t.Error(keys)
	}
}

func TestResponsesOfOtherServers(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch r.URL.Path {
		case "/v1/agents":
			io.WriteString(w, "<html>Welcome to the hotel's network</html>")
		case "/v1/workflows":
			w.WriteHeader(403)
			io.WriteString(w, "<html>blocked</html>")
		default:
			http.Redirect(w, r, "https://elsewhere.example/v1/metrics", http.StatusMovedPermanently)
		}
	}, devora.WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}))
	ctx := context.Background()
	if _, err := client.Agents.List(ctx); !errors.Is(err, devora.ErrInvalidResponse) || !strings.Contains(err.Error(), "hotel") {
		t.Error(err)
	}
	if _, err := client.Workflows.List(ctx); !errors.Is(err, devora.ErrPermissionDenied) || !strings.Contains(err.Error(), "blocked") {
		t.Error(err)
	}
	if _, err := client.Metrics.Get(ctx); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Error(err)
	}
}

func TestAnUnknownCertificateIsNotRetried(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)
	hook := devora.WithRetryHook(func(retry devora.Retry) { t.Error("retried", retry) })
	_, err := devora.NewClient(key, devora.WithBaseURL(server.URL), hook).Agents.List(context.Background())
	if !errors.Is(err, devora.ErrConnection) || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	_, err = devora.NewClient(key, devora.WithBaseURL(strings.Replace(plain.URL, "http:", "https:", 1)), hook).Agents.List(context.Background())
	if !errors.Is(err, devora.ErrConnection) {
		t.Error(err)
	}
}

func TestADeleteWhoseResponseWasLostSucceeds(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			sever(w)
			return
		}
		fail(w, 404, "not_found", "gone")
	})
	if err := client.Webhooks.Delete(context.Background(), "wh_1"); err != nil {
		t.Error(err)
	}
	if err := client.Webhooks.Delete(context.Background(), "wh_1"); !errors.Is(err, devora.ErrNotFound) {
		t.Error(err)
	}
}

func TestAnEmptyIdIsRefused(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, "{}") })
	for _, id := range []string{"", ".", ".."} {
		if _, err := client.Jobs.Get(context.Background(), id); !errors.Is(err, devora.ErrInvalidRequest) {
			t.Error(id, err)
		}
		if err := client.Webhooks.Delete(context.Background(), id); !errors.Is(err, devora.ErrInvalidRequest) {
			t.Error(id, err)
		}
	}
	if _, err := client.Agents.Execute(context.Background(), nil); !errors.Is(err, devora.ErrInvalidRequest) {
		t.Error(err)
	}
	if seen.count() != 0 {
		t.Error(seen.count())
	}
}

func TestUnreadyIsNotAnError(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(503)
			io.WriteString(w, `{"ready": false, "checks": [{"name": "worker", "ok": false, "message": "none"}]}`)
			return
		}
		io.WriteString(w, `{"status": "ok"}`)
	})
	ready, err := client.Health.Ready(context.Background())
	if err != nil || ready.Ready || ready.Checks[0].Name != "worker" {
		t.Error(ready, err)
	}
	live, err := client.Health.Live(context.Background())
	if err != nil || live.Status != "ok" || seen.count() != 2 {
		t.Error(live, err)
	}
}

func TestBodiesOfKeyUpdates(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, "{}") })
	ctx := context.Background()
	moment := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, change := range []devora.KeyUpdateRequest{{Name: "n"}, {NeverExpires: true}, {ExpiresAt: &moment, Scopes: []string{}}} {
		if _, err := client.Keys.Update(ctx, "key_1", &change); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`{"name":"n"}`, `{"expires_at":null}`, `{"expires_at":"2030-01-02T03:04:05Z","scopes":[]}`}
	if !slices.Equal(seen.body, want) {
		t.Error(seen.body)
	}
}

func TestMain(m *testing.M) {
	// What the machine's user has set must not change a test.
	for _, name := range []string{"DEVORA_API_KEY", "DEVORA_BASE_URL", "DEVORA_LOG"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

func TestTheClientsTimeoutDoesNotLimitWaits(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		time.Sleep(100 * time.Millisecond)
		io.WriteString(w, completed)
	}, devora.WithTimeout(20*time.Millisecond))
	ctx := context.Background()
	if _, err := client.Jobs.Get(ctx, "job_1"); !errors.Is(err, devora.ErrTimeout) {
		t.Error(err)
	}
	if _, err := client.Jobs.Get(ctx, "job_1", devora.WithTimeout(time.Minute)); err != nil {
		t.Error(err)
	}
	if _, err := client.Jobs.Wait(ctx, "job_1"); err != nil {
		t.Error(err)
	}
	if _, err := client.Agents.Execute(ctx, &devora.AgentExecuteRequest{AgentID: "a"}); err != nil {
		t.Error(err)
	}
}
