"""The attacks: each is made on a running API and answers what was seen, or raises `GaveWay`.

Those marked `limits` need the limits of a real installation; the tests of the API have none, so they leave those out.
"""

import asyncio
import base64
import json
import random
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.attack.bodies import worst_bodies
from tests.attack.target import ORDINARY, GaveWay, Target, documents, hold

Attack = Callable[[Target], Awaitable[str]]

JSON: Final = {"Content-Type": "application/json"}
# To refuse a body may cost so many times what it costs to parse it, and to run the job of a sound one so many times,
# or to compare a password, which is slow on purpose.
_REFUSAL: Final = 60
_RUN: Final = 400
_LEAST: Final = 0.005  # seconds: what parsing is taken to cost at least
_SERVED: Final = 200


@dataclass(frozen=True, slots=True)
class Named:
    """An attack and what it tries."""

    title: str
    run: Attack
    limits: bool


ATTACKS: Final[list[Named]] = []


def attack(title: str, *, limits: bool = False) -> Callable[[Attack], Attack]:
    """Add an attack to the list."""

    def add(run: Attack) -> Attack:
        ATTACKS.append(Named(title, run, limits))
        return run

    return add


@attack("the worst bodies that the limits admit, on every route that takes one")
async def bodies(target: Target) -> str:
    """No refusal costs much more than to read the body."""
    worst: tuple[float, str] = (0.0, "")
    tried = 0
    async with target.client() as caller:
        for document in await documents(caller):
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    schema = (
                        operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                    )
                    if schema is None:
                        continue
                    where = path.replace("{agent_id}", target.agent).replace("{workflow_id}", target.workflow)
                    for kind, body in worst_bodies(schema, document, scale=target.scale):
                        ratio, status = await _cost(target, caller, method, where, body)
                        name = f"{method.upper()} {path}, {kind}: {len(body):,} bytes, {status}"
                        hold(status < 500 or status == 503, f"{name}")
                        most = _REFUSAL if status >= 400 and status != 401 else _RUN
                        hold(ratio <= most, f"{name}: {ratio:.0f} times as long as to parse it, more than {most}")
                        worst = max(worst, (ratio, name))
                        tried += 1
    return f"{tried} bodies; the worst took {worst[0]:.0f} times as long as to parse it: {worst[1]}"


async def _cost(target: Target, client: httpx2.AsyncClient, method: str, path: str, body: bytes) -> tuple[float, int]:
    """What a body costs the product, as a multiple of what it costs to parse it; and the status.

    The least of three tries: the process also does other work, such as imports after its start.
    """
    ratios = []
    for _ in range(3):
        began = time.process_time()
        with suppress(ValueError, RecursionError):
            json.loads(body)
        parsing = max(time.process_time() - began, _LEAST)
        before = target.cpu()
        answer = await client.request(method, path, content=body, headers=JSON)
        ratios.append((target.cpu() - before) / parsing)
        if ratios[-1] <= _REFUSAL:
            break
    return min(ratios), answer.status_code


@attack("others wait while a body is refused", limits=True)
async def waiting(target: Target) -> str:
    """`/healthz` answers about as fast as when nothing happens, while the largest bodies are refused."""
    async with target.client() as caller, target.client("") as other:
        idle = await _latencies(other, 20)
        wrong = json.dumps({"name": "x", "framework": "autogen", "tags": [{}] * 60_000}).encode()
        strange = json.dumps({"input": {}, **{f"x{number}": 1 for number in range(200_000)}}).encode()
        sent = [
            asyncio.create_task(caller.post("/api/agents", content=wrong, headers=JSON)),
            asyncio.create_task(caller.post(f"/v1/workflows/{target.workflow}/run", content=strange, headers=JSON)),
        ]
        busy: list[float] = []
        while not all(task.done() for task in sent):
            busy += await _latencies(other, 1)
        statuses = [(await task).status_code for task in sent]
    hold(all(400 <= status < 500 for status in statuses), f"answered {statuses}")
    usual, longest = statistics.median(idle), max(busy, default=0.0)
    hold(longest <= max(0.25, 150 * usual), f"/healthz took {longest:.2f} s, {usual:.3f} s when idle")
    return f"/healthz took {longest * 1000:.0f} ms at most, {usual * 1000:.0f} ms when idle"


