"""The TypeScript packages, installed in an empty project, against the real server."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from orchestrator.domain.access import Role
from orchestrator.services.access.authentication import ADMIN
from orchestrator.testing import Engine
from tests.ledger import ledger
from tests.sdks import node_packages
from tests.sdks.node_packages import PACKAGES, SDKS
from tests.sdks.processes import run
from tests.sdks.runners import need

DOCS = SDKS.parent / "docs"
_BLOCK = re.compile(r"^```ts\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Node has a WebSocket of its own from version 22 on, and behind a flag before; without one the package brings its own.
SOCKETS = {"the runtime's socket": ("--experimental-websocket",), "the package's socket": ()}


async def node(project: Path, code: str, *flags: str, name: str = "script.mjs", **environment: str) -> str:
    """Run a module in the project and return what it wrote on standard output."""
    (project / name).write_text(code)
    return (await run("node", *flags, name, cwd=project, **environment)).succeeded()


async def test_its_own_tests_pass() -> None:
    need(node_packages.prepare())
    done = await run("npm", "test", "--silent", cwd=PACKAGES["@devora/sdk"])
    assert done.code == 0, done.output[-8000:]


def test_no_package_depends_on_anything_foreign() -> None:
    dependencies = {
        name: sorted(json.loads((folder / "package.json").read_text()).get("dependencies", {}))
        for name, folder in PACKAGES.items()
    }
    assert dependencies == {
        "@devora/sdk": [],
        "@ai-orchestra/sdk": ["@devora/sdk"],
        "@devskyy/client": ["@devora/sdk"],
        "@devora/cli": ["@devora/sdk", "commander"],
    }


def test_the_lock_file_names_no_registry() -> None:
    assert 'resolved": "http' not in (SDKS / "package-lock.json").read_text()


PRINTED = """
import { DevoraClient } from '@devora/sdk';

const client = new DevoraClient({
  apiKey: 'YOUR_API_KEY',
  baseUrl: 'https://api.devora.ai/v1'
});

// Execute agent
const result = await client.agents.execute({
  agentId: 'product_manager',
  input: {
    task_type: 'prd',
    context: 'Application de livraison'
  }
});

console.log(result.output);

// Execute workflow with WebSocket updates
const job = await client.workflows.run({
  workflowId: 'api_development',
  input: {...},
  async: true
});

// Subscribe to updates
job.on('progress', (update) => {
  console.log(`Progress: ${update.progress}%`);
});

job.on('completed', (result) => {
  console.log('Workflow completed!');
  console.log(result.deliverables);
});

job.on('error', (error) => {
  console.error('Workflow failed:', error);
});
"""
WORKFLOW_INPUT = '{"api_name": "TaskMaster", "description": "Tasks of a team", "api_type": "rest"}'


def printed(server: str, key: str) -> str:
    """The document's example with what it leaves open: the key, the address, and an input."""
    changes = {"YOUR_API_KEY": key, "https://api.devora.ai/v1": f"{server}/v1", "{...}": WORKFLOW_INPUT}
    code = PRINTED
    for before, after in changes.items():
        assert code.count(before) == 1
        code = code.replace(before, after)
    return code


@pytest.mark.parametrize("socket", SOCKETS)
@ledger("D-082", "D-083", "D-084", "D-085", "D-086", "D-089")
async def test_the_printed_example_runs(npm_project: Path, server: str, key: str, socket: str) -> None:
    name = f"printed-{len(socket)}.mjs"
    (npm_project / name).write_text(printed(server, key))
    done = await run("node", *SOCKETS[socket], name, cwd=npm_project, DEVORA_LOG="debug")
    output = done.succeeded()
    assert "status: 'success'" in output
    assert "Progress: 100%\nWorkflow completed!" in output
    assert "path: 'reports/" in output
    assert "/events" not in output + done.errors, "the updates did not come over a WebSocket"


