import assert from "node:assert/strict";
import { test } from "node:test";

import { APITimeoutError, AuthenticationError, DevoraClient, JobCancelled, JobFailed, NotFoundError } from "@devora/sdk";
import { eventually, fault, json, withServer } from "./server.mjs";

const JOB = {
  job_id: "job_1",
  agent_id: "a",
  status: "completed",
  state: "COMPLETED",
  output: { status: "success", output: "# Done", deliverables: [{ path: "a.md", media_type: "text/markdown", content: "x" }], metadata: {} },
  error: null,
  metrics: { total_tokens: 7 },
  input: {},
  links: {},
};
const RUNNING = { ...JOB, status: "running", state: "RUNNING", output: null };
const ACCEPTED = { job_id: "job_1", status: "queued", agent_id: "a", created_at: "", eta_seconds: 1, webhook_url: null, links: {} };

const clientOf = (server, options = {}) =>
  new DevoraClient({ apiKey: "dvr_sk_test", baseUrl: server.url, backoff: { initial: 5 }, webSocket: false, logLevel: "off", ...options });

const event = (number, more = {}) => ({
  id: `run:${number}`,
  type: "job_progress",
  name: "agent.completed",
  job_id: "job_1",
  status: "running",
  state: "RUNNING",
  progress: number,
  current_step: "a",
  message: "",
  timestamp: "",
  data: {},
  ...more,
});
const LAST = event(99, { type: "job_completed", name: "job.completed", status: "completed", state: "COMPLETED", progress: 100 });
const frame = (body) => `event: ${body.type}\ndata: ${JSON.stringify(body)}\n${body.id ? `id: ${body.id}\n` : ""}\n`;

const path = (request) => new URL(request.url, "http://x").pathname;
const streamOf = (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write('event: snapshot\ndata: {"job_id":"job_1"}\n\n');
};

test("a blocking call returns the result with its deliverables", async () => {
  await withServer((_, response) => json(response, 200, JOB), async (server) => {
    const result = await clientOf(server).agents.execute({ agentId: "a", input: { task_type: "prd" }, config: { maxTokens: 5 } });
    assert.equal(result.jobId, "job_1");
    assert.equal(result.output.output, "# Done");
    assert.equal(result.deliverables[0].mediaType, "text/markdown");
    assert.equal(result.metrics.totalTokens, 7);
    assert.equal(result.requestId, "req_test");
    assert.deepEqual(server.requests[0].body, { input: { task_type: "prd" }, config: { max_tokens: 5 }, async: false });
  });
});

test("a blocking call whose wait ran out at the server waits for that job, and starts no other", async () => {
  const handler = (request, response, count) => {
    if (request.method === "POST") return fault(response, 503, "service_unavailable", { details: { job_id: "job_1" } }, { "Retry-After": "5" });
    return json(response, 200, count < 4 ? RUNNING : JOB);
  };
  await withServer(handler, async (server) => {
    const result = await clientOf(server).workflows.run({ workflowId: "w", input: {} });
    assert.equal(result.status, "completed");
    assert.equal(server.requests.filter((request) => request.method === "POST").length, 1);
    assert.match(server.requests[1].url, /^\/v1\/jobs\/job_1\?wait=30&until=end$/);
  });
});

test("a blocking call whose answer is lost finds its job by the same key and waits for it", async () => {
  const handler = (request, response, count) => {
    if (count === 1) return request.socket.destroy();
    return request.method === "POST" ? json(response, 202, ACCEPTED) : json(response, 200, JOB);
  };
  await withServer(handler, async (server) => {
    const result = await clientOf(server).agents.execute({ agentId: "a", input: {} });
    assert.equal(result.jobId, "job_1");
    const [first, second] = server.requests;
    assert.equal(first.headers["idempotency-key"], second.headers["idempotency-key"]);
    assert.equal(second.body.async, true);
  });
});

test("a blocking call outlasts a server that is away for longer than its retries", async () => {
  const handler = (request, response, count) => {
    if (count < 6) return count % 2 ? request.socket.destroy() : fault(response, 502, "bad_gateway");
    return json(response, 200, JOB);
  };
  await withServer(handler, async (server) => {
    await clientOf(server).agents.execute({ agentId: "a", input: {} });
    assert.equal(new Set(server.requests.map((request) => request.headers["idempotency-key"])).size, 1);
    assert.equal(server.requests.length, 6);
  });
  await withServer((request) => request.socket.destroy(), async (server) => {
    await assert.rejects(clientOf(server).agents.execute({ agentId: "a", input: {} }, { maxRetries: 0 }), { code: "connection_error" });
    assert.equal(server.requests.length, 1);
  });
  // Nobody listens: no request was sent, so that nothing can go on.
  const nobody = new DevoraClient({ apiKey: "k", baseUrl: "http://127.0.0.1:9", backoff: { initial: 1 } });
  await assert.rejects(nobody.agents.execute({ agentId: "a", input: {} }), { code: "connection_error" });
});

