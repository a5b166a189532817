package devora

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// nonsense is what a server may answer instead of the API.
var nonsense = map[string]struct {
	status int
	header map[string]string
	body   string
}{
	"nothing":                       {200, nil, ""},
	"null":                          {200, nil, " null"},
	"a list":                        {200, nil, "[1]"},
	"a number":                      {200, nil, "1e999"},
	"wrong types":                   {200, nil, `{"jobs": 5, "agents": {}, "status": [], "output": 1, "error": "x", "metrics": [], "checks": 1, "events": 3, "next": []}`},
	"wrong items":                   {200, nil, `{"jobs": [1, null], "next": {}, "has_more": "yes", "status": "failed", "steps": 7, "events": [null]}`},
	"half of it":                    {200, nil, `{"agents": [`},
	"nested":                        {200, nil, strings.Repeat("[", 100_000)},
	"not text":                      {200, nil, "\xff\xfe{}"},
	"a page":                        {200, map[string]string{"Content-Type": "text/html"}, "<html>welcome"},
	"a gateway's page":              {502, map[string]string{"Content-Type": "text/html"}, "<html>\xff"},
	"an error of numbers":           {400, nil, `{"error": {"code": 5, "message": [], "details": "x", "request_id": {}, "retry_after": "soon"}}`},
	"an error that is a text":       {404, nil, `{"error": "no"}`},
	"a wait of ages":                {429, map[string]string{"Retry-After": "99999999999"}, "{}"},
	"a wait of ages in the body":    {429, nil, `{"error": {"code": "x", "message": "y", "retry_after": 1e99}}`},
	"a wait until nowhere":          {503, map[string]string{"Retry-After": "Fri, 99 Foo 99999"}, "{}"},
	"no content":                    {204, nil, ""},
	"a partial answer":              {206, nil, "{}"},
	"a frame of nothing":            {200, nil, "event: job_completed\ndata: \nid: r:1\n\n"},
	"a frame of a list":             {200, nil, "event: job_completed\ndata: []\nid: r:1\n\n"},
	"an event of wrong types":       {200, nil, "event: job_completed\ndata: {\"id\": 5, \"type\": [], \"name\": {}, \"data\": 7, \"timestamp\": {}}\n\n"},
	"an error frame of numbers":     {200, nil, "event: stream_error\ndata: 5\n\n"},
	"an error frame of wrong types": {200, nil, "event: stream_error\ndata: {\"error\": {\"code\": [], \"message\": {}}}\n\n"},
	"a frame without an end":        {200, nil, "data: {"},
	"not gzip":                      {200, map[string]string{"Content-Encoding": "gzip"}, "{}"},
}

func hostileClient(address string, options ...Option) *Client {
	own := []Option{WithBaseURL(address), WithMaxRetries(1), WithBackoff(time.Millisecond, time.Millisecond), WithReconnectBackoff(time.Millisecond, time.Millisecond)}
	return NewClient("k", append(own, options...)...)
}

// Whatever comes is a result or an *Error; nothing panics, and nothing is left behind.
func TestNonsenseIsAnError(t *testing.T) {
	for name, answer := range nonsense {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range answer.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
			}))
			defer server.Close()
			client := hostileClient(server.URL)
			short := WithTimeout(200 * time.Millisecond)
			ctx := context.Background()
			calls := map[string]func() error{
				"one":  func() error { _, err := client.Agents.List(ctx); return err },
				"wait": func() error { _, err := client.Jobs.Wait(ctx, "job_1", short); return err },
				"execute": func() error {
					_, err := client.Agents.Execute(ctx, &AgentExecuteRequest{AgentID: "a"}, short)
					return err
				},
				"delete": func() error { return client.Webhooks.Delete(ctx, "wh_1") },
				"ready":  func() error { _, err := client.Health.Ready(ctx); return err },
				"page": func() (err error) {
					for _, err = range client.Jobs.All(ctx, nil) {
					}
					return err
				},
				"stream": func() (err error) {
					for _, err = range client.Jobs.Stream(ctx, "job_1", nil, short) {
					}
					return err
				},
			}
			for call, perform := range calls {
				var fault *Error
				if err := perform(); err != nil && !errors.As(err, &fault) {
					t.Errorf("%s: %T %v", call, err, err)
				}
			}
		})
	}
}

// A redirect is not followed, whatever the caller's HTTP client would do: it could carry the key elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	for _, client := range []*http.Client{nil, {}} {
		_, err := hostileClient(server.URL, WithHTTPClient(client)).Agents.List(context.Background())
		var fault *Error
		if !errors.As(err, &fault) || fault.Code != "unexpected_redirect" || !strings.Contains(fault.Message, elsewhere.URL) {
			t.Errorf("%v", err)
		}
	}
}

func TestAnAnswerThatNoMemoryShouldHold(t *testing.T) {
	var bomb bytes.Buffer
	writer := gzip.NewWriter(&bomb)
	_, _ = writer.Write(make([]byte, largestAnswer+1))
	_ = writer.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	defer server.Close()
	if _, err := hostileClient(server.URL).Agents.List(context.Background()); !errors.Is(err, ErrInvalidResponse) || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
	line := strings.Repeat("x", 1<<20)
	for _, endless := range []string{"data: " + line + "\n", line} {
		frames := newFrameReader(&repeated{text: endless})
		if _, err := frames.next(); err != errTooLarge {
			t.Error(err)
		}
	}
}

type repeated struct {
	text string
	rest string
}

