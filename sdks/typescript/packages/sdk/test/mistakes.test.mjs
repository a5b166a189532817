// Mistakes of callers, and single wrong values of servers, end with an error that says what is wrong.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";

import { APITimeoutError, DevoraClient, DevoraError, InvalidRequestError, JobCancelled, signWebhook, unwrapWebhook, verifyWebhook, WebhookVerificationError } from "@devora/sdk";
import { openNodeSocket } from "../dist/esm/node-socket.js";
import { eventually, json, withServer } from "./server.mjs";

const RUNNING = { job_id: "job_1", agent_id: "a", status: "running", state: "RUNNING", output: null, error: null, metrics: {}, input: {}, reason: null };
const ACCEPTED = { job_id: "job_1", status: "queued", agent_id: "a", created_at: "", eta_seconds: 1, webhook_url: null, links: {} };
const APPROVAL = { code: "waiting_for_approval", message: "step cutover waits for approval", step: "cutover" };

const mocked = (answer, options = {}) =>
  new DevoraClient({ apiKey: "k", baseUrl: "http://mock", fetch: answer, maxRetries: 0, backoff: { initial: 1, max: 1 }, webSocket: false, logLevel: "off", ...options });
const answering = (body, status = 200) => async () => new Response(JSON.stringify(body), { status });
const all = async (events) => {
  for await (const event of events) assert.ok(event);
};

test("a blocking start whose deadline is shorter than the server's wait names its job, and why it is open", async () => {
  const handler = (request, response) => {
    if (request.method === "POST") return json(response, 202, ACCEPTED);
    const wait = 1000 * Number(new URL(request.url, "http://x").searchParams.get("wait"));
    setTimeout(() => json(response, 200, { ...RUNNING, reason: APPROVAL }), wait);
  };
  await withServer(handler, async (server) => {
    const client = new DevoraClient({ apiKey: "k", baseUrl: server.url, backoff: { initial: 5 } });
    const call = client.agents.execute({ agentId: "a", input: {}, webhookUrl: "https://x.example" }, { timeout: 300 });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof APITimeoutError);
      assert.equal(error.jobId, "job_1");
      assert.match(error.message, /step cutover waits for approval/);
      return true;
    });
    const starts = server.requests.filter(({ method }) => method === "POST");
    assert.deepEqual(starts.map(({ body }) => body), [{ input: {}, async: true }]);
  });
});

test("a wait shows at once what the job needs a person for", async () => {
  const questions = [];
  const answer = async (url) => {
    questions.push(new URL(url).searchParams.get("until"));
    const body = questions.length === 1 ? { ...RUNNING, reason: APPROVAL } : { ...RUNNING, status: "completed", output: { output: "x", deliverables: [] } };
    return new Response(JSON.stringify(body));
  };
  const seen = [];
  await mocked(answer).jobs.wait("job_1", { onUpdate: ({ reason }) => seen.push(reason.code) });
  assert.deepEqual([seen, questions], [["waiting_for_approval"], ["attention", "end"]]);
});

for (const [name, call, kind] of [
  ["a cursor that no header can carry", (client) => all(client.jobs.stream("job_1", { after: "a\nb" })), InvalidRequestError],
  ["a cursor of the account that no header can carry", (client) => all(client.events.stream({ after: "é" })), InvalidRequestError],
]) {
  test(`a stream ends at ${name}`, async () => {
    await assert.rejects(call(mocked(() => assert.fail("it was sent"))), kind);
  });
}

test("a stream ends with the error of the function that gives the key", async () => {
  const failure = new RangeError("no key today");
  const client = mocked(() => assert.fail("it was sent"), { apiKey: () => Promise.reject(failure) });
  await assert.rejects(all(client.jobs.stream("job_1")), failure);
  await assert.rejects(all(client.events.stream()), failure);
});

