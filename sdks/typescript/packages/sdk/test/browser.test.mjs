import assert from "node:assert/strict";
import { test } from "node:test";

import { json, withServer } from "./server.mjs";

test("the package needs nothing of Node: without `process` it works as in a browser", async () => {
  await withServer((_, response) => json(response, 200, { agents: [], total: 0 }), async (server) => {
    const { process } = globalThis;
    delete globalThis.process;
    try {
      const { DevoraClient } = await import("@devora/sdk");
      assert.throws(() => new DevoraClient(), /no API key/);
      const client = new DevoraClient({ apiKey: async () => "short-lived", baseUrl: server.url });
      assert.equal((await client.agents.list()).total, 0);
    } finally {
      globalThis.process = process;
    }
    const [{ headers }] = server.requests;
    assert.equal(headers.authorization, "Bearer short-lived");
    assert.doesNotMatch(headers["user-agent"], /devora/); // browsers send their own
  });
});
