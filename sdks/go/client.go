package devora

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// DefaultBaseURL is the base URL without [WithBaseURL] and DEVORA_BASE_URL.
const DefaultBaseURL = "https://api.devora.ai/v1"

const connectTimeout = 5 * time.Second

// Client calls the API. Create it with [NewClient] or [New]. It is safe for concurrent use.
type Client struct {
	Agents    *AgentService
	Workflows *WorkflowService
	Jobs      *JobService
	Metrics   *MetricsService
	Keys      *KeyService
	Users     *UserService
	Schedules *ScheduleService
	Webhooks  *WebhookService
	Events    *AccountEventService
	Audit     *AuditService
	Account   *AccountService
	Health    *HealthService

	config config
	fault  *Error // invalid configuration
}

// NewClient creates a client with an API key. If the key is empty, DEVORA_API_KEY is used.
//
// An invalid configuration, such as a missing key, is returned by [Client.Err] and by each call. [New] returns it at
// once.
func NewClient(apiKey string, options ...Option) *Client {
	client := &Client{config: defaults()}
	if apiKey = strings.TrimSpace(apiKey); apiKey != "" {
		WithAPIKey(apiKey)(&client.config)
	}
	for _, option := range options {
		option(&client.config)
	}
	if timeout := client.config.timeout; timeout != nil {
		client.config.plainTimeout, client.config.timeout = *timeout, nil
	}
	client.fault = client.config.check()
	client.Agents = &AgentService{client}
	client.Workflows = &WorkflowService{client}
	client.Jobs = &JobService{client}
	client.Metrics = &MetricsService{client}
	client.Keys = &KeyService{client}
	client.Users = &UserService{client}
	client.Schedules = &ScheduleService{client}
	client.Webhooks = &WebhookService{client}
	client.Events = &AccountEventService{client}
	client.Audit = &AuditService{client}
	client.Account = &AccountService{client}
	client.Health = &HealthService{client}
	return client
}

// New creates a client with the key of DEVORA_API_KEY or [WithAPIKey]. It returns an error if the configuration is
// invalid.
func New(options ...Option) (*Client, error) {
	client := NewClient("", options...)
	return client, client.Err()
}

// Err returns the configuration's error: a missing API key or an invalid base URL.
func (c *Client) Err() error {
	if c.fault == nil {
		return nil
	}
	return c.fault
}

// Close closes idle connections.
func (c *Client) Close() {
	c.config.http.CloseIdleConnections()
}

// String returns the base URL, without key and password.
func (c *Client) String() string { return "devora.Client(" + c.config.shownURL() + ")" }

// GoString is the same as String, so that %#v does not show the key either.
func (c *Client) GoString() string { return c.String() }

// config holds the options of a client or of one call.
type config struct {
	apiKey         func() string // a function, so that a printed structure does not show the key
	baseURL        string        // with or without "/v1"; see root
	http           *http.Client
	timeout        *time.Duration // of one call
	plainTimeout   time.Duration  // of calls that do not wait for a job
	maxRetries     int
	backoff        backoff
	reconnect      backoff
	stallTimeout   time.Duration
	header         http.Header
	logger         *slog.Logger
	onRetry        func(Retry)
	idempotencyKey string
	response       *Response
}

func defaults() config {
	made := config{
		apiKey:       func() string { return "" },
		baseURL:      DefaultBaseURL,
		http:         sharedHTTPClient(),
		plainTimeout: 60 * time.Second,
		maxRetries:   2,
		backoff:      backoff{first: 500 * time.Millisecond, longest: 8 * time.Second},
		reconnect:    backoff{first: 100 * time.Millisecond, longest: 5 * time.Second},
		stallTimeout: 45 * time.Second,
		logger:       environmentLogger(),
	}
	if key := strings.TrimSpace(os.Getenv("DEVORA_API_KEY")); key != "" {
		made.apiKey = func() string { return key }
	}
	if address := strings.TrimSpace(os.Getenv("DEVORA_BASE_URL")); address != "" {
		made.baseURL = address
	}
	return made
}

// with returns the configuration of one call.
func (c config) with(options []Option) config {
	for _, option := range options {
		option(&c)
	}
	return c
}

func (c config) check() *Error {
	key := c.apiKey()
	switch {
	case key == "":
		return &Error{kind: ErrConfiguration, Code: "no_api_key",
			Message: "no API key: pass one to NewClient or set the environment variable DEVORA_API_KEY"}
	case strings.ContainsFunc(key, func(letter rune) bool { return letter <= ' ' || letter > '~' }):
		return &Error{kind: ErrConfiguration, Code: "invalid_api_key",
			Message: "the API key contains invalid characters, such as a space or a line break: copy it again"}
	}
	address, err := url.Parse(c.baseURL)
	// A name and a password would not be sent, and a query would swallow the path.
	if err != nil || (address.Scheme != "http" && address.Scheme != "https") || address.Hostname() == "" || address.Port() == "0" ||
		address.User != nil || strings.ContainsAny(c.baseURL, "?# ") {
		return &Error{kind: ErrConfiguration, Code: "invalid_base_url",
			Message: "invalid base URL " + quoted(c.shownURL()) + ": expected something like " + DefaultBaseURL}
	}
	if c.idempotencyKey != "" {
		if fault := checkHeader("Idempotency-Key", c.idempotencyKey); fault != nil {
			return fault
		}
	}
	for name, values := range c.header {
		for _, value := range values {
			if fault := checkHeader(name, value); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// checkHeader refuses a header that cannot be sent, or would become two.
func checkHeader(name, value string) *Error {
	token := func(letter rune) bool {
		return letter <= ' ' || letter > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", letter)
	}
	text := func(letter rune) bool { return letter != '\t' && (letter < ' ' || letter > '~') }
	if name == "" || strings.ContainsFunc(name, token) || strings.ContainsFunc(value, text) {
		return &Error{kind: ErrInvalidRequest, Code: "invalid_request",
			Message: "invalid header " + quoted(name) + ": expected printable ASCII characters"}
	}
	return nil
}

// root is the base URL without "/v1": each path starts with it.
func (c config) root() string {
	return strings.TrimSuffix(strings.TrimRight(c.baseURL, "/"), "/v1")
}

// shownURL is the base URL for messages: without name, password, query and fragment, also if it is malformed.
func (c config) shownURL() string {
	shown := credentials.ReplaceAllString(c.baseURL, "${1}//***@")
	if at := strings.IndexAny(shown, "?#"); at >= 0 {
		shown = shown[:at+1] + "***"
	}
	return shown
}

// credentials is all before the last "@", after the scheme: a password may contain "/", "#" and "@".
var credentials = regexp.MustCompile(`(?s)^(https?:)?.*@`)

// sharedHTTPClient serves all clients without WithHTTPClient: a new client per request reuses connections.
var sharedHTTPClient = sync.OnceValue(func() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = connectTimeout
	transport.MaxIdleConnsPerHost = 32
	return &http.Client{Transport: transport, CheckRedirect: followNothing}
})

// followNothing returns redirects as responses. Following one could turn a POST into a GET or send the key elsewhere.
func followNothing(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// environmentLogger returns a logger to standard error at the level of DEVORA_LOG, or nil without it.
func environmentLogger() *slog.Logger {
	var level slog.Level
	switch strings.ToLower(strings.TrimSpace(os.Getenv("DEVORA_LOG"))) {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	default:
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