test("failed and cancelled jobs throw, with the job", async () => {
  const failed = { ...RUNNING, status: "failed", error: { type: "provider_rejected", message: "no", step: "a", agent: "a", retryable: false } };
  await withServer((_, response) => json(response, 200, failed), async (server) => {
    const client = clientOf(server);
    for (const call of [() => client.jobs.wait("job_1"), () => client.jobs.result("job_1"), () => client.agents.execute({ agentId: "a", input: {} })]) {
      const error = await call().catch((caught) => caught);
      assert.ok(error instanceof JobFailed);
      assert.deepEqual([error.jobId, error.code, error.error.message, error.requestId], ["job_1", "provider_rejected", "no", "req_test"]);
    }
  });
  await withServer((_, response) => json(response, 200, { ...RUNNING, status: "cancelled" }), async (server) => {
    await assert.rejects(clientOf(server).jobs.wait("job_1"), JobCancelled);
  });
});

test("wait rides out restarts and limits, and has a deadline after which the job goes on", async () => {
  const handler = (request, response, count) => {
    if (count === 1) return request.socket.destroy();
    if (count === 2) return fault(response, 503, "service_unavailable");
    if (count === 3) return fault(response, 429, "rate_limit_exceeded", {}, { "Retry-After": "0" });
    return json(response, 200, JOB);
  };
  await withServer(handler, async (server) => {
    await clientOf(server, { maxRetries: 0 }).jobs.wait("job_1", { timeout: 20000 });
    assert.equal(server.requests.length, 4);
  });
  await withServer((_, response) => json(response, 200, RUNNING), async (server) => {
    const error = await clientOf(server).jobs.wait("job_1", { timeout: 50 }).catch((caught) => caught);
    assert.ok(error instanceof APITimeoutError);
    assert.equal(error.jobId, "job_1");
  });
  await withServer((_, response) => fault(response, 404, "not_found"), async (server) => {
    const error = await clientOf(server).jobs.wait("job_1").catch((caught) => caught);
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.details.job_id, "job_1");
  });
  await withServer((_, response) => fault(response, 500, "internal_error"), async (server) => {
    await assert.rejects(clientOf(server).jobs.wait("job_1"), { status: 500 });
    assert.equal(server.requests.length, 3);
  });
  await withServer((_, response) => fault(response, 429, "rate_limit_exceeded", {}, { "Retry-After": "60" }), async (server) => {
    await assert.rejects(clientOf(server).jobs.wait("job_1", { timeout: 5000 }), { status: 429, retryAfter: 60 });
  });
});

test("the result of a job that has not ended is refused by name", async () => {
  await withServer((_, response) => json(response, 200, RUNNING), async (server) => {
    const job = clientOf(server).jobs.of("job_1");
    assert.equal(await job.isComplete(), false);
    assert.equal((await job.getStatus()).state, "RUNNING");
    await assert.rejects(job.getResult(), { code: "not_ended" });
  });
});

test("a stream goes on after its cursor, drops what comes twice, and skips frames without losing its place", async () => {
  const handler = (request, response, count) => {
    const after = request.headers["last-event-id"];
    streamOf(response);
    if (count === 1) {
      response.write(frame(event(1)) + ": ping\n\n" + frame(event(2)));
      return setTimeout(() => request.socket.destroy(), 5);
    }
    if (count === 2) {
      assert.equal(after, "run:2");
      response.write(frame(event(2)) + frame(event(3)));
      response.write(`event: stream_error\ndata: ${JSON.stringify({ error: { code: "service_unavailable", message: "away" } })}\n\n`);
      return response.end();
    }
    assert.equal(after, "run:3");
    return response.end(frame({ ...event(4), name: "signal.unheard_of", type: "brand_new" }) + frame(LAST));
  };
  await withServer(handler, async (server) => {
    const seen = [];
    for await (const { id, type, currentStep } of clientOf(server).jobs.stream("job_1")) seen.push([id, type, currentStep]);
    assert.deepEqual(seen.map(([id]) => id), ["run:1", "run:2", "run:3", "run:4", "run:99"]);
    assert.deepEqual(seen[3], ["run:4", "brand_new", "a"]);
    assert.equal(server.requests.length, 3);
    await eventually(() => server.connections.size <= 1, "connections are released");
  });
});

