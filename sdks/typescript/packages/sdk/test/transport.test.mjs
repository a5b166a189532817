import assert from "node:assert/strict";
import { test } from "node:test";

import {
  APIConnectionError,
  APITimeoutError,
  AuthenticationError,
  DevoraClient,
  DevoraError,
  InvalidRequestError,
  NotFoundError,
  RateLimitError,
  ServiceUnavailableError,
} from "@devora/sdk";
import { eventually, fault, json, withServer } from "./server.mjs";

const KEY = "dvr_sk_test_secret";
const AGENTS = { agents: [], total: 0, available: 0, unavailable: 0 };

const clientOf = (server, options = {}) => new DevoraClient({ apiKey: KEY, baseUrl: server.url, backoff: { initial: 5 }, ...options });

test("a client without a key, or with a wrong base URL, is refused when it is made", () => {
  delete process.env.DEVORA_API_KEY;
  assert.throws(() => new DevoraClient(), /no API key: .*DEVORA_API_KEY/);
  assert.throws(() => new DevoraClient({ apiKey: "with space" }), /invalid characters/);
  assert.throws(() => new DevoraClient({ apiKey: KEY, baseUrl: "localhost:8000" }), /expected something like http/);
  assert.throws(() => new DevoraClient({ apiKey: KEY, baseUrl: "nonsense" }), /invalid base URL "nonsense"/);
});

test("key and base URL come from the environment", async () => {
  await withServer((_, response) => json(response, 200, AGENTS), async (server) => {
    process.env.DEVORA_API_KEY = KEY;
    process.env.DEVORA_BASE_URL = `${server.url}/v1/`;
    try {
      await new DevoraClient().agents.list();
    } finally {
      delete process.env.DEVORA_API_KEY;
      delete process.env.DEVORA_BASE_URL;
    }
    assert.equal(server.requests[0].url, "/v1/agents");
    assert.equal(server.requests[0].headers.authorization, `Bearer ${KEY}`);
    assert.match(server.requests[0].headers["user-agent"], /^devora-typescript\/1\.0\.0 node\/[\d.]+ \w+$/);
  });
});

for (const suffix of ["", "/", "/v1", "/v1/"]) {
  test(`the base URL may end in ${JSON.stringify(suffix)}`, async () => {
    await withServer((_, response) => json(response, 200, AGENTS), async (server) => {
      await clientOf(server, { baseUrl: `${server.url}/prefix${suffix}` }).agents.list();
      assert.equal(server.requests[0].url, "/prefix/v1/agents");
    });
  });
}

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`${status} is tried again`, async () => {
    await withServer(
      (_, response, count) => (count === 1 ? fault(response, status, "x") : json(response, 200, AGENTS)),
      async (server) => {
        const retries = [];
        await clientOf(server, { onRetry: (retry) => retries.push(retry) }).agents.list();
        assert.deepEqual(server.requests.map((request) => request.headers["x-devora-retry-count"]), [undefined, "1"]);
        assert.deepEqual(retries.map(({ method, path, retry }) => [method, path, retry]), [["GET", "/v1/agents", 1]]);
        assert.equal(retries[0].error.status, status);
      },
    );
  });
}

test("the last error is thrown after the retries, with all that the API says", async () => {
  await withServer((_, response) => fault(response, 503, "service_unavailable", { details: { part: "temporal" } }), async (server) => {
    const error = await clientOf(server, { maxRetries: 3 }).agents.list().catch((caught) => caught);
    assert.ok(error instanceof ServiceUnavailableError && error instanceof DevoraError);
    assert.equal(server.requests.length, 4);
    assert.deepEqual([error.status, error.code, error.message, error.requestId], [503, "service_unavailable", "it is service_unavailable", "req_test"]);
    assert.deepEqual(error.details, { part: "temporal" });
    assert.equal(error.body.error.code, "service_unavailable");
  });
});

