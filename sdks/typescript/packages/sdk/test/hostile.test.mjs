// What the library makes of servers that answer nonsense: whatever comes is a result, or a DevoraError.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { DevoraClient, DevoraError, InvalidRequestError, unwrapWebhook, verifyWebhook, WebhookVerificationError } from "@devora/sdk";
import { framesOf } from "../dist/esm/sse.js";
import { fromWire } from "../dist/esm/casing.js";

const JSON_TYPE = { "Content-Type": "application/json" };
const SSE = { "Content-Type": "text/event-stream" };
const frame = (data) => `event: job_completed\ndata: ${data}\nid: r:1\n\n`;

const CALLS = {
  one: (client) => client.agents.list(),
  page: async (client) => {
    for await (const job of client.jobs.list()) assert.equal(typeof job, "object");
  },
  wait: (client) => client.jobs.wait("job_1", { timeout: 200 }),
  execute: (client) => client.agents.execute({ agentId: "a", input: {} }, { timeout: 200 }),
  stream: async (client) => {
    const signal = AbortSignal.timeout(200);
    try {
      for await (const event of client.jobs.stream("job_1", { signal })) assert.equal(typeof event, "object");
    } catch (error) {
      if (error !== signal.reason) throw error; // the caller's own end of a stream that would go on
    }
  },
  delete: (client) => client.webhooks.delete("wh_1"),
  create: (client) => client.webhooks.create({ url: "https://x.example", events: ["job.completed"] }),
  ready: (client) => client.health.ready(),
};

const ANSWERS = {
  nothing: [200, JSON_TYPE, ""],
  null: [200, JSON_TYPE, "null"],
  "a list": [200, JSON_TYPE, "[1]"],
  "a number": [200, JSON_TYPE, "1e999"],
  "wrong types": [200, JSON_TYPE, '{"jobs": 5, "agents": {}, "status": [], "output": 1, "error": "x", "metrics": [], "checks": 1, "events": 3, "next": []}'],
  "wrong items": [200, JSON_TYPE, '{"jobs": [1, null], "next": {}, "has_more": "yes", "status": "failed", "steps": 7, "events": [null]}'],
  "half of it": [200, JSON_TYPE, '{"agents": ['],
  nested: [200, JSON_TYPE, '{"agents": ' + "[".repeat(50_000) + "]".repeat(50_000) + "}"],
  "not text": [200, JSON_TYPE, Buffer.from([0xff, 0xfe, 0x7b])],
  "a page": [200, { "Content-Type": "text/html" }, "<html>welcome"],
  "a gateway's page": [502, { "Content-Type": "text/html" }, "<html>"],
  "an error of numbers": [400, JSON_TYPE, '{"error": {"code": 5, "message": [], "details": "x", "request_id": {}, "retry_after": "soon"}}'],
  "an error that is a text": [404, JSON_TYPE, '{"error": "no"}'],
  "a wait of ages": [429, { "Retry-After": "99999999999" }, "{}"],
  "a wait of ages in the body": [429, JSON_TYPE, '{"error": {"code": "x", "message": "y", "retry_after": 1e99}}'],
  "a wait until nowhere": [503, { "Retry-After": "Fri, 99 Foo 99999" }, "{}"],
  "a redirect to elsewhere": [307, { Location: "http://elsewhere.example/v1" }, ""],
  "no content": [204, {}, null],
  "a partial answer": [206, JSON_TYPE, "{}"],
  "a frame of nothing": [200, SSE, frame("")],
  "a frame of a list": [200, SSE, frame("[]")],
  "an event of wrong types": [200, SSE, frame('{"id": 5, "type": [], "name": {}, "data": 7, "timestamp": {}}')],
  "an error frame of numbers": [200, SSE, "event: stream_error\ndata: 5\n\n"],
  "an error frame of wrong types": [200, SSE, 'event: stream_error\ndata: {"error": {"code": [], "message": {}}}\n\n'],
  "a frame without an end": [200, SSE, "data: {"],
};

for (const [name, [status, headers, body]] of Object.entries(ANSWERS)) {
  test(`${name} is an error of the library, and the key goes nowhere else`, async () => {
    const hosts = new Set();
    const answer = async (url, init) => {
      hosts.add(new URL(url).host);
      assert.equal(init.redirect, "manual");
      return new Response(body, { status, headers });
    };
    const client = new DevoraClient({ apiKey: "k", baseUrl: "http://mock", fetch: answer, maxRetries: 1, backoff: { initial: 1 } });
    for (const [call, perform] of Object.entries(CALLS)) {
      try {
        await perform(client);
      } catch (error) {
        assert.ok(error instanceof DevoraError, `${call}: ${error?.stack}`);
      }
    }
    assert.deepEqual([...hosts], ["mock"]);
  });
}

test("an answer that no memory should hold is given up", async () => {
  const bomb = gzipSync(Buffer.alloc(65 * 2 ** 20));
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
      socket.write(bomb);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = new DevoraClient({ apiKey: "k", baseUrl: `http://127.0.0.1:${server.address().port}`, maxRetries: 0 });
  await assert.rejects(client.agents.list(), /larger than 64 MiB/);
  server.close();
});