@pytest.mark.parametrize("socket", SOCKETS)
@ledger("D-085")
async def test_listeners_hear_of_a_failure(npm_project: Path, server: str, key: str, socket: str) -> None:
    code = """
import { DevoraClient, JobFailed } from "@devora/sdk";
const job = await new DevoraClient().workflows.run({ workflowId: "t_broken", input: {}, async: true });
job.on("completed", () => console.log("completed"));
job.on("error", (error) => console.log(error instanceof JobFailed, error.code, error.job.jobId === job.id));
"""
    name = f"failure-{len(socket)}.mjs"
    output = await node(npm_project, code, *SOCKETS[socket], name=name, DEVORA_API_KEY=key, DEVORA_BASE_URL=server)
    assert output == "true provider_rejected true\n"


def event(number: int, **more: Any) -> dict[str, Any]:
    plain = {
        "id": f"run:{number}",
        "type": "job_progress",
        "name": "agent.completed",
        "job_id": "job_1",
        "status": "running",
        "state": "RUNNING",
        "progress": number,
        "current_step": "a",
        "message": "é" * 70_000,  # a frame with the longest form of its length
        "timestamp": "2026-11-26T12:00:00Z",
        "data": {},
    }
    return plain | more


@asynccontextmanager
async def breaking_server(subscriptions: list[str | None]) -> AsyncIterator[str]:
    """Serves one job over a socket that breaks after two events, once with a close frame and once without."""
    last = event(4, type="job_completed", name="job.completed", status="completed", state="COMPLETED", progress=100)

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/v1/ws"):
            return None
        job = {"job_id": "job_1", "status": "completed", "output": {"deliverables": []}, "input": {}}
        headers = Headers({"Content-Type": "application/json", "Connection": "close"})
        return Response(200, "OK", headers, json.dumps(job).encode())

    async def talk(socket: ServerConnection) -> None:
        assert json.loads(await socket.recv()) == {"type": "auth", "token": "dvr_sk_test"}
        await socket.send('{"type": "auth_ok", "principal": "p", "scopes": []}')
        after = json.loads(await socket.recv())["after"]
        subscriptions.append(after)
        await (await socket.ping())  # is answered
        rest = [event(1), event(2), event(3), last][int(after[4:]) if after else 0 :]
        if len(subscriptions) == 3:
            text = json.dumps(rest[0])
            await socket.send([text[:100], text[100:5000], text[5000:]])  # in fragments
            rest = rest[1:]
        for each in rest[: 1 if len(subscriptions) < 3 else None]:
            await socket.send(json.dumps(each))
        await (await socket.ping())  # what was sent has arrived
        if len(subscriptions) == 1:
            await socket.close(1012, "the server stops")
        elif len(subscriptions) == 2:
            socket.transport.abort()
        else:
            await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0, process_request=answer) as running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("socket", SOCKETS)
async def test_listeners_go_on_after_a_break_and_miss_nothing(npm_project: Path, socket: str) -> None:
    code = """
import { DevoraClient } from "@devora/sdk";
const client = new DevoraClient({ apiKey: "dvr_sk_test", backoff: { initial: 5 } });
client.jobs.of("job_1")
  .on("progress", (update) => console.log(update.progress, update.message.length))
  .on("completed", (result) => console.log(result.status))
  .on("error", (error) => console.log(error));
"""
    subscriptions: list[str | None] = []
    async with breaking_server(subscriptions) as url:
        name = f"break-{len(socket)}.mjs"
        output = await node(npm_project, code, *SOCKETS[socket], name=name, DEVORA_BASE_URL=url)
    assert output == "1 70000\n2 70000\n3 70000\n100 70000\ncompleted\n"
    assert subscriptions == [None, "run:1", "run:2"]