test("an id of an event that no header can carry does not become the cursor", async () => {
  const sent = [];
  const event = (id, type) => `data: ${JSON.stringify({ id, type, job_id: "job_1", data: {} })}\n\n`;
  const answer = async (_, { headers }) => {
    sent.push(headers.get("last-event-id"));
    const body = sent.length === 1 ? event("r:1", "job_progress") + event("é", "job_progress") : event("r:2", "job_completed");
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const seen = [];
  for await (const { id } of mocked(answer).jobs.stream("job_1")) seen.push(id);
  assert.deepEqual([seen, sent], [["r:1", "é", "r:2"], [null, "r:1"]]);
});

test("a list whose cursor does not move on is an error", async () => {
  let requests = 0;
  const answer = () => {
    requests += 1;
    return answering({ jobs: [], next: "c", has_more: true })();
  };
  await assert.rejects(all(mocked(answer).jobs.list()), { code: "unexpected_response" });
  assert.equal(requests, 2);
});

test("an answer that is no job ends a wait", async () => {
  for (const body of [{ ...RUNNING, status: ["completed"] }, { status: "running" }, { ...RUNNING, status: "completed", output: 5 }]) {
    await assert.rejects(mocked(answering(body)).jobs.wait("job_1"), { code: "unexpected_response" });
  }
});

test("a cancelled job says why", async () => {
  const job = { ...RUNNING, status: "cancelled", error: { type: "cancelled", message: "too dear" } };
  await assert.rejects(mocked(answering(job)).jobs.wait("job_1"), (error) => error instanceof JobCancelled && /too dear/.test(error.message));
});

test("controls take a text or an object, and lists take the labels of a start", async () => {
  const sent = [];
  const client = mocked(async (url, { body }) => {
    sent.push(body === undefined ? new URL(url).searchParams.getAll("label") : JSON.parse(body));
    return answering({ jobs: [] })();
  });
  await client.jobs.cancel("job_1", { reason: "a" });
  await client.jobs.cancel("job_1", "b");
  await client.jobs.approve("job_1", "c");
  await client.jobs.reject("job_1", { step: "s", note: "d" });
  await client.jobs.pause("job_1", { note: "e" });
  await client.jobs.list({ labels: { team: "x" }, label: ["y:z"] });
  assert.deepEqual(sent, [{ reason: "a" }, { reason: "b" }, { note: "c" }, { step: "s", note: "d" }, { note: "e" }, ["team:x", "y:z"]]);
});

test("errors of a wrong address say what to do", async () => {
  const { server, url } = await socketServer("200 OK", () => undefined);
  server.close();
  await once(server, "close");
  const baseUrl = url.replace("ws", "http");
  await assert.rejects(new DevoraClient({ apiKey: "k", baseUrl, maxRetries: 0 }).agents.list(), /127\.0\.0\.1:\d+.*is the server running\? DEVORA_BASE_URL/);
  await assert.rejects(mocked(async () => new Response("<html>")).agents.list(), /not JSON: <html>; check the base URL/);
});

test("the log has one visible line for each message, whatever the server says", async () => {
  const lines = [];
  const logger = { debug: (line) => lines.push(line), info: (line) => lines.push(line), warn: (line) => lines.push(line) };
  const client = mocked(answering({ error: { code: "x", message: "a\ndevora: forged\u001b[2J\u202e" } }, 503), { maxRetries: 1, logger, logLevel: "info" });
  await assert.rejects(client.agents.list());
  assert.equal(lines.length, 1);
  assert.doesNotMatch(lines[0], /[\n\u001b\u202e]/);
  assert.match(lines[0], /a\\u\{a\}devora: forged\\u\{1b\}/);
});

test("data of a delivery keeps its keys; missing headers, secrets and times verify nothing", async () => {
  const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
  const body = JSON.stringify({ event: "webhook.test", job_id: null, timestamp: "", data: { webhook_id: "wh_1" } });
  const headers = await signWebhook(body, secret, { id: "evt_1" });
  assert.deepEqual((await unwrapWebhook(body, headers, secret)).data, { webhook_id: "wh_1" });
  await assert.rejects(unwrapWebhook(body, undefined, secret), WebhookVerificationError);
  await assert.rejects(unwrapWebhook(body, headers, undefined), WebhookVerificationError);
  await assert.rejects(unwrapWebhook(body, headers, secret, { now: new Date(NaN) }), TypeError);
  await assert.rejects(unwrapWebhook(body, headers, secret, { tolerance: NaN }), TypeError);
  assert.equal(await verifyWebhook(body, headers["X-Devora-Signature"], undefined), false);
});

/** A server of sockets: `upgraded` writes raw frames once the connection is one. */
async function socketServer(status, upgraded) {
  const open = new Set();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => undefined);
    socket.once("data", (request) => {
      const nonce = /sec-websocket-key: (.*)\r/i.exec(request.toString())[1];
      const accept = createHash("sha1").update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      socket.write(`HTTP/1.1 ${status}\r\nConnection: ${status.startsWith("101") ? "Upgrade\r\nUpgrade: websocket" : "keep-alive\r\nTransfer-Encoding: chunked"}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
      upgraded(socket);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, open, url: `ws://127.0.0.1:${server.address().port}` };
}

test("a socket that is answered with anything but 101 is released", async () => {
  const { server, open, url } = await socketServer("200 OK", () => undefined);
  const socket = openNodeSocket()(url);
  await new Promise((resolve) => (socket.onclose = resolve));
  await eventually(() => open.size === 0, "the connection is released");
  server.close();
});

test("frames arrive whole however they are cut, and a message that no memory should hold ends the socket", async () => {
  const text = "é".repeat(2 ** 18);
  const bytes = Buffer.from(text);
  const head = (first, length) => {
    const header = Buffer.alloc(10);
    header.set([first, 127]);
    header.writeBigUInt64BE(BigInt(length), 2);
    return header;
  };
  const { server, url } = await socketServer("101 Switching Protocols", (socket) => {
    socket.write(Buffer.concat([Buffer.from([0x81, 2]), Buffer.from("{}"), head(0x81, bytes.length).subarray(0, 5)]));
    const rest = Buffer.concat([head(0x81, bytes.length).subarray(5), bytes]);
    for (let at = 0; at < rest.length; at += 1000) socket.write(rest.subarray(at, at + 1000));
    const piece = Buffer.concat([head(0x01, 2 ** 16), Buffer.alloc(2 ** 16)]);
    socket.write(piece);
    socket.write(head(0x80, 2 ** 26));
  });
  const socket = openNodeSocket()(url);
  const messages = [];
  socket.onmessage = ({ data }) => messages.push(data);
  const { code } = await new Promise((resolve) => (socket.onclose = resolve));
  assert.deepEqual([messages.length, messages[0], messages[1] === text, code], [2, "{}", true, 1009]);
  server.close();
});
