package devora

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// KeyService issues and changes API keys, for admins. See Client.Keys.
type KeyService struct{ client *Client }

// KeyCreateRequest issues a key. Without Owner the key is a separate account; without an end it never
// expires.
type KeyCreateRequest struct {
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Tier      string     `json:"tier,omitempty"`
	Owner     string     `json:"owner,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	ExpiresIn *int       `json:"expires_in,omitempty"` // seconds, instead of ExpiresAt
}

// Create issues a key. No later response shows its secret.
func (s *KeyService) Create(ctx context.Context, request *KeyCreateRequest, options ...Option) (*IssuedKey, error) {
	return post[IssuedKey](ctx, s.client, request, options, "auth", "api-keys")
}

// List returns one page of keys, newest first, without secrets. [KeyService.All] iterates over all pages.
func (s *KeyService) List(ctx context.Context, page *Page, options ...Option) (*KeyList, error) {
	query := url.Values{}
	value(page).set(query)
	return get[KeyList](ctx, s.client, query, options, "auth", "api-keys")
}

// All iterates over all keys and fetches pages as needed.
func (s *KeyService) All(ctx context.Context, page *Page, options ...Option) iter.Seq2[*Key, error] {
	return all(value(page), func(at Page) ([]Key, position, error) {
		page, err := s.List(ctx, &at, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Keys, position{page.Next, page.HasMore, page.Total}, nil
	})
}

// Get returns one key, without its secret.
func (s *KeyService) Get(ctx context.Context, keyID string, options ...Option) (*Key, error) {
	return get[Key](ctx, s.client, nil, options, "auth", "api-keys", keyID)
}

// KeyUpdateRequest changes a key. Zero fields stay unchanged.
type KeyUpdateRequest struct {
	Name         string     `json:"name"`
	Scopes       []string   `json:"scopes"`
	Tier         string     `json:"tier"`
	ExpiresAt    *time.Time `json:"expires_at"`
	NeverExpires bool       `json:"-"` // removes the end, instead of ExpiresAt
}

// MarshalJSON sends only the changes.
func (r KeyUpdateRequest) MarshalJSON() ([]byte, error) {
	changes := map[string]any{}
	if r.Name != "" {
		changes["name"] = r.Name
	}
	if r.Scopes != nil {
		changes["scopes"] = r.Scopes
	}
	if r.Tier != "" {
		changes["tier"] = r.Tier
	}
	if r.NeverExpires {
		changes["expires_at"] = nil
	} else if r.ExpiresAt != nil {
		changes["expires_at"] = r.ExpiresAt
	}
	return json.Marshal(changes)
}

// Update changes a key.
func (s *KeyService) Update(ctx context.Context, keyID string, request *KeyUpdateRequest, options ...Option) (*Key, error) {
	return fetch[Key](ctx, s.client, call{method: http.MethodPatch, body: request}, options, "auth", "api-keys", keyID)
}

// KeyRotateRequest says how long the old secret stays valid; by default an hour, 0 ends it at once.
type KeyRotateRequest struct {
	OverlapSeconds *int `json:"overlap_seconds,omitempty"`
}

// Rotate gives a key a new secret.
func (s *KeyService) Rotate(ctx context.Context, keyID string, request *KeyRotateRequest, options ...Option) (*IssuedKey, error) {
	return post[IssuedKey](ctx, s.client, value(request), options, "auth", "api-keys", keyID, "rotate")
}

// Revoke revokes a key for good.
func (s *KeyService) Revoke(ctx context.Context, keyID string, options ...Option) (*Key, error) {
	return fetch[Key](ctx, s.client, call{method: http.MethodDelete}, options, "auth", "api-keys", keyID)
}

// IssuedKey is a key with its secret. No later response shows the secret.
type IssuedKey struct {
	ID            string     `json:"id"`
	APIKey        string     `json:"api_key"`
	WebhookSecret string     `json:"webhook_secret"` // signs the callbacks of the owner's jobs
	Name          string     `json:"name"`
	Scopes        []string   `json:"scopes"`
	Tier          *string    `json:"tier"`
	Owner         string     `json:"owner"`
	CreatedAt     time.Time  `json:"created_at"`
	ExpiresAt     *time.Time `json:"expires_at"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// Key is a key without its secret. Prefix is the start of the secret.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes"`
	Tier       *string    `json:"tier"`
	Owner      string     `json:"owner"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	Prefix     string     `json:"prefix"`
	State      string     `json:"state"` // "active", "expired", "revoked"
	CreatedBy  string     `json:"created_by"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}

// KeyList is one page of keys.
type KeyList struct {
	Keys    []Key   `json:"keys"`
	Total   int     `json:"total"`
	Limit   int     `json:"limit"`
	Offset  int     `json:"offset"`
	Next    *string `json:"next"`
	HasMore bool    `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
