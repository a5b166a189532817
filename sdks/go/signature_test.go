package devora_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devora/sdk-go"
)

const delivered = `{"event":"job.completed","job_id":"job_1","timestamp":"2026-11-26T10:00:00Z","data":{"job_id":"job_1","status":"completed","output":{"output":"Größe"}},"signature":"sha256=0","colour":"red"}`

var sentAt = time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)

func signature(key []byte, id string, at time.Time, body string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func headers(signatures string) http.Header {
	header := http.Header{}
	header.Set("webhook-id", "msg_1")
	header.Set("webhook-timestamp", fmt.Sprint(sentAt.Unix()))
	header.Set("webhook-signature", signatures)
	return header
}

func TestAGenuineDelivery(t *testing.T) {
	raw := []byte("0123456789abcdef0123456789abcdef")
	made := "whsec_" + base64.StdEncoding.EncodeToString(raw)
	for _, each := range []struct{ secret, signatures string }{
		{made, signature(raw, "msg_1", sentAt, delivered)},
		{strings.TrimRight(made, "="), signature(raw, "msg_1", sentAt, delivered)},
		{"a secret of ours, Ω", signature([]byte("a secret of ours, Ω"), "msg_1", sentAt, delivered)},
		{made, "v1a,eHg= v1,notbase64! " + signature([]byte("old"), "msg_1", sentAt, delivered) + " " + signature(raw, "msg_1", sentAt, delivered)},
	} {
		event, err := devora.UnwrapWebhook([]byte(delivered), headers(each.signatures), each.secret, devora.WithNow(sentAt.Add(time.Minute)))
		if err != nil {
			t.Error(err)
			continue
		}
		job, err := event.Job()
		if err != nil || event.ID != "msg_1" || event.Event != "job.completed" || *event.JobID != "job_1" || string(event.Extra["colour"]) != `"red"` || job.Output.String() != "Größe" {
			t.Errorf("%+v %+v %v", event, job, err)
		}
	}
}

func TestADeliveryThatIsNotGenuine(t *testing.T) {
	good := headers(signature([]byte("s"), "msg_1", sentAt, delivered))
	without := func(name string) http.Header {
		header := good.Clone()
		header.Del(name)
		return header
	}
	with := func(name, value string) http.Header {
		header := good.Clone()
		header.Set(name, value)
		return header
	}
	for name, each := range map[string]struct {
		body, secret string
		header       http.Header
		now          time.Time
		says         string
	}{
		"other body":      {delivered + " ", "s", good, sentAt, "no signature"},
		"other secret":    {delivered, "t", good, sentAt, "no signature"},
		"no secret":       {delivered, "", good, sentAt, "empty"},
		"bad secret":      {delivered, "whsec_!", good, sentAt, "base64"},
		"empty secret":    {delivered, "whsec_", good, sentAt, "base64"},
		"other id":        {delivered, "s", with("webhook-id", "msg_2"), sentAt, "no signature"},
		"no id":           {delivered, "s", without("webhook-id"), sentAt, "webhook-id"},
		"no time":         {delivered, "s", without("webhook-timestamp"), sentAt, "webhook-timestamp"},
		"bad time":        {delivered, "s", with("webhook-timestamp", "yesterday"), sentAt, "yesterday"},
		"no signature":    {delivered, "s", without("webhook-signature"), sentAt, "webhook-signature"},
		"empty signature": {delivered, "s", with("webhook-signature", "v1,"), sentAt, "no signature"},
		"too old":         {delivered, "s", good, sentAt.Add(301 * time.Second), "ago"},
		"too new":         {delivered, "s", good, sentAt.Add(-301 * time.Second), "ahead"},
	} {
		_, err := devora.UnwrapWebhook([]byte(each.body), each.header, each.secret, devora.WithNow(each.now))
		if !errors.Is(err, devora.ErrWebhookVerification) || !strings.Contains(err.Error(), each.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := devora.VerifyWebhook([]byte(delivered), good, "s", devora.WithNow(sentAt.Add(time.Hour)), devora.WithTolerance(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if err := devora.NewClient(key).Webhooks.Verify([]byte(delivered), good, "s", devora.WithNow(sentAt)); err != nil {
		t.Error(err)
	}
}

func TestTheSignatureWithoutATime(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("s"))
	mac.Write([]byte(delivered))
	signature := fmt.Sprintf("sha256=%x", mac.Sum(nil))
	for _, each := range []struct {
		body, signature, secret string
		matches                 bool
	}{
		{delivered, signature, "s", true},
		{delivered + " ", signature, "s", false},
		{delivered, signature, "t", false},
		{delivered, "sha256=", "s", false},
		{delivered, "sha256=zz", "s", false},
		{delivered, "", "s", false},
	} {
		if devora.SignatureMatches([]byte(each.body), each.signature, each.secret) != each.matches {
			t.Errorf("%+v", each)
		}
	}
}

func TestASignedBodyThatIsNoEvent(t *testing.T) {
	_, err := devora.NewClient(key).Webhooks.Unwrap([]byte("[]"), headers(signature([]byte("s"), "msg_1", sentAt, "[]")), "s", devora.WithNow(sentAt))
	if !errors.Is(err, devora.ErrWebhookVerification) {
		t.Error(err)
	}
}
