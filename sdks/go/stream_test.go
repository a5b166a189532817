package devora_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devora/sdk-go"
)

// log is a job's events as a server sends them: ids 1 to last, of which the last one ends the job.
type log struct{ last int }

func (l log) frame(id int) string {
	kind := "job_progress"
	if id == l.last {
		kind = "job_completed"
	}
	return fmt.Sprintf("event: %s\ndata: {\"id\":\"run:%d\",\"type\":%q,\"name\":\"n\",\"job_id\":\"job_1\"}\nid: run:%d\n\n", kind, id, kind, id)
}

// after is the number in a cursor.
func after(r *http.Request) int {
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("after")
	}
	number, _ := strconv.Atoi(strings.TrimPrefix(cursor, "run:"))
	return number
}

// send streams so many events behind the request's cursor, or all.
func (l log) send(w http.ResponseWriter, r *http.Request, most int) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "event: snapshot\ndata: {\"job_id\":\"job_1\",\"status\":\"running\"}\n\n: comment\n\n")
	for id := after(r) + 1; id <= l.last && most > 0; id, most = id+1, most-1 {
		io.WriteString(w, l.frame(id))
	}
	w.(http.Flusher).Flush()
}

func collect(t testing.TB, client *devora.Client, params *devora.StreamParams, options ...devora.Option) (ids []int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for event, err := range client.Jobs.Stream(ctx, "job_1", params, options...) {
		if err != nil {
			return ids, err
		}
		number, err := strconv.Atoi(strings.TrimPrefix(event.ID, "run:"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, number)
	}
	return ids, nil
}

func upTo(last int) []int {
	ids := make([]int, last)
	for i := range ids {
		ids[i] = i + 1
	}
	return ids
}

func TestAStreamGoesToTheEnd(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { log{5}.send(w, r, 9) })
	ids, err := collect(t, client, nil)
	if err != nil || !slices.Equal(ids, upTo(5)) || seen.count() != 1 {
		t.Error(ids, err, seen.count())
	}
	if seen.all[0].Header.Get("Accept") != "text/event-stream" || seen.all[0].URL.Query().Get("deltas") != "false" {
		t.Error(seen.all[0].Header, seen.all[0].URL)
	}
}

func TestAStreamThatIsCutLosesAndRepeatsNothing(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch number % 4 {
		case 1: // in the middle of a frame
			log{20}.send(w, r, 3)
			io.WriteString(w, "event: job_progress\ndata: {\"id\":\"run:9")
			w.(http.Flusher).Flush()
			sever(w)
		case 2: // the server stops in order
			log{20}.send(w, r, 2)
		case 3:
			fail(w, 503, "service_unavailable", "starting")
		default: // sent again what was seen
			log{20}.send(w, r, 0)
			for id := 1; id <= after(r)+1; id++ {
				io.WriteString(w, log{20}.frame(id))
			}
		}
	})
	ids, err := collect(t, client, nil)
	if err != nil || !slices.Equal(ids, upTo(20)) {
		t.Error(ids, err)
	}
	if cursors := seen.headers("Last-Event-ID"); cursors[0] != "" || cursors[1] != "run:3" || cursors[2] != "run:5" || cursors[3] != "run:5" {
		t.Error(cursors)
	}
}

func TestTenThousandEvents(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { log{10_000}.send(w, r, 700) })
	ids, err := collect(t, client, nil)
	if err != nil || !slices.Equal(ids, upTo(10_000)) || seen.count() != 15 {
		t.Error(len(ids), err, seen.count())
	}
}

func TestASilentStreamIsOpenedAgain(t *testing.T) {
	var retries []devora.Retry
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		log{4}.send(w, r, 2)
		if number == 1 {
			<-r.Context().Done() // neither an event nor a comment
		}
	}, devora.WithStallTimeout(100*time.Millisecond), devora.WithRetryHook(func(retry devora.Retry) { retries = append(retries, retry) }))
	ids, err := collect(t, client, nil)
	if err != nil || !slices.Equal(ids, upTo(4)) || seen.count() != 2 {
		t.Error(ids, err, seen.count())
	}
	if len(retries) != 1 || !errors.Is(retries[0].Err, devora.ErrTimeout) {
		t.Error(retries)
	}
}

func TestCommentsKeepAStreamOpen(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		log{2}.send(w, r, 1)
		for range 20 {
			time.Sleep(50 * time.Millisecond)
			io.WriteString(w, ": still here\n\n")
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, log{2}.frame(2))
	}, devora.WithStallTimeout(800*time.Millisecond))
	ids, err := collect(t, client, nil)
	if err != nil || !slices.Equal(ids, upTo(2)) || seen.count() != 1 {
		t.Error(ids, err, seen.count())
	}
}