test("x-should-retry has the last word", async () => {
  const handler = (_, response) => fault(response, 503, "service_unavailable", {}, { "x-should-retry": "false" });
  await withServer(handler, async (server) => {
    await assert.rejects(clientOf(server).agents.list(), ServiceUnavailableError);
    assert.equal(server.requests.length, 1);
  });
  const once = (_, response, count) =>
    count === 1 ? fault(response, 400, "invalid_request", {}, { "x-should-retry": "true" }) : json(response, 200, AGENTS);
  await withServer(once, async (server) => {
    await clientOf(server).agents.list();
    assert.equal(server.requests.length, 2);
  });
});

test("Retry-After is obeyed, as seconds and as a date", async () => {
  const dated = { Date: "Thu, 26 Nov 2026 12:00:00 GMT", "Retry-After": "Thu, 26 Nov 2026 12:00:01 GMT" };
  for (const headers of [{ "Retry-After": "1" }, dated]) {
    const handler = (_, response, count) =>
      count === 1 ? fault(response, 429, "rate_limit_exceeded", {}, headers) : json(response, 200, AGENTS);
    await withServer(handler, async (server) => {
      let delay;
      await clientOf(server, { onRetry: (retry) => (delay = retry.delay) }).agents.list();
      assert.equal(delay, 1000);
    });
  }
});

test("a Retry-After beyond the deadline is thrown at once", async () => {
  await withServer((_, response) => fault(response, 429, "rate_limit_exceeded", { retry_after: 3600 }, { "Retry-After": "3600" }), async (server) => {
    const error = await clientOf(server).agents.list().catch((caught) => caught);
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.retryAfter, 3600);
    assert.equal(server.requests.length, 1);
  });
});

test("a broken connection is tried again, before an answer and in the middle of one", async () => {
  const handler = (request, response, count) => {
    if (count === 1) return request.socket.destroy();
    if (count === 2) {
      response.writeHead(200, { "Content-Type": "application/json" });
      response.write('{"agents": [');
      return setTimeout(() => request.socket.destroy(), 5);
    }
    return json(response, 200, AGENTS);
  };
  await withServer(handler, async (server) => {
    assert.equal((await clientOf(server).agents.list()).total, 0);
    assert.equal(server.requests.length, 3);
  });
});

test("nobody listens: a connection error that names the server", async () => {
  const client = new DevoraClient({ apiKey: KEY, baseUrl: "http://127.0.0.1:9", maxRetries: 1, backoff: { initial: 1 } });
  const error = await client.agents.list().catch((caught) => caught);
  assert.ok(error instanceof APIConnectionError && !(error instanceof APITimeoutError));
  assert.match(error.message, /no answer from http:\/\/127\.0\.0\.1:9/);
  assert.equal(error.status, undefined);
});

test("a POST carries one idempotency key, the same on its retries; the next call has another", async () => {
  const accepted = { job_id: "job_1", status: "queued", agent_id: "a", created_at: "", eta_seconds: 1, webhook_url: null, links: {} };
  const handler = (_, response, count) => (count === 1 ? fault(response, 503, "service_unavailable") : json(response, 202, accepted));
  await withServer(handler, async (server) => {
    const client = clientOf(server);
    await client.agents.execute({ agentId: "a", input: {}, async: true });
    await client.agents.execute({ agentId: "a", input: {}, async: true });
    await client.agents.execute({ agentId: "a", input: {}, async: true }, { idempotencyKey: "mine" });
    const keys = server.requests.map((request) => request.headers["idempotency-key"]);
    assert.equal(keys[0], keys[1]);
    assert.match(keys[0], /^[0-9a-f]{32}$/);
    assert.notEqual(keys[1], keys[2]);
    assert.equal(keys[3], "mine");
  });
});

test("GET and DELETE carry no idempotency key", async () => {
  await withServer((_, response) => response.writeHead(204).end(), async (server) => {
    assert.equal(await clientOf(server).webhooks.delete("wh_1"), undefined);
    assert.equal(server.requests[0].headers["idempotency-key"], undefined);
  });
});

test("a DELETE whose answer was lost is done when the thing is gone; one that finds nothing is refused", async () => {
  const handler = (request, response, count) => (count === 1 ? request.socket.destroy() : fault(response, 404, "not_found"));
  await withServer(handler, async (server) => {
    assert.equal(await clientOf(server).webhooks.delete("wh_1"), undefined);
    await assert.rejects(clientOf(server).webhooks.delete("wh_1"), NotFoundError);
  });
});