func (r *repeated) Read(into []byte) (int, error) {
	if r.rest == "" {
		r.rest = r.text
	}
	n := copy(into, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestAnAnswerThatIsNoHTTP(t *testing.T) {
	for _, broken := range []string{
		"nonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nx: " + strings.Repeat("y", 2<<20) + "\r\n\r\n",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = connection.Read(make([]byte, 4096))
				_, _ = io.WriteString(connection, broken)
				_ = connection.Close()
			}
		}()
		_, err = hostileClient("http://"+listener.Addr().String(), WithTimeout(5*time.Second)).Agents.List(context.Background())
		var fault *Error
		if !errors.As(err, &fault) {
			t.Errorf("%q: %v", broken[:30], err)
		}
		_ = listener.Close()
	}
}

func TestAHeaderThatWouldBecomeTwo(t *testing.T) {
	for name, value := range map[string]string{"X-A": "b\r\nX-C: d", "X-B": "é", "X A": "b", "X\n": "b"} {
		if err := NewClient("k", WithHeader(name, value)).Err(); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%q: %v", name, err)
		}
	}
	client := hostileClient("http://127.0.0.1:9")
	_, err := client.Agents.Execute(context.Background(), &AgentExecuteRequest{AgentID: "a"}, WithIdempotencyKey("a\r\nb"))
	if !errors.Is(err, ErrInvalidRequest) || !strings.Contains(err.Error(), "Idempotency-Key") {
		t.Error(err)
	}
}

func TestABaseURLThatIsNone(t *testing.T) {
	for _, address := range []string{"nonsense", "ftp://host/v1", "http://", "//host", "http://host:port", "http://host:0", "http://[::1",
		"https://user:secret@host/v1", "https://secret@host", "https://host/v1?a=b", "https://host/v1#x", "http://host /v1", "http://host\r\nX: y"} {
		err := NewClient("k", WithBaseURL(address)).Err()
		if !errors.Is(err, ErrConfiguration) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAHostileDelivery(t *testing.T) {
	secret := "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	sound := map[string]string{"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
	for _, change := range []map[string]string{
		{"webhook-id": "\xff"}, {"webhook-signature": "v1,\xff v1, ,v1, v1a,é " + strings.Repeat("v1,x ", 10_000)}, {"webhook-timestamp": ""},
		{"webhook-timestamp": "-1"}, {"webhook-timestamp": "1e3"}, {"webhook-timestamp": "9223372036854775807"},
		{"webhook-timestamp": "-9223372036854775808"}, {"webhook-timestamp": strings.Repeat("9", 400)},
	} {
		header := http.Header{}
		for name, value := range sound {
			header.Set(name, value)
		}
		for name, value := range change {
			header.Set(name, value)
		}
		for _, body := range []string{"{}", "\xff\xfe", ""} {
			if _, err := UnwrapWebhook([]byte(body), header, secret, WithNow(time.Unix(1, 0))); !errors.Is(err, ErrWebhookVerification) {
				t.Errorf("%v: %v", change, err)
			}
		}
	}
	if SignatureMatches([]byte("{}"), "sha256=\xff", secret) {
		t.Error("no signature matches")
	}
}

// A caller who leaves, whatever the call waits for, leaves no goroutine behind.
func TestACallerWhoLeavesLeavesNothingBehind(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	transport := &http.Transport{}
	client := hostileClient(server.URL, WithHTTPClient(&http.Client{Transport: transport}))
	before := runtime.NumGoroutine()
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		_, _ = client.Agents.List(ctx)
		_, _ = client.Jobs.Wait(ctx, "job_1")
		for range client.Jobs.Stream(ctx, "job_1", nil) {
		}
		cancel()
	}
	transport.CloseIdleConnections()
	for tries := 0; runtime.NumGoroutine() > before+2; tries++ {
		if tries == 500 {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A member of another type costs no other member of the error.
func TestAnErrorKeepsWhatCanBeRead(t *testing.T) {
	for _, wrong := range []string{`"details": 5`, `"retry_after": "soon"`, `"request_id": {}`, `"retry_after": 1e400`, `"hint": []`} {
		fault := answerError(409, http.Header{}, []byte(`{"error": {"code": "conflict", "message": "taken", `+wrong+`}}`))
		if fault.Code != "conflict" || fault.Message != "taken" {
			t.Errorf("%s: %v", wrong, fault)
		}
	}
	fault := answerError(404, http.Header{}, []byte(`{"error": {"code": "not_found", "message": [], "details": {"field": "x"}, "request_id": "req_1"}}`))
	if fault.Code != "not_found" || fault.Field != "x" || fault.RequestID != "req_1" || !strings.Contains(fault.Message, "Not Found") {
		t.Errorf("%#v", fault)
	}
	if status := statusOf([]byte(`{"error": {"code": "not_found", "message": 5, "details": []}}`)); status != 404 {
		t.Error(status)
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	for _, address := range []string{"https://user:sec/ret@host/v1", "https://user:sec#ret@host", "https://user:sec?ret@host", "https://user:sec@ret@host",
		"user:sec-ret@host", "https://user:sec\nret@host", "https://host/v1?key=sec-ret", "https://host#sec-ret", "ftp://sec:ret@host", `http:\\user:sec@host`} {
		err := NewClient("k", WithBaseURL(address)).Err()
		shown := NewClient("k", WithBaseURL(address)).String()
		if !errors.Is(err, ErrConfiguration) || strings.Contains(err.Error()+shown, "sec") || strings.Contains(err.Error()+shown, "ret@") {
			t.Errorf("%q: %v, %s", address, err, shown)
		}
	}
	if shown := (config{baseURL: "https://host:8000/v1"}).shownURL(); shown != "https://host:8000/v1" {
		t.Error(shown)
	}
}