@ledger("D-082")
async def test_commonjs_and_types(npm_project: Path) -> None:
    """Both module systems find the package and its types, under strict settings."""
    code = (
        "const client: sdk.DevoraClient = new sdk.DevoraClient({ apiKey: 'k', baseUrl: 'http://localhost:8000/v1' });\n"
        "export async function main(): Promise<void> {\n"
        "  const job: sdk.Job = await client.workflows.run({ workflowId: 'w', input: {}, async: true });\n"
        "  const result: sdk.Result = await client.workflows.run({ workflowId: 'w', input: {} });\n"
        "  job.on('completed', (done) => console.log(done.deliverables[0]?.mediaType, result.metrics.totalTokens));\n"
        "  // @ts-expect-error: there is no such event\n"
        "  job.on('finished', () => undefined);\n"
        "}\n"
    )
    imports = (
        "import * as sdk from '@devora/sdk';\nimport { AIOrchestra } from '@ai-orchestra/sdk';\n"
        "import { DevSkyyClient } from '@devskyy/client';\nexport { AIOrchestra, DevSkyyClient };\n"
    )
    for suffix in ("mts", "cts"):
        (npm_project / f"types.{suffix}").write_text(imports + code)
    options = {"strict": True, "noEmit": True, "target": "es2022", "module": "nodenext", "types": []}
    settings = {"compilerOptions": options, "files": ["types.mts", "types.cts"]}
    (npm_project / "tsconfig.json").write_text(json.dumps(settings))
    tsc = str(node_packages.NODE_MODULES / "typescript" / "bin" / "tsc")
    (await run("node", tsc, cwd=npm_project)).succeeded()
    common = """
const { DevoraClient, VERSION } = require("@devora/sdk");
const { AIOrchestra } = require("@ai-orchestra/sdk");
const { DevSkyyClient } = require("@devskyy/client");
new DevoraClient({ apiKey: "k" });
new AIOrchestra({ apiKey: "k" });
new DevSkyyClient({ apiKey: "k" });
console.log(VERSION);
"""
    assert await node(npm_project, common, name="common.cjs") == "1.0.0\n"