func TestTheStallTimeoutCanBeDisabled(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { log{3}.send(w, r, 9) }, devora.WithStallTimeout(0))
	if ids, err := collect(t, client, nil); err != nil || len(ids) != 3 || seen.count() != 1 {
		t.Error(ids, err, seen.count())
	}
}

func TestASlowReaderIsNoSilentServer(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { log{3}.send(w, r, 9) }, devora.WithStallTimeout(200*time.Millisecond))
	events := 0
	for _, err := range client.Jobs.Stream(context.Background(), "job_1", nil) {
		if err != nil {
			t.Fatal(err)
		}
		events++
		time.Sleep(300 * time.Millisecond)
	}
	if events != 3 || seen.count() != 1 {
		t.Error(events, seen.count())
	}
}

func TestPermanentErrorsEndAStream(t *testing.T) {
	for status, kind := range map[int]error{400: devora.ErrInvalidRequest, 401: devora.ErrAuthentication, 403: devora.ErrPermissionDenied,
		404: devora.ErrNotFound, 410: devora.ErrNotFound, 422: devora.ErrInvalidRequest} {
		client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
			if number == 1 {
				log{9}.send(w, r, 1)
				return
			}
			fail(w, status, "x", "y")
		})
		ids, err := collect(t, client, nil)
		if !errors.Is(err, kind) || !slices.Equal(ids, upTo(1)) || seen.count() != 2 || asError(t, err).JobID != "job_1" {
			t.Error(status, ids, err, seen.count())
		}
	}
}

func TestErrorFrames(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		log{9}.send(w, r, 1)
		code := "service_unavailable"
		if number == 2 {
			code = "authentication_failed"
		}
		fmt.Fprintf(w, "event: stream_error\ndata: {\"error\":{\"code\":%q,\"message\":\"m\",\"request_id\":\"req_1\"}}\n\n", code)
	})
	ids, err := collect(t, client, nil)
	if !errors.Is(err, devora.ErrAuthentication) || !slices.Equal(ids, upTo(2)) || seen.count() != 2 {
		t.Error(ids, err, seen.count())
	}
}

func TestNowSkipsPastEventsOnly(t *testing.T) {
	reached := 6
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case strings.HasSuffix(r.URL.Path, "job_1"):
			io.WriteString(w, `{"job_id": "job_1", "status": "running"}`)
		case r.Header.Get("Accept") != "text/event-stream":
			fmt.Fprintf(w, `{"events": [], "next": "run:%d", "has_more": false}`, reached)
		case number == 3: // breaks before it brought anything, and two events happen meanwhile
			log{9}.send(w, r, 0)
			sever(w)
		default:
			log{9}.send(w, r, 9)
		}
	})
	ids, err := collect(t, client, &devora.StreamParams{After: "now"})
	if err != nil || !slices.Equal(ids, []int{7, 8, 9}) || seen.count() != 4 {
		t.Error(ids, err, seen.count())
	}
}

func TestAStreamBehindTheLastEventEnds(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case strings.HasSuffix(r.URL.Path, "job_1"):
			io.WriteString(w, `{"job_id": "job_1", "status": "completed"}`)
		case r.Header.Get("Accept") != "text/event-stream":
			io.WriteString(w, `{"events": [], "next": null, "has_more": false}`)
		default:
			log{9}.send(w, r, 9)
		}
	})
	for _, cursor := range []string{"run:9", "now"} {
		if ids, err := collect(t, client, &devora.StreamParams{After: cursor}); err != nil || len(ids) != 0 {
			t.Error(cursor, ids, err)
		}
	}
}

func TestTextAndUnknownEventsPassThrough(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			log{2}.send(w, r, 1)
			io.WriteString(w, "event: agent_event\r\ndata: {\"type\":\"agent_event\",\"name\":\"agent.delta\",\r\ndata: \"data\":{\"text\":\"Größe 🙂\"}}\r\n\r\n")
			io.WriteString(w, "event: job_dreamt\ndata: {\"name\":\"job.dreamt\",\"about\":\"sheep\"}\n\n")
			return
		}
		io.WriteString(w, "data: {\"id\":\"run:2\",\"type\":\"job_failed\",\"name\":\"job.failed\",\"data\":{\"error\":{\"type\":\"rejected\",\"message\":\"no\"}}}\nid: run:2\n\n")
	})
	var events []*devora.Event
	for event, err := range client.Jobs.Stream(context.Background(), "job_1", &devora.StreamParams{Deltas: true}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	if len(events) != 4 || events[1].Text() != "Größe 🙂" || events[2].Type != "job_dreamt" || string(events[2].Extra["about"]) != `"sheep"` {
		t.Fatalf("%+v", events)
	}
	if events[3].Failure().Type != "rejected" || events[3].Output() != nil || events[0].Failure() != nil {
		t.Errorf("%+v", events[3])
	}
	if seen.headers("Last-Event-ID")[1] != "run:1" { // text moves no cursor
		t.Error(seen.headers("Last-Event-ID"))
	}
}

