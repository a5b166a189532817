package devora

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// AuditService reads the audit trail, for admins. See Client.Audit.
type AuditService struct{ client *Client }

// AuditListParams filters entries. Zero fields do not filter.
type AuditListParams struct {
	Principal string
	Username  string // the name of failed sign-ins, instead of Principal
	Action    string // prefix, such as "POST /v1/jobs"
	Since     time.Time
	Until     time.Time
	After     string // Next of the previous page
	Limit     int    // at most 200, by default 50
}

// List returns one page of the trail, newest first. [AuditService.All] iterates over all pages.
func (s *AuditService) List(ctx context.Context, params *AuditListParams, options ...Option) (*AuditList, error) {
	query := url.Values{}
	if params != nil {
		set(query, "principal", params.Principal)
		set(query, "username", params.Username)
		set(query, "action", params.Action)
		setTime(query, "since", params.Since)
		setTime(query, "until", params.Until)
		set(query, "after", params.After)
		setNumber(query, "limit", params.Limit)
	}
	return get[AuditList](ctx, s.client, query, options, "audit")
}

// All iterates over all matching entries and fetches pages as needed.
func (s *AuditService) All(ctx context.Context, params *AuditListParams, options ...Option) iter.Seq2[*AuditEntry, error] {
	filter := value(params)
	return all(Page{Limit: filter.Limit, After: filter.After}, func(at Page) ([]AuditEntry, position, error) {
		filter := filter
		filter.After = at.After
		page, err := s.List(ctx, &filter, options...)
		if err != nil {
			return nil, position{}, err
		}
		return page.Entries, position{next: page.Next, hasMore: page.HasMore}, nil
	})
}

// AuditEntry is one recorded call: caller, action, address and status.
type AuditEntry struct {
	ID        int       `json:"id"`
	At        time.Time `json:"at"`
	Principal string    `json:"principal"`
	KeyID     *string   `json:"key_id"`
	Action    string    `json:"action"`
	Path      string    `json:"path"`
	Status    int       `json:"status"`
	Address   *string   `json:"address"`
	RequestID string    `json:"request_id"`
	Surface   *string   `json:"surface"`
	Calls     int       `json:"calls"`

	Extra Extra `json:"-"`
}

// AuditList is one page of the trail. Next is nil at its end.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
	Next    *string      `json:"next"`
	HasMore bool         `json:"has_more"`

	RequestID string `json:"-"`
	Extra     Extra  `json:"-"`
}