PAGES = [
    *(PACKAGES[name] / "README.md" for name in ("@devora/sdk", "@ai-orchestra/sdk", "@devskyy/client")),
    DOCS / "typescript.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
@ledger("D-081", "S-034")
async def test_the_code_of_a_page_runs(npm_project: Path, server: str, key: str, behind: Engine, page: Path) -> None:
    name, password = f"ada-{page.parent.name}", "correct horse battery"
    await behind.services.users.add(ADMIN, name, password, [Role.ADMIN])
    environment = {
        "DEVORA_API_KEY": key,
        "AI_ORCHESTRA_API_KEY": key,
        "DEVSKYY_USERNAME": name,
        "DEVSKYY_PASSWORD": password,
        **dict.fromkeys(("DEVORA_BASE_URL", "AI_ORCHESTRA_BASE_URL", "DEVSKYY_API_URL"), server),
    }
    blocks = _BLOCK.findall(page.read_text())
    assert blocks

    async def block(number: int, code: str) -> str:
        file = npm_project / f"{page.parent.name}-{page.stem}-{number}.mjs"
        file.write_text(code)
        done = await run("node", file.name, cwd=npm_project, **environment)
        return done.succeeded() + done.errors

    outputs = await asyncio.gather(*(block(number, code) for number, code in enumerate(blocks)))
    # A receiver of webhooks has nothing to say here.
    silent = [code for output, code in zip(outputs, blocks, strict=True) if not output.strip()]
    assert [code for code in silent if "createServer" not in code] == []


CHAT = """
import { AIOrchestra } from '@ai-orchestra/sdk';

const client = new AIOrchestra({ apiKey: 'YOUR_TOKEN' });

// Promise-based
const response = await client.chat({
  message: 'Explain React hooks',
  optimizationMode: 'quality'
});

// WebSocket streaming
const stream = client.streamChat({
  message: 'Generate a React component',
  onToken: (token) => console.log(token)
});
"""


@pytest.mark.parametrize("socket", SOCKETS)
@ledger("A-032", "A-033")
async def test_the_printed_chat_runs(npm_project: Path, server: str, key: str, socket: str) -> None:
    code = (
        CHAT.replace("YOUR_TOKEN", key)
        + """
const answer = await stream.response;
console.log("===");
console.log(response.executionMode, response.response.length > 0, answer.sessionId === stream.sessionId);
let text = "";
for await (const token of stream) text += token;
console.log(text === answer.response, answer.metadata.jobId);
"""
    )
    name = f"chat-{len(socket)}.mjs"
    output = await node(npm_project, code, *SOCKETS[socket], name=name, AI_ORCHESTRA_BASE_URL=server)
    tokens, _, facts = output.partition("===\n")
    assert tokens.strip()
    assert re.fullmatch(r"research-team/quality true true\ntrue wf_job_\w+\n", facts)


@ledger("A-033")
async def test_a_chat_that_is_refused_throws(npm_project: Path, server: str) -> None:
    code = """
import { AIOrchestra, AuthenticationError } from "@ai-orchestra/sdk";
const client = new AIOrchestra({ apiKey: "dvr_sk_live_0000000000000000" });
const calls = [client.chat({ message: "x" }), client.streamChat({ message: "x" }).response];
const kinds = calls.map((call) => call.catch((error) => error instanceof AuthenticationError));
console.log(...(await Promise.all(kinds)));
"""
    assert await node(npm_project, code, name="refused.mjs", AI_ORCHESTRA_BASE_URL=server) == "true true\n"


@ledger("S-034")
async def test_a_users_token_is_renewed(npm_project: Path, server: str, behind: Engine) -> None:
    """With tokens that count as ended at once, each call refreshes; the sign-in of the first call is the only one."""
    await behind.services.users.add(ADMIN, "grace", "correct horse battery", [Role.ADMIN])
    code = """
import { DevSkyyClient } from "@devskyy/client";
const paths = [];
const client = new DevSkyyClient({
  username: "grace",
  password: "correct horse battery",
  fetch: async (input, init) => {
    const response = await fetch(input, init);
    const path = new URL(input).pathname;
    paths.push(path.split("/").at(-1));
    if (!path.startsWith("/api/v1/auth/")) return response;
    return Response.json({ ...(await response.json()), expires_in: 0 });
  },
});
const all = ["health", "metrics", "partnerships", "status", "config", "deploymentReadiness", "endpoints"];
for (const name of all) await client[name]();
const decision = await client.decide({ business_goal: "increase_revenue" });
console.log(decision.decision.toUpperCase() === decision.decision, decision.implementationPlan[0].phase);
console.log(paths.filter((path) => path === "login").length, paths.filter((path) => path === "refresh").length);
"""
    assert await node(npm_project, code, name="devskyy.mjs", DEVSKYY_API_URL=server) == "true 1\n1 7\n"


# The document's schemas under the names of the package. A schema that is not here fails the test, and so does a type.
MODELS = {
    "AgentAccepted": "AgentAccepted",
    "AgentDetail": "AgentDetail",
    "AgentFigures": "AgentFigures",
    "AgentHealth": "AgentHealth",
    "AgentList": "AgentList",
    "AgentMetrics": "AgentMetrics",
    "AgentRetried": "AgentRetried",
    "AgentSummary": "AgentSummary",
    "Attempt": "Attempt",
    "AuditEntry": "AuditEntry",
    "AgentAverages": "Averages",
    "AgentCall": "AgentCall",
    "ToolCall": "ToolCall",
    "Answer": "Answer",
    "AnswerRequest": "AnswerRequest",
    "AnswerResult": "AnswerResult",
    "Question": "Question",
    "QuestionList": "QuestionList",
    "Check": "Check",
    "Deliverable": "Deliverable",
    "Output": "Output",
    "Liveness": "Liveness",
    "Readiness": "Readiness",
    "CancelResult": "Cancelled",
    "KeyChange": "KeyChange",
    "WebhookChange": "WebhookChange",
    "JobConfig": "JobConfig",
    "ControlResult": "Controlled",
    "DeliveryAttempt": "DeliveryAttempt",
    "Delivery": "Delivery",
    "ErrorDetail": "ErrorBody",
    "JobEvent": "JobEvent",
    "EventPage": "EventPage",
    "AgentFinished": "Finished",
    "Health": "Health",
    "KeyRequest": "KeyRequest",
    "JobDetail": "JobDetail",
    "JobError": "JobError",
    "JobSummary": "JobSummary",
    "JobLimit": "JobLimit",
    "ApiKey": "Key",
    "IssuedKey": "IssuedKey",
    "Limits": "Limits",
    "Links": "Links",
    "ListedError": "ListedError",
    "Me": "Me",
    "JobMetrics": "Metrics",
    "MetricsOverview": "MetricsOverview",
    "ModelSettings": "ModelSettings",
    "Pricing": "Pricing",
    "Reason": "Reason",
    "WebhookRequest": "WebhookRequest",
    "RequestLimit": "RequestLimit",
    "KeyRotation": "KeyRotation",
    "SecretRotation": "SecretRotation",
    "SeenReason": "SeenReason",
    "StartRequest": "StartRequest",
    "WorkflowStep": "WorkflowStep",
    "StepProgress": "StepProgress",
    "StepStatus": "StepStatus",
    "MetricsSummary": "MetricsSummary",
    "TimelineDay": "TimelineDay",
    "TokenLimit": "TokenLimit",
    "UserRequest": "UserRequest",
    "User": "User",
    "Webhook": "Webhook",
    "RegisteredWebhook": "RegisteredWebhook",
    "RotatedWebhook": "RotatedWebhook",
    "WorkflowAccepted": "WorkflowAccepted",
    "WorkflowDetail": "WorkflowDetail",
    "WorkflowFinished": "WorkflowFinished",
    "WorkflowList": "WorkflowList",
    "WorkflowRetried": "WorkflowRetried",
    "BackfillRequest": "BackfillRequest",
    "BackfillResult": "BackfillResult",
    "CalendarRequest": "CalendarRequest",
    "IntervalRequest": "IntervalRequest",
    "NoteRequest": "NoteRequest",
    "RangeRequest": "RangeRequest",
    "RunConfig": "RunConfig",
    "Schedule": "Schedule",
    "ScheduleCalendar": "ScheduleCalendar",
    "ScheduleChange": "ScheduleChange",
    "ScheduleCounts": "ScheduleCounts",
    "ScheduleInterval": "ScheduleInterval",
    "ScheduleRange": "ScheduleRange",
    "ScheduleRequest": "ScheduleRequest",
    "ScheduleSpec": "ScheduleSpec",
    "ScheduledRun": "ScheduledRun",
    "SpecRequest": "SpecRequest",
    "TriggerRequest": "TriggerRequest",
    "TriggerResult": "TriggerResult",
    "WorkflowSummary": "WorkflowSummary",
}
# Schemas that are no interface: pages are `Page`, bodies of controls are arguments.
WITHOUT = {"AuditList", "DeliveryList", "JobList", "KeyList", "ScheduleList", "UserList", "WebhookList", "Error"} | {
    "CancelRequest",
    "ControlRequest",
    "SignalRequest",
    "DecisionRequest",
    "RetryRequest",
}
# Frames and messages, which the package reads as `JobEvent` and `WebhookEvent`.
WITHOUT |= {"StreamStarted", "AccountJobEvent", "AccountNotice"}
WITHOUT |= {"JobEnd", "JobMessage", "NoticeMessage", "TextDelta", "TextDeltaData"} | {
    f"Socket{name}"
    for name in ("Auth", "AuthOk", "Error", "Event", "JobUpdate", "Ping", "Pong", "Subscribe", "Subscribed")
}
WITHOUT |= {"SocketUnsubscribe", "SocketUnsubscribed"}
# Types of the package for what the document does not describe.
OWN = {"Progress", "Result", "WebhookEvent"}
# Fields that the package types in another way, and why.
OTHERWISE = {
    ("Deliverable", "step"): "may be left out where one is made by hand",
    ("Question", "details"): "any JSON",
    ("Deliverable", "agent"): "the same",
    ("Deliverable", "artifact"): "the same",
    ("JobError", "step"): "always sent, null or not",
    ("JobError", "agent"): "always sent, null or not",
    ("JobEvent", "id"): "text of running agents has none",
    ("JobEvent", "state"): "nor a state",
    ("JobEvent", "progress"): "nor progress",
    ("JobEvent", "message"): "nor a message",
}
QUERIES = {
    ("get", "/v1/jobs"): "JobQuery",
    ("get", "/v1/audit"): "AuditQuery",
    ("get", "/v1/webhooks/{webhook_id}/deliveries"): "DeliveryQuery",
}
# The package reads frames of text, which have a schema of their own, as events.
TEXT_NAMES = {"agent.delta", "agent.reset"}
# The same for the packages of the other surfaces. Schemas that are described in place are left out.
CHAT_MODELS = {
    "ChatData": "ChatResponse",
    "ChatMetadata": "ChatMetadata",
    "ChatRequest": "ChatRequest",
    "Step": "ProcessingStep",
}
ORCHESTRATION_MODELS = {
    "Activity": "Activity",
    "ConfigResponse": "Configuration",
    "DecisionPhase": "DecisionPhase",
    "DecisionResponse": "Decision",
    "DeploymentReadiness": "DeploymentReadiness",
    "Endpoint": "Endpoint",
    "EndpointList": "EndpointList",
    "HealthResponse": "Health",
    "MetricsResponse": "PartnershipMetrics",
    "PartnershipStatus": "Partnership",
    "SystemStatus": "SystemStatus",
    "TokenResponse": "Tokens",
}


def types_of(package: str, *files: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The fields of every exported interface."""
    need(node_packages.prepare())
    paths = [str(PACKAGES[package] / "src" / name) for name in files]
    done = node_packages.program("node", "describe-models.mjs", *paths, cwd=SDKS / "typescript")
    assert done.returncode == 0, done.stderr
    fields: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)
    return fields


async def document_of(server: str, name: str) -> dict[str, Any]:
    async with httpx2.AsyncClient(base_url=server) as http:
        document: dict[str, Any] = (await http.get(f"/openapi/{name}.json")).json()
    return document


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The alternatives of a field's schema, without references."""
    if "$ref" in schema:
        yield from resolved(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    elif "anyOf" in schema or "oneOf" in schema:
        for each in schema.get("anyOf") or schema["oneOf"]:
            yield from resolved(document, each)
    else:
        yield schema


def described(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema says of a field, in the terms of `describe-models.mjs`."""
    parts = list(resolved(document, schema))
    numbers = {"integer": "number"}
    kinds = {numbers.get(part["type"], part["type"]) for part in parts if part.get("type", "null") != "null"}
    words = {word for part in parts for word in part.get("enum", [part["const"]] if "const" in part else [])}
    return {"nullable": any(part.get("type") == "null" for part in parts), "kinds": kinds, "words": words}


def camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def differences(
    document: dict[str, Any], models: dict[str, str], types: dict[str, dict[str, dict[str, Any]]]
) -> list[str]:
    """Where the fields of a package are not those of the document."""
    faults = []
    for schema_name, type_name in models.items():
        schema, fields = document["components"]["schemas"][schema_name], types[type_name]
        properties = {camel(name): each for name, each in schema["properties"].items()}
        required = {camel(name) for name in schema.get("required", [])}
        if set(properties) != set(fields):
            faults.append(f"{type_name}: {set(properties) ^ set(fields)}")
            continue
        for name, each in properties.items():
            field, wanted = fields[name], described(document, each)
            if (type_name, name) in OTHERWISE:
                continue
            # A field with a default is always sent, and need not be.
            if field["optional"] == (name in required) and "default" not in each:
                faults.append(f"{type_name}.{name}: optional {field['optional']}")
            absent = field["optional"] and wanted["nullable"]  # null in the document, left out by the server
            if field["nullable"] != wanted["nullable"] and not absent:
                faults.append(f"{type_name}.{name}: nullable {field['nullable']}")
            if wanted["kinds"] != set(field["kinds"]):
                faults.append(f"{type_name}.{name}: {field['kinds']} for {wanted['kinds']}")
            words = set(field["words"]) - (TEXT_NAMES if (type_name, name) == ("JobEvent", "name") else set())
            if wanted["words"] and words and wanted["words"] != words:
                faults.append(f"{type_name}.{name}: words {wanted['words'] ^ words}")
    return faults


async def test_types_match_the_document(server: str) -> None:
    document = await document_of(server, "devora")
    types = types_of("@devora/sdk", "models.ts", "resources.ts")
    schemas = document["components"]["schemas"]
    objects = {name for name, schema in schemas.items() if schema.get("type") == "object"}
    assert objects - WITHOUT == set(MODELS), "schemas of the document and of the table above"
    models = {name for name in types if name not in {*QUERIES.values(), "PageOptions"}}
    assert models - OWN == set(MODELS.values()), "types of the package and of the table above"
    faults = differences(document, MODELS, types)
    for (method, path), type_name in QUERIES.items():
        parameters = document["paths"][path][method]["parameters"]
        names = {camel(each["name"]) for each in parameters if each["in"] == "query"} - {"before"}  # an older `after`
        if names != set(types[type_name]):
            faults.append(f"{type_name}: {names ^ set(types[type_name])}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("surface", "package", "models"),
    [
        ("ai_orchestra", "@ai-orchestra/sdk", CHAT_MODELS),
        ("devskyy", "@devskyy/client", ORCHESTRATION_MODELS),
    ],
    ids=["chat", "orchestration"],
)
async def test_types_match_the_documents_of_other_surfaces(
    server: str, surface: str, package: str, models: dict[str, str]
) -> None:
    types = types_of(package, "index.ts")
    # What a stream takes beside a request is the package's own.
    assert set(types) - {"StreamRequest"} == set(models.values())
    faults = differences(await document_of(server, surface), models, types)
    assert not faults, "\n".join(faults)


async def test_every_route_is_reachable(server: str) -> None:
    """Each route of the document stands in the package's source, and no other does."""
    document = await document_of(server, "devora")
    source = "".join(file.read_text() for file in sorted((PACKAGES["@devora/sdk"] / "src").glob("*.ts")))
    text = re.sub(r"\$\{segment\(\w+\)\}", "{}", source)
    for name, path in (
        ("agentPath(agentId)", "/v1/agents/{}"),
        ("jobPath(jobId)", "/v1/jobs/{}"),
        ("jobPath(this.id)", "/v1/jobs/{}"),
        ("keyPath(keyId)", "/v1/auth/api-keys/{}"),
        ("schedulePath(scheduleId)", "/v1/schedules/{}"),
        ("webhookPath(webhookId)", "/v1/webhooks/{}"),
    ):
        text = text.replace(f"${{{name}}}", path)  # in a template
        text = re.sub(rf"(path: |\(|, ){re.escape(name)}", rf'\1"{path}"', text)  # alone
    controls = [f'"/v1/jobs/{{}}/{name}"' for name in re.findall(r'#control<\w+>\(["`]([\w/{}]+)["`]', text)]
    found = set(re.findall(r'["`](/v1/[\w\-/{}]+)["`]', text + "".join(controls)))
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"] if path.startswith("/v1/")}
    assert found == paths | {"/v1/ws"}
