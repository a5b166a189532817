package devora

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// DefaultBaseURL is used where neither [WithBaseURL] nor DEVORA_BASE_URL names another.
const DefaultBaseURL = "https://api.devora.ai/v1"

const connectTimeout = 5 * time.Second

// Client calls the API. Make it with [NewClient] or [New]; many goroutines may use it at once.
type Client struct {
	Agents    *AgentService
	Workflows *WorkflowService
	Jobs      *JobService
	Metrics   *MetricsService
	Keys      *KeyService
	Users     *UserService
	Webhooks  *WebhookService
	Audit     *AuditService
	Account   *AccountService
	Health    *HealthService

	config config
	fault  *Error // why the configuration cannot work
}

// NewClient makes a client with an API key. An empty key stands for the environment variable DEVORA_API_KEY.
//
// A configuration that cannot work, such as no key at all, is reported by [Client.Err] and by each call. [New] reports
// it at once.
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
	client.Webhooks = &WebhookService{client}
	client.Audit = &AuditService{client}
	client.Account = &AccountService{client}
	client.Health = &HealthService{client}
	return client
}

// New makes a client with the key of the environment variable DEVORA_API_KEY, or of [WithAPIKey]. The error says what
// the configuration lacks.
func New(options ...Option) (*Client, error) {
	client := NewClient("", options...)
	return client, client.Err()
}

// Err says why the client cannot work: no API key, or a base URL that is none. It is nil otherwise.
func (c *Client) Err() error {
	if c.fault == nil {
		return nil
	}
	return c.fault
}

// Close closes the connections that no call uses.
func (c *Client) Close() {
	c.config.http.CloseIdleConnections()
}

// String names the client without its key.
func (c *Client) String() string { return "devora.Client(" + c.config.baseURL + ")" }

// GoString is String: no way to print a client shows its key.
func (c *Client) GoString() string { return c.String() }

// config is what options set, of a client or of one call.
type config struct {
	apiKey         func() string // a function, because a printed structure must not show the key
	baseURL        string        // with or without "/v1"; see root
	http           *http.Client
	timeout        *time.Duration // of one call
	plainTimeout   time.Duration  // of calls that wait for no job
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

// with is the configuration of one call.
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
			Message: "there is no API key: pass one to NewClient, or set the environment variable DEVORA_API_KEY"}
	case strings.ContainsFunc(key, func(letter rune) bool { return letter <= ' ' || letter > '~' }):
		return &Error{kind: ErrConfiguration, Code: "bad_api_key",
			Message: "the API key has a character that no key has, such as a space or a line break: copy it again"}
	}
	address, err := url.Parse(c.baseURL)
	if err != nil || (address.Scheme != "http" && address.Scheme != "https") || address.Host == "" {
		return &Error{kind: ErrConfiguration, Code: "bad_base_url",
			Message: "the base URL " + quoted(c.baseURL) + " is not an http or https URL: use one such as " + DefaultBaseURL}
	}
	return nil
}

// root is the base URL without "/v1", which each path begins with.
func (c config) root() string {
	return strings.TrimSuffix(strings.TrimRight(c.baseURL, "/"), "/v1")
}

// sharedHTTPClient is used by all clients without one of their own: a client for each request costs no connection.
var sharedHTTPClient = sync.OnceValue(func() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = connectTimeout
	transport.MaxIdleConnsPerHost = 32
	return &http.Client{Transport: transport, CheckRedirect: followNothing}
})

// followNothing answers with the redirect itself: it would turn a POST into a GET, or lead the key to another host.
func followNothing(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// environmentLogger logs to standard error what DEVORA_LOG asks for, and nothing without it.
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