test("an id that would make another path is refused before it is sent", async () => {
  const client = new DevoraClient({ apiKey: KEY, baseUrl: "http://127.0.0.1:9" });
  for (const id of ["", ".", ".."]) {
    for (const call of [() => client.jobs.get(id), () => client.agents.get(id), () => client.keys.get(id), () => client.webhooks.delete(id)]) {
      await assert.rejects(async () => call(), { name: "InvalidRequestError", message: `invalid id ${JSON.stringify(id)}: expected the id of a resource` });
    }
  }
  await withServer((_, response) => json(response, 200, {}), async (server) => {
    await clientOf(server).jobs.get("a/b?c");
    assert.equal(server.requests[0].url, "/v1/jobs/a%2Fb%3Fc");
  });
});

test("the deadline holds for all attempts together", async () => {
  await withServer(
    (_, response, count) => (count === 1 ? fault(response, 503, "service_unavailable") : undefined),
    async (server) => {
      const error = await clientOf(server, { timeout: 200 }).agents.list().catch((caught) => caught);
      assert.ok(error instanceof APITimeoutError && error instanceof APIConnectionError);
      assert.match(error.message, /took longer than 200 ms/);
      await eventually(() => server.connections.size === 0, "the connection is released");
    },
  );
});

test("the caller's abort is thrown as it is, is not tried again, and releases the connection", async () => {
  await withServer(() => undefined, async (server) => {
    const controller = new AbortController();
    const call = clientOf(server).agents.list({ signal: controller.signal });
    await eventually(() => server.requests.length === 1, "the request");
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(call, (error) => error === reason);
    assert.equal(server.requests.length, 1);
    await eventually(() => server.connections.size === 0, "the connection is released");
  });
});

test("an abort during the pause before a retry ends the call", async () => {
  await withServer((_, response) => fault(response, 503, "service_unavailable", {}, { "Retry-After": "20" }), async (server) => {
    const controller = new AbortController();
    const call = clientOf(server, { onRetry: () => controller.abort() }).agents.list({ signal: controller.signal });
    await assert.rejects(call, { name: "AbortError" });
  });
});

test("a redirect is refused by name, and the key is not sent on", async () => {
  await withServer((_, response) => response.writeHead(308, { Location: "https://elsewhere.test/v1/agents" }).end(), async (server) => {
    await assert.rejects(clientOf(server).agents.list(), /redirects to https:\/\/elsewhere\.test/);
    assert.equal(server.requests.length, 1);
  });
});

test("errors have a class for each kind", async () => {
  for (const [status, kind] of [[400, InvalidRequestError], [422, InvalidRequestError], [401, AuthenticationError], [404, NotFoundError]]) {
    await withServer((_, response) => fault(response, status, "x", { details: { field: "task_type" } }), async (server) => {
      const error = await clientOf(server).agents.list().catch((caught) => caught);
      assert.ok(error instanceof kind, `${status} ${error.name}`);
      assert.equal(error.name, kind.name);
      if (kind === InvalidRequestError) assert.equal(error.field, "task_type");
      assert.equal(server.requests.length, 1);
    });
  }
});

test("an answer that is not JSON is named with its beginning", async () => {
  await withServer((_, response) => response.writeHead(502).end("<h1>Bad Gateway</h1>"), async (server) => {
    await assert.rejects(clientOf(server, { maxRetries: 0 }).agents.list(), /502: <h1>Bad Gateway/);
  });
  await withServer((_, response) => response.writeHead(200).end("<h1>Portal</h1>"), async (server) => {
    await assert.rejects(clientOf(server).agents.list(), /not JSON: <h1>Portal/);
  });
});

