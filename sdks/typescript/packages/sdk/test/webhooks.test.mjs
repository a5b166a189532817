import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { DevoraClient, RateLimitError, signWebhook, unwrapWebhook, verifyWebhook, WebhookVerificationError } from "@devora/sdk";

const SECRET = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;
const NOW = new Date("2026-11-26T12:00:00Z");
const BODY = JSON.stringify({ event: "job.completed", job_id: "job_1", timestamp: "2026-11-26T12:00:00Z", data: { metrics: { total_tokens: 5 }, input: { my_key: "été" } }, signature: "sha256=…" });

test("a genuine delivery is unwrapped", async () => {
  for (const secret of [SECRET, "a secret of my own", "whsec_not base64"]) {
    const headers = await signWebhook(BODY, secret, { id: "msg_1", now: NOW });
    for (const form of [headers, new Headers(headers), Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), [value]]))]) {
      for (const body of [BODY, new TextEncoder().encode(BODY), Buffer.from(BODY)]) {
        const event = await unwrapWebhook(body, form, secret, { now: NOW });
        assert.deepEqual([event.event, event.jobId, event.data.metrics.total_tokens, event.data.input], ["job.completed", "job_1", 5, { my_key: "été" }]);
      }
    }
    assert.equal(await verifyWebhook(BODY, headers["X-Devora-Signature"], secret), true);
    assert.equal(await verifyWebhook(`${BODY} `, headers["X-Devora-Signature"], secret), false);
    assert.equal(await verifyWebhook(BODY, "sha256=short", secret), false);
  }
});

test("during a rotation any of the signatures is enough", async () => {
  const old = await signWebhook(BODY, SECRET, { id: "msg_1", now: NOW });
  const other = await signWebhook(BODY, "another", { id: "msg_1", now: NOW });
  const headers = { ...old, "webhook-signature": `${other["webhook-signature"]} v2,abc ${old["webhook-signature"]}` };
  assert.equal((await unwrapWebhook(BODY, headers, SECRET, { now: NOW })).jobId, "job_1");
});

test("what is not genuine, old, early or unsigned is refused with the reason", async () => {
  const headers = await signWebhook(BODY, SECRET, { id: "msg_1", now: NOW });
  const at = (seconds) => ({ now: new Date(NOW.getTime() + 1000 * seconds) });
  const client = new DevoraClient({ apiKey: "k" });
  const refused = [
    [`${BODY} `, headers, SECRET, at(0), /no signature/],
    [BODY, headers, "another", at(0), /no signature/],
    [BODY, { ...headers, "webhook-id": "msg_2" }, SECRET, at(0), /no signature/],
    [BODY, headers, SECRET, at(301), /301 seconds old/],
    [BODY, headers, SECRET, at(-301), /301 seconds ahead/],
    [BODY, { ...headers, "webhook-timestamp": "soon" }, SECRET, at(0), /not a number/],
    [BODY, { ...headers, "webhook-signature": undefined }, SECRET, at(0), /webhook-signature is missing/],
    [BODY, headers, "", at(0), /secret is empty/],
  ];
  for (const [body, sent, secret, options, reason] of refused) {
    const error = await client.webhooks.unwrap(body, sent, secret, options).catch((caught) => caught);
    assert.ok(error instanceof WebhookVerificationError);
    assert.match(error.message, reason);
  }
  assert.equal((await unwrapWebhook(BODY, headers, SECRET, { ...at(900), tolerance: 1000 })).jobId, "job_1");
});

test("errors of the CommonJS build are instances of the ESM build's classes, and the reverse", () => {
  const common = createRequire(import.meta.url)("@devora/sdk");
  assert.notEqual(common.RateLimitError, RateLimitError);
  const error = new common.RateLimitError("slow down");
  assert.ok(error instanceof RateLimitError && error instanceof common.DevoraError);
  assert.ok(!(error instanceof WebhookVerificationError));
  class Mine extends RateLimitError {}
  assert.ok(new Mine("x") instanceof RateLimitError && new Mine("x") instanceof Mine && !(error instanceof Mine));
});