test("a frame without an end is not collected", async () => {
  const piece = new TextEncoder().encode(`data: ${"x".repeat(2 ** 20)}\n`);
  async function* lines() {
    for (;;) yield piece;
  }
  async function* oneLine() {
    for (;;) yield piece.slice(0, -1);
  }
  for (const chunks of [lines(), oneLine()]) {
    await assert.rejects(async () => {
      for await (const each of framesOf(chunks)) assert.fail(each);
    }, /larger than 64 MiB/);
  }
});

for (const broken of [
  "nonsense\r\n\r\n",
  "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
  "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  `HTTP/1.1 200 OK\r\nx: ${"y".repeat(2 ** 20)}\r\n\r\n`,
]) {
  test(`an answer that is no HTTP is an error of the library: ${JSON.stringify(broken.slice(0, 40))}`, async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write(broken));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = new DevoraClient({ apiKey: "k", baseUrl: `http://127.0.0.1:${server.address().port}`, maxRetries: 1, timeout: 5000, backoff: { initial: 1 } });
    await assert.rejects(client.agents.list(), DevoraError);
    server.close();
  });
}

test("a header that would become two is refused", async () => {
  const client = new DevoraClient({ apiKey: " k\n", baseUrl: "http://mock", fetch: () => assert.fail("it was sent") });
  for (const headers of [{ "X-A": "b\r\nX-C: d" }, { "X-A": "é" }, { "X A": "b" }, { "X\n": "b" }]) {
    assert.throws(() => new DevoraClient({ apiKey: "k", headers }), InvalidRequestError);
    await assert.rejects(client.agents.list({ headers }), InvalidRequestError);
  }
  await assert.rejects(client.agents.execute({ agentId: "a", input: {} }, { idempotencyKey: "a\r\nb" }), /Idempotency-Key/);
});

test("a base URL with a password, a query or spaces is refused without its password", () => {
  for (const baseUrl of ["https://user:secret@host/v1", "https://secret@host", "https://host/v1?a=b", "https://host/v1#x", "http://host /v1", "http://host\r\nX: y", "https://user:se/secret@host", "https://user:se#secret@host/v1", "user:secret@host", "https://host/v1?key=secret"]) {
    assert.throws(
      () => new DevoraClient({ apiKey: "k", baseUrl }),
      (error) => error.code === "invalid_base_url" && !error.message.includes("secret"),
    );
  }
});

test("a field called __proto__ is a field like any other", () => {
  const result = fromWire(JSON.parse('{"a": {"__proto__": {"polluted": true}}, "__proto__": {"polluted": true}}'));
  assert.equal(result.polluted, undefined);
  assert.equal(result.a.polluted, undefined);
});

test("a call is not ended by a time that no timer can hold", async () => {
  const answer = async () => new Response('{"agents": []}', { headers: JSON_TYPE });
  const client = new DevoraClient({ apiKey: "k", baseUrl: "http://mock", fetch: answer, timeout: Infinity });
  assert.deepEqual((await client.agents.list()).agents, []);
});

test("the clock of the computer may jump in the middle of a call", async () => {
  const now = Date.now;
  const answer = async () => {
    Date.now = () => now() + 3_600_000;
    return new Response('{"error": {"code": "x", "message": "y"}}', { status: 503 });
  };
  const client = new DevoraClient({ apiKey: "k", baseUrl: "http://mock", fetch: answer, backoff: { initial: 1 } });
  let retries = 0;
  try {
    await assert.rejects(new DevoraClient({ apiKey: "k", baseUrl: "http://mock", fetch: answer, backoff: { initial: 1 }, onRetry: () => (retries += 1) }).agents.list());
    assert.equal(retries, 2);
    await assert.rejects(client.agents.list(), { status: 503 });
  } finally {
    Date.now = now;
  }
});

const SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const HEADERS = { "webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x" };
for (const [body, headers] of [
  ["\ud800", HEADERS],
  [new Uint8Array([0xff, 0xfe]), HEADERS],
  ["{}", { ...HEADERS, "webhook-id": "\ud800" }],
  ["{}", { ...HEADERS, "webhook-signature": `v1,\ud800 v1, ,v1, v1a,é ${"v1,x ".repeat(10_000)}` }],
  ["{}", { ...HEADERS, "webhook-signature": 5 }],
  ["{}", { ...HEADERS, "webhook-timestamp": undefined }],
  ...["-1", "+1", "1e3", "١", "0x1", "1 ", "9".repeat(400)].map((text) => ["{}", { ...HEADERS, "webhook-timestamp": text }]),
]) {
  test(`a hostile delivery is not verified: ${JSON.stringify(headers).slice(0, 100)}`, async () => {
    await assert.rejects(unwrapWebhook(body, headers, SECRET, { now: new Date(1000) }), WebhookVerificationError);
    assert.equal(await verifyWebhook(body, "sha256=\ud800é", SECRET), false);
  });
}

test("a body that was parsed already is refused by type", async () => {
  await assert.rejects(unwrapWebhook({}, HEADERS, SECRET, { now: new Date(1000) }), /raw body/);
});
