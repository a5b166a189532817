package devora

import (
	"net/http"
	"testing"
	"time"
)

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	config := defaults()
	for failures, whole := range map[int]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 5: 8 * time.Second, 6: 8 * time.Second, 1000: 8 * time.Second,
	} {
		shortest, longest := whole, time.Duration(0)
		for range 200 {
			pause := config.backoff.pause(failures)
			shortest, longest = min(shortest, pause), max(longest, pause)
		}
		if shortest < whole/2 || longest > whole || longest-shortest < whole/4 {
			t.Errorf("%d failures: %s to %s, expected 50 to 100 %% of %s", failures, shortest, longest, whole)
		}
	}
	if pause := config.reconnect.pause(1); pause < 50*time.Millisecond || pause > 100*time.Millisecond {
		t.Error(pause)
	}
	if pause := (backoff{}).pause(9); pause != 0 {
		t.Error(pause)
	}
}

func TestRetryAfterValues(t *testing.T) {
	const date = "Thu, 26 Nov 2026 10:00:00 GMT"
	for value, expected := range map[string]time.Duration{
		"60": time.Minute, " 1.5 ": 1500 * time.Millisecond, "0": 0, "Thu, 26 Nov 2026 10:01:00 GMT": time.Minute,
		"Thu, 26 Nov 2026 09:00:00 GMT": 0,
	} {
		pause, ok := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}})
		if !ok || pause != expected {
			t.Error(value, pause, ok)
		}
	}
	for _, value := range []string{"", "soon", "-1", "NaN", "Inf", "1e300"} {
		if pause, ok := retryAfter(http.Header{"Retry-After": {value}}); ok {
			t.Error(value, pause)
		}
	}
}
