// A local HTTP server that misbehaves as a test says.
import { createServer } from "node:http";
import { once } from "node:events";

/** Serves `handler(request, response, count)`; `requests` are those that came, with their bodies. */
export async function serve(handler) {
  const requests = [];
  const connections = new Set();
  const server = createServer(async (request, response) => {
    // Only connections that carried a request: fetch keeps an idle one ready after an abort.
    connections.add(request.socket);
    request.socket.on("close", () => connections.delete(request.socket));
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    requests.push({ method: request.method, url: request.url, headers: request.headers, body: body ? JSON.parse(body) : undefined });
    handler(request, response, requests.length);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    connections,
    server,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export function json(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", "X-Request-ID": "req_test", ...headers });
  response.end(JSON.stringify(body));
}

export function fault(response, status, code, more = {}, headers = {}) {
  json(response, status, { error: { code, message: `it is ${code}`, details: {}, request_id: "req_test", ...more } }, headers);
}

/** Runs `body` with a server and closes it. */
export async function withServer(handler, body) {
  const server = await serve(handler);
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

export async function eventually(condition, what) {
  for (let tries = 0; tries < 500; tries += 1) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`it never came: ${what}`);
}