test("unknown fields pass through, and the wire's own names are reachable", async () => {
  await withServer((_, response) => json(response, 200, { ...AGENTS, brand_new: { deep_field: 1 } }), async (server) => {
    const { data, response, requestId, body } = await clientOf(server).agents.list().withResponse();
    assert.deepEqual(data.brandNew, { deepField: 1 });
    assert.equal(data.requestId, "req_test");
    assert.equal(JSON.stringify(data).includes("requestId"), false);
    assert.deepEqual([response.status, requestId, body.brand_new.deep_field], [200, "req_test", 1]);
  });
});

test("keys of inputs, metadata and ids are never renamed", async () => {
  const job = { job_id: "job_1", status: "completed", input: { task_type: 1 }, output: { metadata: { my_key: 2 }, deliverables: [{ media_type: "text/plain" }] } };
  await withServer((_, response) => json(response, 200, { ...job, by_agent: { my_agent: { avg_tokens: 3 } } }), async (server) => {
    const read = await clientOf(server).jobs.get("job_1");
    assert.deepEqual(read.input, { task_type: 1 });
    assert.deepEqual(read.output.metadata, { my_key: 2 });
    assert.deepEqual(read.output.deliverables, [{ mediaType: "text/plain" }]);
    assert.deepEqual(read.byAgent, { my_agent: { avgTokens: 3 } });
  });
});

test("a key may come from a function, for each request", async () => {
  await withServer((_, response, count) => (count === 1 ? fault(response, 503, "x") : json(response, 200, AGENTS)), async (server) => {
    let issued = 0;
    await clientOf(server, { apiKey: async () => `key_${(issued += 1)}` }).agents.list();
    assert.deepEqual(server.requests.map((request) => request.headers.authorization), ["Bearer key_1", "Bearer key_2"]);
  });
});

test("the debug log names method, path, status, attempt, time and request id; never key or body", async () => {
  await withServer((_, response, count) => (count === 1 ? fault(response, 503, "x") : json(response, 200, AGENTS)), async (server) => {
    const lines = [];
    const write = (line) => lines.push(line);
    const client = clientOf(server, { logLevel: "debug", logger: { debug: write, info: write, warn: write } });
    await client.request("POST", "/v1/anything", { body: { password: "hidden" } });
    const text = lines.join("\n");
    assert.match(text, /POST \/v1\/anything 503 attempt 1 [\d.]+ s request req_test/);
    assert.match(text, /POST \/v1\/anything 200 attempt 2/);
    assert.equal(text.includes(KEY) || text.includes("hidden"), false);
  });
});

test("a page iterates on by cursor, or by offset where the server has no cursor", async () => {
  const rows = Array.from({ length: 5 }, (_, index) => ({ job_id: `job_${index}` }));
  const byOffset = (request, response) => {
    const query = new URL(request.url, "http://x").searchParams;
    const offset = Number(query.get("offset") ?? 0);
    json(response, 200, { jobs: rows.slice(offset, offset + 2), total: 5, limit: 2, offset });
  };
  const byCursor = (request, response) => {
    const start = Number(new URL(request.url, "http://x").searchParams.get("after") ?? 0);
    const more = start + 2 < 5;
    json(response, 200, { jobs: rows.slice(start, start + 2), total: 5, limit: 2, offset: 0, next: more ? String(start + 2) : null, has_more: more });
  };
  for (const handler of [byOffset, byCursor]) {
    await withServer(handler, async (server) => {
      const seen = [];
      for await (const job of clientOf(server).jobs.list({ limit: 2, needsAttention: true })) seen.push(job.jobId);
      assert.deepEqual(seen, rows.map((row) => row.job_id));
      assert.equal(server.requests.length, 3);
      assert.match(server.requests[2].url, /needs_attention=true/);
      const page = await clientOf(server).jobs.list();
      assert.deepEqual([page.items.length, page.total, page.hasMore], [2, 5, true]);
    });
  }
});

test("a refused list rejects the loop, and nothing stays unhandled", async () => {
  await withServer((_, response) => fault(response, 401, "authentication_failed"), async (server) => {
    await assert.rejects(async () => {
      for await (const job of clientOf(server).jobs.list()) assert.fail(job.jobId);
    }, AuthenticationError);
    await assert.rejects(clientOf(server).agents.list().withResponse(), AuthenticationError);
  });
});