test("a stream that goes quiet is opened again", async () => {
  const handler = (_, response, count) => {
    streamOf(response);
    if (count > 1) response.end(frame(LAST));
  };
  await withServer(handler, async (server) => {
    const seen = [];
    for await (const { id } of clientOf(server).jobs.stream("job_1", { stallTimeout: 50 })) seen.push(id);
    assert.deepEqual(seen, ["run:99"]);
    assert.ok(server.requests.length >= 2); // more, where the machine is slow
  });
});

test("a stream that is not even answered is opened again", async () => {
  const handler = (_, response, count) => {
    if (count === 1) return; // the request hangs
    streamOf(response);
    response.end(frame(LAST));
  };
  await withServer(handler, async (server) => {
    for await (const { id } of clientOf(server).jobs.stream("job_1", { stallTimeout: 50 })) assert.equal(id, "run:99");
    await eventually(() => server.connections.size <= 1, "the hanging connection is released");
  });
});

test("a stream waits as long as the server asks, and takes its word for another attempt", async () => {
  const busy = (_, response, count) => {
    if (count === 1) return fault(response, 503, "service_unavailable", {}, { "Retry-After": "1" });
    streamOf(response);
    return response.end(frame(LAST));
  };
  await withServer(busy, async (server) => {
    const started = Date.now();
    for await (const { id } of clientOf(server).jobs.stream("job_1")) assert.equal(id, "run:99");
    assert.ok(Date.now() - started >= 990);
  });
  await withServer((_, response) => fault(response, 503, "service_unavailable", {}, { "x-should-retry": "false" }), async (server) => {
    await assert.rejects(clientOf(server).jobs.stream("job_1").next(), { status: 503 });
    assert.equal(server.requests.length, 1);
  });
});

test("a frame that is not JSON is an error at once", async () => {
  const handler = (_, response) => {
    streamOf(response);
    response.end("event: job_started\ndata: <html>\n\n");
  };
  await withServer(handler, async (server) => {
    await assert.rejects(clientOf(server).jobs.stream("job_1").next(), /not JSON: <html>/);
    assert.equal(server.requests.length, 1);
  });
});

for (const status of [400, 401, 403, 404, 410, 422]) {
  test(`a stream that is refused with ${status} throws`, async () => {
    await withServer((_, response) => fault(response, status, "x"), async (server) => {
      await assert.rejects(async () => {
        for await (const item of clientOf(server).jobs.stream("job_1")) assert.fail(item.id);
      }, { status });
      assert.equal(server.requests.length, 1);
    });
  });
}

test("a revoked key ends a stream", async () => {
  const handler = (_, response) => {
    streamOf(response);
    response.end(`event: stream_error\ndata: ${JSON.stringify({ error: { code: "authentication_failed", message: "revoked" } })}\n\n`);
  };
  await withServer(handler, async (server) => {
    await assert.rejects(async () => {
      for await (const item of clientOf(server).jobs.stream("job_1")) assert.fail(item.id);
    }, AuthenticationError);
  });
});

test("a stream after the last event of an ended job ends", async () => {
  const handler = (request, response) => {
    if (request.headers.accept === "text/event-stream") {
      streamOf(response);
      return response.end();
    }
    return json(response, 200, { events: [], next: null, has_more: false });
  };
  await withServer(handler, async (server) => {
    for await (const item of clientOf(server).jobs.stream("job_1", { after: "run:99" })) assert.fail(item.id);
    assert.equal(server.requests.length, 2);
  });
});

test("a stream of an ended job whose events are not kept any more ends", async () => {
  const handler = (request, response) => {
    if (request.headers.accept === "text/event-stream") {
      streamOf(response);
      return response.end();
    }
    return path(request).endsWith("/events") ? json(response, 200, { events: [], next: null, has_more: false }) : json(response, 200, JOB);
  };
  await withServer(handler, async (server) => {
    for (const after of [undefined, "now"]) {
      for await (const item of clientOf(server).jobs.stream("job_1", { after })) assert.fail(item.id);
    }
  });
});

