package devora

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// backoff is the pause between attempts: it doubles from the first to the longest.
type backoff struct {
	first   time.Duration
	longest time.Duration
}

// pause is half to all of the pause after so many failures, from 1, at random: clients that failed together must not
// come back together.
func (b backoff) pause(failures int) time.Duration {
	whole := b.first
	for range failures - 1 {
		if whole *= 2; whole >= b.longest {
			break
		}
	}
	whole = min(whole, b.longest)
	return whole/2 + time.Duration(rand.Int64N(int64(whole/2)+1))
}

// sleep waits, or fails as soon as the context ends.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads both forms of Retry-After. A date counts from the server's own clock where the answer shows it.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if seconds >= 0 && seconds <= 1e9 { // not a NaN, not beyond a Duration
			return time.Duration(seconds * float64(time.Second)), true
		}
		return 0, false
	}
	moment, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	now := time.Now()
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return max(0, moment.Sub(now)), true
}
