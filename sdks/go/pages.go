package devora

import (
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Page selects a page of a list. For All, Limit is the size of each page.
type Page struct {
	Limit  int    // entries per page; 0 for the server's default
	After  string // Next of the previous page
	Offset int    // number of entries to skip, instead of After
}

func (p Page) set(query url.Values) {
	setNumber(query, "limit", p.Limit)
	setNumber(query, "offset", p.Offset)
	set(query, "after", p.After)
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func setNumber(query url.Values, name string, value int) {
	if value != 0 {
		query.Set(name, strconv.Itoa(value))
	}
}

func setTime(query url.Values, name string, moment time.Time) {
	if !moment.IsZero() {
		query.Set(name, moment.UTC().Format(time.RFC3339Nano))
	}
}

// position is the end of a page.
type position struct {
	next    *string
	hasMore bool
	total   int
}

// all iterates over pages from first on. Older servers have no cursors: they get offsets.
func all[T any](first Page, fetch func(Page) ([]T, position, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for where := first; ; {
			entries, at, err := fetch(where)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range entries {
				if !yield(&entries[i], nil) {
					return
				}
			}
			switch {
			case at.hasMore && at.next != nil:
				if stays(where.After, *at.next) {
					yield(nil, endless(*at.next))
					return
				}
				where.After, where.Offset = *at.next, 0
			case at.next == nil && !at.hasMore && where.After == "" && len(entries) > 0 && where.Offset+len(entries) < at.total:
				where.Offset += len(entries)
			default:
				return
			}
		}
	}
}

// stays reports that a cursor does not move on, so that the pages would never end.
func stays(after, next string) bool { return next == "" || next == after }

func endless(cursor string) *Error {
	return &Error{kind: ErrInvalidResponse, Code: "unexpected_response",
		Message: "invalid page: has_more is true, but the cursor stays at " + quoted(cursor)}
}

// value dereferences a pointer; nil is the zero value.
func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}
