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

// WebhookTolerance is the default maximum age of a delivery. See [WithTolerance].
const WebhookTolerance = 5 * time.Minute

// WebhookOption changes how a delivery is verified.
type WebhookOption func(*verification)

type verification struct {
	tolerance time.Duration
	now       time.Time
}

// WithTolerance sets how far the timestamp of a delivery may differ from now.
func WithTolerance(tolerance time.Duration) WebhookOption {
	return func(v *verification) { v.tolerance = tolerance }
}

// WithNow sets the current time, for tests.
func WithNow(now time.Time) WebhookOption {
	return func(v *verification) { v.now = now }
}

// WebhookEvent is a verified delivery.
type WebhookEvent struct {
	// ID is the same for repeated deliveries of a message: store it to skip duplicates.
	ID        string          `json:"-"`
	Event     string          `json:"event"`  // "job.completed", "job.failed", …
	JobID     *string         `json:"job_id"` // nil for events without a job
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
	Signature string          `json:"signature"`

	Extra Extra `json:"-"`
}

// Job decodes the data of "job.completed" and "job.failed" events.
func (e *WebhookEvent) Job() (*Job, error) {
	job := new(Job)
	if err := json.Unmarshal(e.Data, job); err != nil {
		return nil, &Error{kind: ErrInvalidResponse, Code: "unexpected_response", Body: e.Data, cause: err,
			Message: "the data of " + e.Event + " is not a job: " + err.Error()}
	}
	return job, nil
}

// UnwrapWebhook verifies and decodes a delivery. body is the raw request body. If the delivery is not genuine or too old,
// the error is [ErrWebhookVerification]; respond with 400.
func UnwrapWebhook(body []byte, header http.Header, secret string, options ...WebhookOption) (*WebhookEvent, error) {
	if err := VerifyWebhook(body, header, secret, options...); err != nil {
		return nil, err
	}
	event := &WebhookEvent{}
	if err := json.Unmarshal(body, event); err != nil {
		return nil, unverified("the body is not an event: " + err.Error())
	}
	event.ID = header.Get("webhook-id")
	return event, nil
}

// VerifyWebhook checks the signature and the timestamp of a delivery.
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
		return unverified("invalid header webhook-timestamp " + quoted(sent) + ": expected a Unix time in seconds")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + sent + "."))
	mac.Write(body)
	if !contains(signatures, mac.Sum(nil)) {
		return unverified("no signature in the header webhook-signature matches: check the secret and pass the raw body")
	}
	age := check.now.Sub(time.Unix(seconds, 0))
	switch {
	case age > check.tolerance:
		return unverified("the delivery is too old, sent " + age.Round(time.Second).String() + " ago: it was replayed or a clock is wrong")
	case -age > check.tolerance:
		return unverified("the timestamp of the delivery is " + (-age).Round(time.Second).String() + " ahead: check the clocks")
	}
	return nil
}

// SignatureMatches checks the value of the header X-Devora-Signature. It does not check the age of the delivery: prefer
// [UnwrapWebhook].
func SignatureMatches(body []byte, signature, secret string) bool {
	digest, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return err == nil && secret != "" && hmac.Equal(digest, mac.Sum(nil))
}

// Unwrap calls [UnwrapWebhook].
func (s *WebhookService) Unwrap(body []byte, header http.Header, secret string, options ...WebhookOption) (*WebhookEvent, error) {
	return UnwrapWebhook(body, header, secret, options...)
}

// Verify calls [VerifyWebhook].
func (s *WebhookService) Verify(body []byte, header http.Header, secret string, options ...WebhookOption) error {
	return VerifyWebhook(body, header, secret, options...)
}

// signingKey returns the key of a secret: decoded base64 after "whsec_", otherwise the text itself.
func signingKey(secret string) ([]byte, error) {
	if secret == "" {
		return nil, unverified("the secret is empty")
	}
	encoded, prefixed := strings.CutPrefix(secret, "whsec_")
	if !prefixed {
		return []byte(secret), nil
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(key) == 0 {
		return nil, unverified("invalid secret: expected base64 after whsec_")
	}
	return key, nil
}

// contains reports whether one of the signatures is correct, in constant time.
func contains(signatures string, digest []byte) bool {
	found := false
	for _, signature := range strings.Fields(signatures) {
		version, encoded, _ := strings.Cut(signature, ",")
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		if version == "v1" && err == nil && hmac.Equal(decoded, digest) {
			found = true
		}
	}
	return found
}

func unverified(message string) *Error {
	return &Error{kind: ErrWebhookVerification, Code: "webhook_verification_failed", Message: message}
}
