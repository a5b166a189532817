import assert from "node:assert/strict";
import { test } from "node:test";

import { AuthenticationError, DevoraClient } from "@devora/sdk";
import { eventually, fault, withServer } from "./server.mjs";

const clientOf = (server) => new DevoraClient({ apiKey: "dvr_sk_test", baseUrl: server.url, backoff: { initial: 5 }, logLevel: "off" });

const frame = (event, id, data) => `event: ${event}\ndata: ${JSON.stringify(data)}\nid: ${id}\n\n`;
const started = (id) => frame("stream_started", id, { after: String(id) });
const end = (id) => frame("job.completed", id, { event: "job.completed", job_id: `job_${id}`, timestamp: "", data: { total_tokens: id } });
const streamOf = (response) => response.writeHead(200, { "Content-Type": "text/event-stream" });

test("the events of the account go on after their cursor, also after the one with which the stream began", async () => {
  const answers = [
    started(4), // breaks before the first event
    started(4) + end(5) + "event: stream_error\ndata: {\"error\": {\"code\": \"service_unavailable\", \"message\": \"away\"}}\n\n",
    started(5) + end(6),
    started(6) + end(7),
  ];
  const handler = (_, response, count) => {
    streamOf(response);
    response.end(answers[count - 1]);
  };
  await withServer(handler, async (server) => {
    const seen = [];
    const opened = [];
    for await (const { id, event, jobId, data } of clientOf(server).events.stream({ onOpen: (cursor) => opened.push(cursor) })) {
      seen.push([id, event, jobId, data.total_tokens]);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [5, 6, 7].map((id) => [String(id), "job.completed", `job_${id}`, id]));
    assert.deepEqual(opened, ["4", "4", "5", "6"]);
    assert.deepEqual(server.requests.map(({ headers }) => headers["last-event-id"]), [undefined, "4", "5", "6"]);
    await eventually(() => server.connections.size === 0, "the connection is released");
  });
});

test("a refused stream of the account throws, and an abort ends it", async () => {
  await withServer(
    (_, response) => fault(response, 401, "authentication_failed"),
    async (server) => {
      await assert.rejects(clientOf(server).events.stream().next(), AuthenticationError);
      assert.equal(server.requests.length, 1);
    },
  );
  const handler = (_, response) => {
    streamOf(response);
    response.write(started(1));
  };
  await withServer(handler, async (server) => {
    const leaving = new AbortController();
    const onOpen = () => leaving.abort(new Error("enough"));
    await assert.rejects(clientOf(server).events.stream({ after: "0", signal: leaving.signal, onOpen }).next(), /enough/);
    await eventually(() => server.connections.size === 0, "the connection is released");
  });
});
