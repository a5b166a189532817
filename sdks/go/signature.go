package devora

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WebhookTolerance is how far the time of a delivery may be from now, unless [WithTolerance] sets another.
const WebhookTolerance = 5 * time.Minute

// WebhookOption changes how a delivery is verified.
type WebhookOption func(*verification)

type verification struct {
	tolerance time.Duration
	now       time.Time
}

// WithTolerance sets how far the time of a delivery may be from now, for clocks that differ.
func WithTolerance(tolerance time.Duration) WebhookOption {
	return func(v *verification) { v.tolerance = tolerance }
}

// WithNow sets the time that counts as now, for tests.
func WithNow(now time.Time) WebhookOption {
	return func(v *verification) { v.now = now }
}

// WebhookEvent is a delivery that was verified.
type WebhookEvent struct {
	// ID is the same for each attempt of a message: remember it to skip what was seen.
	ID        string          `json:"-"`
	Event     string          `json:"event"`  // "job.completed", "job.failed", …
	JobID     *string         `json:"job_id"` // nil of events that are not of a job
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
	Signature string          `json:"signature"`

	Extra Extra `json:"-"`
}

// Job is the data of the events "job.completed" and "job.failed".
func (e *WebhookEvent) Job() (*Job, error) {
	job := new(Job)
	if err := json.Unmarshal(e.Data, job); err != nil {
		return nil, &Error{kind: ErrInvalidResponse, Code: "invalid_response", Body: e.Data, cause: err,
			Message: "the data of " + e.Event + " is not a job: " + err.Error()}
	}
	return job, nil
}

// UnwrapWebhook verifies a delivery and reads it. body is the request's body as it came, before anything parses it. An
// error is of the kind [ErrWebhookVerification]; answer it with 400.
func UnwrapWebhook(body []byte, header http.Header, secret string, options ...WebhookOption) (*WebhookEvent, error) {
	if err := VerifyWebhook(body, header, secret, options...); err != nil {
		return nil, err
	}
	event := &WebhookEvent{}
	if err := json.Unmarshal(body, event); err != nil {
		return nil, unverified("the body is signed, but is not an event: " + err.Error())
	}
	event.ID = header.Get("webhook-id")
	return event, nil
}

// VerifyWebhook checks that a delivery was signed with the secret, and not long ago.
func VerifyWebhook(body []byte, header http.Header, secret string, options ...WebhookOption) error {
	check := verification{tolerance: WebhookTolerance, now: time.Now()}
	for _, option := range options {
		option(&check)
	}
	key, err := signingKey(secret)
	if err != nil {
		return err
	}
	id, sent, signatures := header.Get("webhook-id"), header.Get("webhook-timestamp"), header.Get("webhook-signature")
	for name, value := range map[string]string{"webhook-id": id, "webhook-timestamp": sent, "webhook-signature": signatures} {
		if value == "" {
			return unverified("the header " + name + " is missing")
		}
	}
	seconds, parseErr := strconv.ParseInt(sent, 10, 64)
	if parseErr != nil {
		return unverified("the header webhook-timestamp is " + quoted(sent) + ", not a Unix time in seconds")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + sent + "."))
	mac.Write(body)
	if !contains(signatures, mac.Sum(nil)) {
		return unverified("no signature of the header webhook-signature matches: check the secret, and that the body is as it came")
	}
	age := check.now.Sub(time.Unix(seconds, 0))
	switch {
	case age > check.tolerance:
		return unverified("the delivery is from " + age.Round(time.Second).String() + " ago: it was sent again, or a clock is wrong")
	case -age > check.tolerance:
		return unverified("the delivery is from " + (-age).Round(time.Second).String() + " ahead: a clock is wrong")
	}
	return nil
}

// SignatureMatches says whether a signature, that of the header X-Devora-Signature, is that of the body. It does not say
// how old the delivery is: prefer [UnwrapWebhook].
func SignatureMatches(body []byte, signature, secret string) bool {
	digest, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return err == nil && secret != "" && hmac.Equal(digest, mac.Sum(nil))
}

// Unwrap is [UnwrapWebhook].
func (s *WebhookService) Unwrap(body []byte, header http.Header, secret string, options ...WebhookOption) (*WebhookEvent, error) {
	return UnwrapWebhook(body, header, secret, options...)
}

// Verify is [VerifyWebhook].
func (s *WebhookService) Verify(body []byte, header http.Header, secret string, options ...WebhookOption) error {
	return VerifyWebhook(body, header, secret, options...)
}

// signingKey is the key in a secret: base64 behind "whsec_", else the text itself.
func signingKey(secret string) ([]byte, error) {
	if secret == "" {
		return nil, unverified("the secret is empty: anybody could have signed")
	}
	encoded, prefixed := strings.CutPrefix(secret, "whsec_")
	if !prefixed {
		return []byte(secret), nil
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(key) == 0 {
		return nil, unverified("the secret begins with whsec_, but base64 does not follow")
	}
	return key, nil
}

// contains says whether one of the signatures is this one, in a time that does not depend on which.
func contains(signatures string, wanted []byte) bool {
	found := false
	for _, signature := range strings.Fields(signatures) {
		version, encoded, _ := strings.Cut(signature, ",")
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if version == "v1" && err == nil && hmac.Equal(decoded, wanted) {
			found = true
		}
	}
	return found
}

func unverified(message string) *Error {
	return &Error{kind: ErrWebhookVerification, Code: "webhook_not_verified", Message: message}
}
