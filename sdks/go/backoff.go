package devora

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// backoff is a pause that doubles from first to longest.
type backoff struct {
	first   time.Duration
	longest time.Duration
}

// pause returns a random 50 to 100 % of the pause after this many failures, from 1. Random, so that clients that failed
// together do not return together.
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

// sleep waits for the pause. It returns the context's error if the context ends first.
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

// retryAfter reads Retry-After, seconds or a date. A date is relative to the response's Date, because clocks differ.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if seconds >= 0 && seconds <= 1e9 { // excludes NaN and what overflows a Duration
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
	pause := max(0, moment.Sub(now))
	return pause, pause <= 1e9*time.Second
}
