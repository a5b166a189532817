package devora

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// WebhookService registers webhooks and lists their deliveries. See Client.Webhooks. To verify received deliveries,
// use [UnwrapWebhook].
type WebhookService struct{ client *Client }

// WebhookCreateRequest registers a webhook. If Secret is empty, the server creates one and shows it once.
type WebhookCreateRequest struct {
	URL    string   `json:"url"`
	Events []string `json:"events"` // "job.completed", "job.failed", …
	Secret string   `json:"secret,omitempty"`
}

// Create registers a webhook.
func (s *WebhookService) Create(ctx context.Context, request *WebhookCreateRequest, options ...Option) (*Webhook, error) {
	return post[Webhook](ctx, s.client, request, options, "webhooks")
}

// List returns one page of webhooks, oldest first. [WebhookService.All] iterates over all pages.
func (s *WebhookService) List(ctx context.Context, page *Page, options ...Option) (*WebhookList, error) {
	query := url.Values{}
	value(page).set(query)
	return get[WebhookList](ctx, s.client, query, options, "webhooks")
}

// All iterates over all webhooks and fetches pages as needed.
func (s *WebhookService) All(ctx context.Context, page *Page, options ...Option) iter.Seq2[*Webhook, error] {
	return all(value(page), func(at Page) ([]Webhook, position, error) {
		page, err := s.List(ctx, &at, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Webhooks, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Get returns one webhook, without its secret.
func (s *WebhookService) Get(ctx context.Context, webhookID string, options ...Option) (*Webhook, error) {
	return get[Webhook](ctx, s.client, nil, options, "webhooks", webhookID)
}

// WebhookUpdateRequest changes a webhook. Zero fields stay unchanged.
type WebhookUpdateRequest struct {
	URL    string   `json:"url,omitempty"`
	Events []string `json:"events,omitempty"`
	Active *bool    `json:"active,omitempty"`
}

// Update changes a webhook.
func (s *WebhookService) Update(ctx context.Context, webhookID string, request *WebhookUpdateRequest, options ...Option) (*Webhook, error) {
	return fetch[Webhook](ctx, s.client, call{method: http.MethodPatch, body: request}, options, "webhooks", webhookID)
}

// Delete removes a webhook. Pending deliveries are dropped.
func (s *WebhookService) Delete(ctx context.Context, webhookID string, options ...Option) error {
	return send(ctx, s.client, call{method: http.MethodDelete}, options, "webhooks", webhookID)
}

// SecretRotateRequest sets the new secret (created if empty) and how long the old one also signs: a day by default, 0
// ends it at once.
type SecretRotateRequest struct {
	Secret         string `json:"secret,omitempty"`
	OverlapSeconds *int   `json:"overlap_seconds,omitempty"`
}

// RotateSecret gives a webhook another secret.
func (s *WebhookService) RotateSecret(ctx context.Context, webhookID string, request *SecretRotateRequest, options ...Option) (*Webhook, error) {
	return post[Webhook](ctx, s.client, value(request), options, "webhooks", webhookID, "rotate-secret")
}

// Test sends a "webhook.test" event once.
func (s *WebhookService) Test(ctx context.Context, webhookID string, options ...Option) (*Delivery, error) {
	return post[Delivery](ctx, s.client, nil, options, "webhooks", webhookID, "test")
}

// DeliveryListParams filters deliveries.
type DeliveryListParams struct {
	State string // "pending", "delivered", "failed" or "dropped"; empty is all
	Page
}

// Deliveries returns one page of a webhook's deliveries, newest first. [WebhookService.AllDeliveries] iterates over all
// pages.
func (s *WebhookService) Deliveries(ctx context.Context, webhookID string, params *DeliveryListParams, options ...Option) (*DeliveryList, error) {
	query := url.Values{}
	if params != nil {
		params.Page.set(query)
		set(query, "state", params.State)
	}
	return get[DeliveryList](ctx, s.client, query, options, "webhooks", webhookID, "deliveries")
}

// AllDeliveries iterates over all matching deliveries and fetches pages as needed.
func (s *WebhookService) AllDeliveries(ctx context.Context, webhookID string, params *DeliveryListParams, options ...Option) iter.Seq2[*Delivery, error] {
	return all(value(params).Page, func(at Page) ([]Delivery, position, error) {
		filter := DeliveryListParams{value(params).State, at}
		page, err := s.Deliveries(ctx, webhookID, &filter, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Deliveries, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Redeliver sends the message of a finished delivery again.
func (s *WebhookService) Redeliver(ctx context.Context, webhookID, deliveryID string, options ...Option) (*Delivery, error) {
	return post[Delivery](ctx, s.client, nil, options, "webhooks", webhookID, "deliveries", deliveryID, "redeliver")
}

// Webhook is a webhook.
type Webhook struct {
	ID             string     `json:"id"`
	URL            string     `json:"url"`
	Events         []string   `json:"events"`
	Active         bool       `json:"active"`
	DisabledReason *string    `json:"disabled_reason"`
	DisabledAt     *time.Time `json:"disabled_at"`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
	// Secret is set only in the response that created it.
	Secret string `json:"secret"`
	// PreviousUntil is the time until which the secret before a rotation also signs.
	PreviousUntil *time.Time `json:"previous_until"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// WebhookList is one page of webhooks.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
	Total    int       `json:"total"`
	Limit    int       `json:"limit"`
	Offset   int       `json:"offset"`
	Next     *string   `json:"next"`
	HasMore  bool      `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Delivery is one message to a receiver, with its attempts.
type Delivery struct {
	ID            string            `json:"id"`
	WebhookID     *string           `json:"webhook_id"` // nil for a job's own webhook_url
	JobID         *string           `json:"job_id"`
	Event         string            `json:"event"`
	URL           string            `json:"url"`
	MessageID     string            `json:"message_id"` // the webhook-id header
	State         string            `json:"state"`
	Attempts      []DeliveryAttempt `json:"attempts"`
	CreatedAt     time.Time         `json:"created_at"`
	NextAttemptAt *time.Time        `json:"next_attempt_at"`
	CompletedAt   *time.Time        `json:"completed_at"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// DeliveryAttempt is one attempt. Status is the receiver's HTTP status.
type DeliveryAttempt struct {
	Number   int       `json:"number"`
	At       time.Time `json:"at"`
	Verdict  string    `json:"verdict"` // "delivered", "retry" or "gone"
	Status   *int      `json:"status"`
	Error    *string   `json:"error"`
	Duration float64   `json:"duration"` // seconds

	Extra Extra `json:"-"`
}

// DeliveryList is one page of deliveries.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
	Total      int        `json:"total"`
	Limit      int        `json:"limit"`
	Offset     int        `json:"offset"`
	Next       *string    `json:"next"`
	HasMore    bool       `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
