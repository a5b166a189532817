// What the command makes of answers that no terminal should show, or in which something is missing.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), "devora-"));
const EVIL = "a\u001b]0;x\u0007\u009b2J\u202e\u007fb";
const DONE = { job_id: "job_1", agent_id: "a", status: "completed", state: "COMPLETED", output: { output: EVIL, deliverables: [] }, metrics: { total_tokens: 1, cost: null }, input: {} };
const WAITING = { ...DONE, status: "running", state: "RUNNING", output: null, reason: { code: "waiting_for_approval", message: "cutover" } };

let answers = {};
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://x");
  const answer = answers[`${request.method} ${pathname}`];
  const body = Array.isArray(answer) ? (answer.length > 1 ? answer.shift() : answer[0]) : answer;
  response.writeHead(body === undefined ? 404 : (body.error?.status ?? 200), { "Content-Type": "application/json" });
  response.end(JSON.stringify(body ?? { error: { code: "not_found", message: EVIL } }));
}).listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.close());

/** Runs the command; on a terminal, as far as it can see. */
async function devora(arguments_, { terminal = false, ...more } = {}) {
  const seen = terminal ? ["--import", "data:text/javascript,process.stdout.isTTY=true"] : [];
  const env = { PATH: process.env.PATH, HOME: FOLDER, DEVORA_API_KEY: "k", DEVORA_BASE_URL: `http://127.0.0.1:${server.address().port}`, ...more };
  const child = spawn(process.execPath, [...seen, MAIN, ...arguments_], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  const [code] = await once(child, "close");
  return { code, output, errors };
}

const START = { "POST /v1/agents/a/execute": { job_id: "job_1", status: "queued", agent_id: "a", links: {} } };
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;

test("a terminal shows no character that controls it; a pipe gets what came", async () => {
  const schedule = { schedule_id: EVIL, agent_id: "a", workflow_id: null, paused: false, next_runs: [EVIL], recent_runs: [{ started_at: EVIL, job_id: EVIL }], note: EVIL, name: EVIL };
  answers = { ...START, "GET /v1/jobs/job_1": DONE, "GET /v1/jobs/job_1/output": DONE.output, "GET /v1/schedules/s": schedule, "GET /v1/agents/a": { id: EVIL } };
  const commands = [["agents", "execute", "a"], ["jobs", "output", "job_1"], ["jobs", "output", "job_1", "--json"], ["schedules", "show", "s"], ["agents", "show", "a"]];
  for (const command of commands) {
    const { code, output, errors } = await devora(command, { terminal: true });
    assert.equal(code, 0, errors);
    assert.match(output, /a\\u001b\]0;x\\u0007\\u009b2J\\u202e\\u007fb/);
    assert.doesNotMatch(output + errors, CONTROL);
  }
  assert.equal((await devora(["jobs", "output", "job_1"])).output, `${EVIL}\n`);
  assert.deepEqual(JSON.parse((await devora(["jobs", "output", "job_1", "--json"], { terminal: true })).output), DONE.output);
  const refused = await devora(["jobs", "show", "nobody"], { DEVORA_LOG: "debug" });
  assert.equal(refused.code, 2);
  assert.doesNotMatch(refused.errors, CONTROL);
});

test("an answer in which something is missing is not a failed job", async () => {
  const { metrics: _, ...bare } = DONE;
  answers = { ...START, "GET /v1/jobs/job_1": bare, "GET /v1/agents": { agents: null }, "GET /v1/jobs/job_1/output": {} };
  const ran = await devora(["agents", "execute", "a"]);
  assert.deepEqual([ran.code, ran.output], [0, `${EVIL}\n`], ran.errors);
  for (const command of [["jobs", "show", "job_1"], ["agents", "list"], ["jobs", "output", "job_1"]]) {
    const { code, errors } = await devora(command);
    assert.equal(code, 3, errors);
    assert.match(errors, /^devora: the answer has another form than the API's .*check the base URL\n$/);
  }
});

test("a file that cannot be written does not hide that the job is done", async () => {
  answers = { ...START, "GET /v1/jobs/job_1": DONE, "GET /v1/jobs/job_1/output": DONE.output };
  for (const command of [["jobs", "output", "job_1"], ["agents", "execute", "a"]]) {
    const { code, errors } = await devora([...command, "--output", join(FOLDER, "absent", "x")]);
    assert.equal(code, 2);
    assert.match(errors, /cannot write .*the job is done: devora jobs output job_1/);
  }
});

test("a start says at once that its job waits for a person", async () => {
  answers = { ...START, "GET /v1/jobs/job_1": [WAITING, DONE] };
  const { code, errors } = await devora(["agents", "execute", "a"]);
  assert.equal(code, 0, errors);
  assert.match(errors, /^waits for approval: devora jobs approve job_1 \(cutover\)$/m);
});

test("an answer needs no --step with exactly one open question", async () => {
  const question = (id, status) => ({ id, status, kind: "input", message: "" });
  answers = { "GET /v1/jobs/job_1/questions": { questions: [question("q1", "answered"), question("q2", "open")] }, "POST /v1/jobs/job_1/answers": { done: true } };
  assert.deepEqual(await devora(["jobs", "answer", "job_1"]), { code: 0, output: "job_1 answered\n", errors: "" });
  answers["GET /v1/jobs/job_1/questions"].questions.push(question("q3", "open"));
  const several = await devora(["jobs", "answer", "job_1"]);
  assert.deepEqual([several.code, /--step q2 or q3/.test(several.errors)], [2, true]);
});

test("a wrong key says how to keep another, and output schemas are for --json", async () => {
  answers = { "GET /v1/agents": { error: { status: 401, code: "authentication_failed", message: "The API key is not valid" } }, "GET /v1/workflows/w": { id: "w", output_schema: {} } };
  assert.match((await devora(["agents", "list"])).errors, /not valid.*devora config set api-key/);
  assert.deepEqual(JSON.parse((await devora(["workflows", "show", "w"])).output), { id: "w" });
  assert.deepEqual(JSON.parse((await devora(["workflows", "show", "w", "--json"])).output), { id: "w", output_schema: {} });
});

test("the configuration stays a link, shows no short key, and is a file of texts", async () => {
  const [file, link, pipe] = ["file", "link", "pipe"].map((name) => join(FOLDER, name));
  writeFileSync(file, "{}", { mode: 0o600 });
  symlinkSync(file, link);
  execFileSync("mkfifo", [pipe]);
  assert.equal((await devora(["config", "set", "api-key", "secret"], { DEVORA_CONFIG: link })).code, 0);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { "api-key": "secret" });
  assert.equal((await devora(["config", "get", "api-key"], { DEVORA_CONFIG: link })).output, "se…\n");
  const hanging = await devora(["config", "list"], { DEVORA_CONFIG: pipe });
  assert.deepEqual([hanging.code, /is not a file/.test(hanging.errors)], [2, true]);
  writeFileSync(file, '{"api-key": 5}');
  const wrong = await devora(["config", "list"], { DEVORA_CONFIG: file });
  assert.deepEqual([wrong.code, /api-key is not a text/.test(wrong.errors)], [2, true]);
});
