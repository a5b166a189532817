package devora_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/devora/sdk-go"
)

func jobIDs(t *testing.T, client *devora.Client, params *devora.JobListParams) (ids []string, err error) {
	t.Helper()
	for job, err := range client.Jobs.All(context.Background(), params) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, job.ID)
	}
	return ids, nil
}

func TestPagesByCursor(t *testing.T) {
	pages := map[string]string{
		"":   `{"jobs": [{"job_id": "1"}, {"job_id": "2"}], "total": 9, "next": "c2", "has_more": true}`,
		"c2": `{"jobs": [], "total": 9, "next": "c3", "has_more": true}`,
		"c3": `{"jobs": [{"job_id": "3"}], "total": 9, "next": null, "has_more": false}`,
	}
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		io.WriteString(w, pages[r.URL.Query().Get("after")])
	})
	ids, err := jobIDs(t, client, &devora.JobListParams{Status: devora.StatusFailed, Reasons: []string{"stuck", "no_worker"}, NeedsAttention: true, Page: devora.Page{Limit: 2}})
	if err != nil || !slices.Equal(ids, []string{"1", "2", "3"}) {
		t.Error(ids, err)
	}
	if got := seen.all[1].URL.RawQuery; got != "after=c2&limit=2&needs_attention=true&reason=stuck%2Cno_worker&status=failed" {
		t.Error(got)
	}
}

func TestPagesByOffsetOfAServerWithoutCursors(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		fmt.Fprintf(w, `{"jobs": [{"job_id": "%d"}, {"job_id": "%d"}], "total": 6, "limit": 2, "offset": %d}`, offset+1, offset+2, offset)
	})
	params := &devora.JobListParams{Page: devora.Page{Offset: 2}}
	for range 2 { // the parameters stay as they are
		ids, err := jobIDs(t, client, params)
		if err != nil || !slices.Equal(ids, []string{"3", "4", "5", "6"}) {
			t.Error(ids, err)
		}
	}
	if seen.count() != 4 || params.Offset != 2 {
		t.Error(seen.count(), params)
	}
}

func TestPagesFetchNoMoreThanIsReadAndReportFaults(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if r.URL.Query().Get("after") != "" {
			fail(w, 404, "not_found", "no such page")
			return
		}
		io.WriteString(w, `{"jobs": [{"job_id": "1"}], "next": "c", "has_more": true}`)
	})
	for range client.Jobs.All(context.Background(), nil) {
		break
	}
	if seen.count() != 1 {
		t.Error(seen.count())
	}
	if ids, err := jobIDs(t, client, nil); !errors.Is(err, devora.ErrNotFound) || !slices.Equal(ids, []string{"1"}) {
		t.Error(ids, err)
	}
}

func TestFiltersOfJobs(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) { io.WriteString(w, `{"jobs": []}`) })
	moment := time.Date(2026, 11, 26, 12, 0, 0, 0, time.FixedZone("", 3600))
	params := &devora.JobListParams{States: []string{"PAUSED", "RUNNING"}, Since: moment, Until: moment.Add(time.Hour), WorkflowID: "w", Labels: map[string]string{"team": "a:b"}}
	if _, err := client.Jobs.List(context.Background(), params); err != nil {
		t.Fatal(err)
	}
	if got := seen.all[0].URL.RawQuery; got != "label=team%3Aa%3Ab&since=2026-11-26T11%3A00%3A00Z&state=PAUSED&state=RUNNING&until=2026-11-26T12%3A00%3A00Z&workflow_id=w" {
		t.Error(got)
	}
}

func TestPagesOfTheAuditTrail(t *testing.T) {
	client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		if r.URL.Query().Get("after") == "" {
			io.WriteString(w, `{"entries": [{"id": 42}], "next": "41", "has_more": true}`)
			return
		}
		io.WriteString(w, `{"entries": [{"id": 40}], "next": null, "has_more": false}`)
	})
	var ids []int
	for entry, err := range client.Audit.All(context.Background(), &devora.AuditListParams{Action: "POST", Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, entry.ID)
	}
	if !slices.Equal(ids, []int{42, 40}) || seen.all[1].URL.RawQuery != "action=POST&after=41&limit=1" {
		t.Error(ids, seen.all[1].URL)
	}
}

func TestAllEventsOfAJob(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
		n := after(r) + 1
		fmt.Fprintf(w, `{"events": [{"id": "run:%d"}], "next": "run:%d", "has_more": %t}`, n, n, n < 4)
	})
	events := 0
	for _, err := range client.Jobs.AllEvents(context.Background(), "job_1", &devora.EventListParams{Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	if events != 4 {
		t.Error(events)
	}
}

func TestACursorThatStaysIsAnError(t *testing.T) {
	for _, next := range []string{"c1", ""} {
		client, seen := serve(t, func(w http.ResponseWriter, r *http.Request, number int) {
			fmt.Fprintf(w, `{"jobs": [{"job_id": "1"}], "events": [{"id": "e"}], "total": 9, "next": %q, "has_more": true}`, next)
		})
		if ids, err := jobIDs(t, client, nil); !errors.Is(err, devora.ErrInvalidResponse) || len(ids) == 0 {
			t.Error(ids, err)
		}
		var last error
		for _, err := range client.Jobs.AllEvents(context.Background(), "job_1", nil) {
			last = err
		}
		if !errors.Is(last, devora.ErrInvalidResponse) || seen.count() > 4 {
			t.Error(last, seen.count())
		}
	}
}