async def _latencies(client: httpx2.AsyncClient, times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        await client.get("/healthz")
        found.append(time.perf_counter() - began)
    return found


@attack("texts that parsers stumble over")
async def parsers(target: Target) -> str:
    """Deep, huge, non-finite and undecodable JSON is refused with a 4xx on every surface."""
    deep = 100_000
    texts = [
        b"[" * deep + b"]" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        b'{"input": {"topic": ' + b"9" * 200_000 + b"}}",
        b'{"input": {"topic": NaN}}',
        b'{"input": {"topic": 1e999}}',
        b'{"input": {"topic": "\\ud800"}}',
        b'{"input": {"topic": "\x00"}}',
        b"\xff\xfe{}",
        b"",
        b"null",
        b"[]",
        b'{"input": {}} trailing',
    ]
    paths = [
        f"/v1/agents/{target.agent}/execute",
        f"/v1/workflows/{target.workflow}/run",
        "/v1/webhooks",
        "/chat/v2/chat",
        "/api/agents",
        "/api/v1/orchestration/decisions",
        "/protected/execute-workflow",
    ]
    async with target.client() as caller:
        for path in paths:
            for text in texts:
                status = (await caller.post(path, content=text, headers=JSON)).status_code
                hold(status < 500, f"POST {path} {text[:40]!r}: {status}")
        for headers in ({"Content-Encoding": "gzip"}, {"Content-Type": "text/plain"}, {"X-Request-ID": "a\tb" * 400}):
            status = (await caller.post(paths[0], content=b"\x1f\x8b" * 100, headers={**JSON, **headers})).status_code
            hold(400 <= status < 500, f"{headers}: {status}")
        for path in ("/v1/jobs?limit=1e9", "/v1/jobs?" + "&".join(f"a{n}=1" for n in range(120)), "/v1/" + "x" * 9000):
            status = (await caller.get(path)).status_code
            hold(400 <= status < 500, f"GET {path[:40]}: {status}")
    return f"{len(paths) * len(texts) + 6} requests, all refused"


PRIVATE: Final = (
    *("http://127.0.0.1/", "http://localhost/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"),
    *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://169.254.169.254/latest/"),
    *("http://10.0.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://0.0.0.0/", "http://[fe80::1%25eth0]/"),
    *("http://user:pw@10.0.0.1/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "http:///"),
    *("http://example.com\\@127.0.0.1/", "http://127.0.0.1\r\nHost: x/", "javascript:alert(1)", "http://１２７.0.0.1/"),
)


@attack("callbacks to addresses inside")
async def callbacks(target: Target) -> str:
    """No route takes a URL that leads to this machine or its network."""
    async with target.client(await target.key("callbacks")) as caller:
        for url in PRIVATE:
            answers = {
                "/v1/webhooks": {"url": url, "events": ["job.completed"]},
                "/api/webhooks": {"url": url, "events": ["execution.completed"]},
                f"/v1/agents/{target.agent}/execute": {
                    "input": target.agent_input,
                    "async": True,
                    "webhook_url": url,
                },
            }
            for path, body in answers.items():
                status = (await caller.post(path, json=body)).status_code
                hold(400 <= status < 500, f"POST {path} with {url!r}: {status}")
    return f"{len(PRIVATE)} URLs on 3 routes, all refused"


_BODIES: Final[dict[str, dict[str, object]]] = {
    "approve": {"step": "x"},
    "reject": {"step": "x"},
    "answers": {"step": "x", "values": {}},
    "{name}": {"input": {}},
}


@attack("another account's job, by every route")
async def foreign(target: Target) -> str:
    """A job that is another's looks like one that is not there."""
    async with target.client(await target.key("owner")) as owner, target.client(await target.key("thief")) as thief:
        job = await target.start(owner)
        document = (await thief.get("/openapi.json")).json()
        tried = 0
        for path, methods in document["paths"].items():
            if path.startswith("/v1/jobs/{job_id}"):
                for method in methods:
                    where = path.replace("{job_id}", job).replace("{delivery_id}", "whd_x")
                    last = path.rpartition("/")[2]
                    body = {"json": _BODIES[last]} if method == "post" and last in _BODIES else {}
                    answer = await thief.request(method, where.replace("{name}", "x"), **body)
                    hold(answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                    tried += 1
        for path in (f"/workflow-status/{job}", f"/api/executions/{job}", f"/api/executions/{job}/logs"):
            hold((await thief.get(path)).status_code in {401, 404}, f"GET {path}")
        listed = (await thief.get("/v1/jobs")).json()
        hold(listed["total"] == 0, f"the list shows {listed['total']} jobs of others")
        hold((await thief.get("/v1/jobs?owner=admin")).status_code == 403, "a filter shows another's jobs")
        hold((await owner.get(f"/v1/jobs/{job}")).status_code == _SERVED, "the owner does not see the job")
    hold(tried >= 10, f"only {tried} routes of a job are documented")
    return f"{tried + 5} requests, nothing seen"


@attack("what a key's scopes do not include")
async def scopes(target: Target) -> str:
    """A key with one scope gets 403 wherever another one is needed, before its body is looked at."""
    routes: dict[tuple[str, str], str | None] = {
        ("GET", "/v1/agents"): "agents:read",
        ("POST", f"/v1/agents/{target.agent}/execute"): "agents:execute",
        ("GET", "/v1/workflows"): "workflows:read",
        ("POST", f"/v1/workflows/{target.workflow}/run"): "workflows:run",
        ("GET", "/v1/jobs"): "jobs:read",
        ("POST", "/v1/jobs/wf_job_x/cancel"): "jobs:cancel",
        ("GET", "/v1/metrics"): "metrics:read",
        ("GET", "/v1/auth/api-keys"): None,
        ("POST", "/v1/auth/api-keys"): None,
        ("GET", "/v1/users"): None,
        ("GET", "/v1/audit"): None,
    }
    tried = 0
    for scope in ORDINARY:
        async with target.client(await target.key("scopes", [scope])) as caller:
            for (method, path), needed in routes.items():
                if needed == scope:
                    continue
                body = {"content": b"not json", "headers": JSON} if method == "POST" else {}
                status = (await caller.request(method, path, **body)).status_code
                hold(status in {403, 404}, f"{scope} on {method} {path}: {status}")
                hold(status == 403 or needed is None, f"{scope} on {method} {path}: {status}")
                tried += 1
    return f"{tried} requests, all refused"


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@attack("tokens that nobody signed")
async def tokens(target: Target) -> str:
    """Tokens without, with a wrong, or with an odd signature or claim open nothing, and break nothing."""
    now = int(time.time())
    claims: dict[str, Any] = {"sub": "admin", "roles": ["admin"], "exp": now + 600, "iat": now, "type": "access"}
    odd = [claims, {**claims, "exp": "soon"}, {**claims, "exp": [1]}, {**claims, "exp": 1e300}, {"exp": None}, [], "x"]
    heads = [{"alg": alg, "typ": "JWT"} for alg in ("none", "None", "HS256", "HS512", "RS256", "")]
    forged = [f"{_part(head)}.{_part(body)}.{tail}" for head in heads for body in odd for tail in ("", "AAAA")]
    forged += ["a.b.c", "..", "é", "\x00", "dvr_sk_live_" + "0" * 80, "ao_" + "0" * 64, "x" * 8000, "Bearer", ""]
    async with target.client("") as caller:
        for token in forged:
            headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
            with suppress(httpx2.LocalProtocolError, UnicodeEncodeError):
                status = (await caller.get("/v1/auth/me", headers=headers)).status_code
                hold(status in {400, 401, 429, 431}, f"{token[:60]!r}: {status}")
    return f"{len(forged)} tokens, all refused"


@attack("frames that no client sends")
async def frames(target: Target) -> str:
    """A socket answers any frame with a documented close code, never with a fault of its own."""
    rng = random.Random(1)
    key = await target.key("frames")
    sockets = {
        "/v1/ws": {"Authorization": f"Bearer {key}"},
        f"/chat/ws/attack/{uuid.uuid4()}": {"Authorization": f"Bearer {key}"},
        f"/ws/{uuid.uuid4()}": {},
        "/v1/ws?token=wrong": {},
    }
    pieces = ['{"type":', '"subscribe"', "null", "[]", "1e999", '"\\ud800"', "}", "{", '"job_id":', "\x00", "ping", "é"]
    sent, codes = 0, set()
    for path, headers in sockets.items():
        for _ in range(max(3, int(40 * target.scale))):
            socket = await _opened(target, path, headers)
            if socket is None:
                continue
            async with socket:
                with suppress(ConnectionClosed):
                    for _ in range(20):
                        text = "".join(rng.choices(pieces, k=rng.randint(0, 8)))
                        await socket.send(text if rng.random() < 0.8 else rng.randbytes(40))
                        sent += 1
                await socket.close()
            codes.add(socket.close_code)
    bad = codes & {None, 1006, 1011}
    hold(not bad, f"closed with {sorted(map(str, bad))}")
    async with target.client("") as other:
        hold((await other.get("/healthz")).status_code == _SERVED, "the API does not answer afterwards")
    return f"{sent} frames; closed with {sorted(code for code in codes if code)}"


async def _opened(target: Target, path: str, headers: dict[str, str]) -> ClientConnection | None:
    try:
        return await connect(target.url.replace("http", "ws", 1) + path, additional_headers=headers, open_timeout=30)
    except InvalidStatus as refused:
        hold(refused.response.status_code < 500 or refused.response.status_code == 503, f"{path}: {refused}")
        return None


@attack("more sockets and streams than one caller may hold", limits=True)
async def connections(target: Target) -> str:
    """A caller holds a bounded number; others are served meanwhile."""
    key = await target.key("connections")
    refused = set()
    sockets: list[ClientConnection] = []
    async with AsyncExitStack() as stack, target.client("") as other:
        for _ in range(230):
            try:
                url = target.url.replace("http", "ws", 1) + "/v1/ws"
                opened = connect(url, additional_headers={"Authorization": f"Bearer {key}"})
                sockets.append(await stack.enter_async_context(opened))
            except InvalidStatus as fault:
                refused.add(fault.response.status_code)
        strangers = 0
        for _ in range(130):
            with suppress(InvalidStatus, ConnectionClosed):
                await stack.enter_async_context(connect(target.url.replace("http", "ws", 1) + f"/ws/{uuid.uuid4()}"))
                strangers += 1
        hold((await other.get("/healthz")).status_code == _SERVED, "the API does not answer meanwhile")
        await asyncio.sleep(2)  # what is one too many is closed once its key is known
        held = sum(socket.close_code is None for socket in sockets)
        refused |= {socket.close_code for socket in sockets if socket.close_code is not None}
    hold(held <= 200, f"one key held {held} sockets")
    return f"one key held {held}, then {sorted(refused)}; {strangers} of strangers were let in"


@attack("answers that a cache could keep")
async def caches(target: Target) -> str:
    """Nothing that holds a secret or a job may be stored on the way."""
    async with target.client() as caller, target.client("") as nobody:
        answers = [
            await caller.get(path) for path in ("/v1/jobs", "/v1/auth/me", "/v1/auth/api-keys", "/api/executions")
        ]
        answers += [await nobody.get("/v1/jobs"), await nobody.get("/workflow-status/x")]
        for answer in answers:
            kept = answer.headers.get("Cache-Control", "")
            hold("no-store" in kept, f"{answer.url.path}: Cache-Control: {kept!r}")
    return f"{len(answers)} answers, all with no-store"


@attack("a wrong key again and again", limits=True)
async def guesses(target: Target) -> str:
    """Guesses are counted by address, before the database is asked; a right key is still let in."""
    async with target.client("dvr_sk_live_" + "0" * 80) as guesser, target.client() as admin:
        statuses = [(await guesser.get("/v1/jobs")).status_code for _ in range(300)]
        mine = (await admin.get("/v1/jobs")).status_code
    hold(429 in statuses, f"{len(statuses)} guesses, each looked up")
    hold(mine == _SERVED, f"the right key from the same address gets {mine}")
    return f"refused as too many after {statuses.index(429)}"


@attack("a password again and again, from ever new addresses", limits=True)
async def sign_ins(target: Target) -> str:
    """Sign-ins are counted by user name, whatever address a header claims."""
    statuses = []
    async with target.client("") as guesser:
        for number in range(60):
            claimed = {"X-Forwarded-For": f"203.0.113.{number}"}
            body = {"username": "admin", "password": f"guess {number}"}
            statuses.append((await guesser.post("/api/v1/auth/login", json=body, headers=claimed)).status_code)
    hold(429 in statuses, f"{len(statuses)} guesses of one name")
    return f"refused as too many after {statuses.index(429)}"


@attack("strangers who start work", limits=True)
async def strangers(target: Target) -> str:
    """Without a key: a bounded number of jobs, or none; no model, length, priority or callback of their choice."""
    wanted = {"model": "openai:gpt-5-pro", "max_tokens": 1_000_000}
    paths = ("/execute-workflow", "/api/v1/execute-workflow", "/api/v2/execute-workflow", "/custom/execute")
    body = {"requirements": "x", "workflow_type": "full", "priority": "critical"}
    started = 0
    async with target.client("") as stranger:
        for path in paths:
            greedy = await stranger.post(path, json={**body, "configuration": wanted})
            hold(greedy.status_code != _SERVED, f"POST {path}: a stranger chose model and length")
            for _ in range(12):
                started += (await stranger.post(path, json=body)).status_code == _SERVED
    hold(started <= 10, f"a stranger started {started} jobs")
    return f"a stranger started {started} jobs on {len(paths)} routes"


@attack("other names of this machine", limits=True)
async def hosts(target: Target) -> str:
    """A page whose name leads here by a trick of its name server reaches nothing."""
    async with target.client("", Host="evil.example") as page:
        for path in ("/v1/agents", "/metrics", "/execute-workflow", "/docs", "/openapi.json"):
            status = (await page.get(path)).status_code
            hold(status in {400, 404, 405, 421}, f"GET {path} as evil.example: {status}")
            hold(status != _SERVED, f"GET {path} as evil.example: {status}")
    return "5 routes, none served"


@attack("business figures without a key", limits=True)
async def figures(target: Target) -> str:
    """Health and metrics say nothing about what accounts do."""
    async with target.client() as admin, target.client("") as nobody:
        await target.start(admin)
        for path in ("/metrics", "/healthz", "/readyz", "/api/health", "/health"):
            text = (await nobody.get(path)).text
            for word in ("cost_usd", target.agent, "tokens_total", "jobs_total"):
                hold(word not in text, f"GET {path} reveals {word}")
    return "nothing revealed"


@attack("a month's tokens, started all at once", limits=True)
async def month(target: Target) -> str:
    """Thirty starts at the same moment use no more than what is left of the month."""
    key = await target.key("month", tier="free")
    async with target.client(key) as caller:
        body = {"input": target.agent_input, "async": True, "config": {"max_tokens": 1_000_000}}
        path = f"/v1/agents/{target.agent}/execute"
        answers = await asyncio.gather(*(caller.post(path, json=body) for _ in range(30)))
        accepted = sum(answer.status_code == 202 for answer in answers)
    hold(accepted < 30, f"{accepted} jobs of a million tokens each were accepted for a free key")
    return f"{accepted} of 30 accepted"


@attack("rows without a bound", limits=True)
async def rows(target: Target) -> str:
    """Nothing that is kept for an owner is large, or one of very many."""
    async with target.client(await target.key("rows")) as caller:
        big = {"name": "x", "framework": "autogen", "configuration": {"text": "x" * 1_900_000}}
        status = (await caller.post("/api/configurations", json=big)).status_code
        hold(400 <= status < 500, f"a configuration of 1.9 MB: {status}")
        secret = {"url": "https://example.com/", "events": ["execution.completed"], "secret": "x" * 400_000}
        status = (await caller.post("/api/webhooks", json=secret)).status_code
        hold(400 <= status < 500, f"a webhook's secret of 0.4 MB: {status}")
        kept = 0
        for _ in range(400):
            small = {"name": "x", "framework": "autogen", "configuration": {}}
            if (await caller.post("/api/configurations", json=small)).status_code >= 400:
                break
            kept += 1
    if kept == 400:
        raise GaveWay("one owner keeps 400 configurations")
    return f"one owner keeps {kept} configurations"