// TestLeavingReleasesEverything ends streams, waits and calls in each way, and looks for what is left of them.
func TestLeavingReleasesEverything(t *testing.T) {
	ways := map[string]func(*testing.T, context.Context, context.CancelFunc, *devora.Client){
		"break": func(t *testing.T, ctx context.Context, _ context.CancelFunc, client *devora.Client) {
			for _, err := range client.Jobs.Stream(ctx, "job_1", nil) {
				if err != nil {
					t.Error(err)
				}
				break
			}
		},
		"cancel of a stream": func(t *testing.T, ctx context.Context, cancel context.CancelFunc, client *devora.Client) {
			var last error
			events := 0
			for _, err := range client.Jobs.Stream(ctx, "job_1", nil) {
				events++
				last = err
				cancel()
			}
			if !errors.Is(last, context.Canceled) || events != 2 { // one event, then the error
				t.Error(last, events)
			}
		},
		"cancel of a wait": func(t *testing.T, ctx context.Context, cancel context.CancelFunc, client *devora.Client) {
			time.AfterFunc(20*time.Millisecond, cancel)
			if _, err := client.Jobs.Wait(ctx, "job_1"); !errors.Is(err, context.Canceled) || asError(t, err).JobID != "job_1" {
				t.Error(err)
			}
		},
		"deadline of a call": func(t *testing.T, ctx context.Context, _ context.CancelFunc, client *devora.Client) {
			if _, err := client.Jobs.Get(ctx, "job_1", devora.WithTimeout(20*time.Millisecond)); !errors.Is(err, devora.ErrTimeout) {
				t.Error(err)
			}
		},
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/events") {
					log{99}.send(w, r, 5)
				}
				<-r.Context().Done()
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					connections.Add(1)
				case http.StateClosed, http.StateHijacked:
					connections.Add(-1)
				}
			}
			server.Start()
			defer server.Close()
			defer server.CloseClientConnections()
			before := runtime.NumGoroutine()
			transport := &http.Transport{}
			client := devora.NewClient(key, devora.WithBaseURL(server.URL), devora.WithHTTPClient(&http.Client{Transport: transport}))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			leave(t, ctx, cancel, client)
			eventually(t, func() string {
				if left, running := connections.Load(), runtime.NumGoroutine()-before; left > 0 || running > 0 {
					return fmt.Sprintf("%d connections and %d goroutines are left", left, running)
				}
				return ""
			})
		})
	}
}

// eventually waits until a fault is gone.
func eventually(t *testing.T, fault func() string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for text := fault(); text != ""; text = fault() {
		if time.Now().After(deadline) {
			t.Fatal(text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestACursorThatCannotBeSentEndsAStream(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { log{1}.send(w, r, 9) })
	for _, cursor := range []string{"run:1\n", "run:é", "a\r\nX: y"} {
		_, err := collect(t, client, &devora.StreamParams{After: cursor})
		if !errors.Is(err, devora.ErrInvalidRequest) || asError(t, err).Field != "after" {
			t.Errorf("%q: %v", cursor, err)
		}
	}
	if seen.count() != 0 {
		t.Error(seen.count())
	}
}

func TestAnEventIdThatCannotBeSentIsNoCursor(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if number == 1 {
			log{3}.send(w, r, 1)
			io.WriteString(w, "event: job_progress\ndata: {\"id\":\"run:2\",\"type\":\"job_progress\",\"job_id\":\"job_1\"}\nid: run:é\n\n")
			return
		}
		log{3}.send(w, r, 9)
	})
	if ids, err := collect(t, client, nil); err != nil || len(ids) != 4 || ids[3] != 3 {
		t.Error(ids, err)
	}
	if cursors := seen.headers("Last-Event-ID"); !slices.Equal(cursors, []string{"", "run:1"}) {
		t.Error(cursors)
	}
}

// After an empty connection the stream looks at the job: a server that is silent then does not hold it for ever.
func TestALookAtASilentServerIsRepeated(t *testing.T) {
	var held atomic.Int32
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		switch {
		case number == 1:
			w.Header().Set("Content-Type", "text/event-stream")
		case !strings.HasSuffix(r.URL.Path, "/events") && held.Add(1) == 1:
			<-r.Context().Done()
		case !strings.HasSuffix(r.URL.Path, "/events"):
			io.WriteString(w, `{"job_id": "job_1", "status": "running"}`)
		case r.Header.Get("Accept") == "application/json":
			io.WriteString(w, `{"events": [], "next": null, "has_more": false}`)
		default:
			log{2}.send(w, r, 9)
		}
	})
	ids, err := collect(t, client, nil, devora.WithStallTimeout(100*time.Millisecond))
	if err != nil || !slices.Equal(ids, upTo(2)) || held.Load() != 2 {
		t.Error(ids, err, held.Load())
	}
}