test("a stream from now on begins at a cursor, so that a break at once loses nothing", async () => {
  const handler = (request, response, count) => {
    if (count === 1) return json(response, 200, { events: [], next: "run:5", has_more: false });
    assert.equal(request.headers["last-event-id"], "run:5");
    if (count === 2) return request.socket.destroy();
    streamOf(response);
    return response.end(frame(LAST));
  };
  await withServer(handler, async (server) => {
    const seen = [];
    for await (const { id } of clientOf(server).jobs.stream("job_1", { after: "now" })) seen.push(id);
    assert.deepEqual(seen, ["run:99"]);
  });
});

test("ten thousand events and a frame of megabytes pass, in pieces that cut letters", async () => {
  const long = "é🚲".repeat(500_000);
  const handler = (_, response) => {
    streamOf(response);
    const bytes = Buffer.from(
      Array.from({ length: 10_000 }, (_, index) => frame(event(index, { message: "é" }))).join("") +
        frame(event(10_000, { message: long })).replaceAll("\n", "\r\n") +
        frame({ ...LAST, id: "run:last" }),
    );
    for (let at = 0; at < bytes.length; at += 65_521) response.write(bytes.subarray(at, at + 65_521));
    response.end();
  };
  await withServer(handler, async (server) => {
    let count = 0;
    for await (const item of clientOf(server).jobs.stream("job_1")) {
      if (item.id === "run:10000") assert.equal(item.message, long);
      else if (item.id !== "run:last") assert.equal(item.message, "é");
      count += 1;
    }
    assert.equal(count, 10_002);
  });
});

test("leaving the loop, and an abort, release the connection", async () => {
  const handler = (_, response) => {
    streamOf(response);
    response.write(frame(event(1)) + frame(event(2)));
  };
  await withServer(handler, async (server) => {
    for await (const item of clientOf(server).jobs.stream("job_1")) {
      assert.equal(item.id, "run:1");
      break;
    }
    await eventually(() => server.connections.size === 0, "the connection is released");
    const controller = new AbortController();
    await assert.rejects(async () => {
      for await (const item of clientOf(server).jobs.stream("job_1", { signal: controller.signal })) {
        assert.equal(item.id, "run:1"); // the second event is here already, and is not yielded any more
        controller.abort(new Error("enough"));
      }
    }, /enough/);
    await eventually(() => server.connections.size === 0, "the connection is released");
  });
});

test("listeners hear of progress and of the end, also when they come late", async () => {
  const handler = (request, response) => {
    if (request.headers.accept !== "text/event-stream") return json(response, 200, JOB);
    streamOf(response);
    return response.end(frame(event(1)) + frame(event(33)) + frame(LAST));
  };
  await withServer(handler, async (server) => {
    const job = clientOf(server).jobs.of("job_1");
    const progress = [];
    const result = await new Promise((resolve, reject) => {
      job.on("progress", (update) => progress.push(update.progress)).on("completed", resolve).on("error", reject);
    });
    assert.deepEqual(progress, [1, 33, 100]);
    assert.equal(result.deliverables.length, 1);
    assert.deepEqual(await new Promise((resolve) => job.on("completed", resolve)), result);
    assert.throws(() => job.on("complete", () => undefined), /expected progress, completed or error/);
  });
});

test("listeners hear of a failure, and close releases the connection", async () => {
  await withServer((_, response) => fault(response, 404, "not_found"), async (server) => {
    const error = await new Promise((resolve) => clientOf(server).jobs.of("job_1").on("error", resolve));
    assert.ok(error instanceof NotFoundError);
  });
  await withServer((_, response) => streamOf(response), async (server) => {
    const job = clientOf(server).jobs.of("job_1").on("progress", () => assert.fail());
    await eventually(() => server.requests.length === 1, "the stream");
    job.close();
    await eventually(() => server.connections.size === 0, "the connection is released");
  });
});

test("where WebSockets are refused, listeners are served by the event stream", async () => {
  const handler = (request, response) => {
    if (path(request) === "/v1/ws") return response.writeHead(404).end();
    if (request.headers.accept !== "text/event-stream") return json(response, 200, JOB);
    streamOf(response);
    return response.end(frame(LAST));
  };
  await withServer(handler, async (server) => {
    server.server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"));
    const client = clientOf(server, { webSocket: undefined });
    const result = await new Promise((resolve, reject) => client.jobs.of("job_1").on("completed", resolve).on("error", reject));
    assert.equal(result.status, "completed");
  });
});
