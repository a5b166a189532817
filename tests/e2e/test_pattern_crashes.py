"""The seven patterns, as plans and in code, while their worker is killed at random moments.

The model counts its requests. Only requests that were in flight at a kill are made again.
"""

import asyncio
import json
import os
import random
import re
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.domain.jobs import Job, JobState, ToolStatus
from orchestrator.plugins import load_plugins
from orchestrator.projection.job import project
from orchestrator.testing import Engine, assert_replays, calls, eventually, running_engine, tool
from orchestrator.testing.scripts import Reply, chunks, document
from tests.e2e.plugin import EFFECTS
from tests.e2e.processes import Command

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "patterns"))
PLUGINS = load_plugins(["tests.e2e.patterns_plugin"])
AGENTS = {agent.id: agent for plugin in PLUGINS for agent in plugin.agents if agent.squad == "patterns"}
# A longer exploration: CRASH_KILLS=12 CRASH_SEED=7.
KILLS, SEED = int(os.environ.get("CRASH_KILLS", "2")), int(os.environ.get("CRASH_SEED", "15"))
TOKENS = 120  # Of each answer.

WORK = {"p_lead": 1, "p_worker": 3, "p_editor": 1}
NEEDED = {
    "chaining": {"p_outliner": 1, "p_checker": 1, "p_writer": 1},
    "routing": {"p_classifier": 1, "p_answerer": 1, **WORK},
    "voting": {"p_lawyer": 1, "p_accountant": 1, "p_engineer": 1, "p_chair": 1},  # And three to five jurors.
    "workers": WORK,
    "polishing": {"p_writer": 2, "p_reviewer": 2, "p_publisher": 1},
    "desk": {"p_desk": 3},
    "shipping": {"p_shipper": 1},
}
CODE = {"desk": "p_desk_case"}
TARGETS = {
    **{f"{pattern}_code": CODE.get(pattern, f"p_{pattern}") for pattern in NEEDED},
    **{f"{pattern}_plan": f"p_{pattern}_plan" for pattern in NEEDED},
}
MOST_NEEDED = 2 * (sum(sum(needed.values()) for needed in NEEDED.values()) + 3)


@dataclass(frozen=True)
class Asked:
    """One request to the model: of which job and agent, and all that it said, which no other call says."""

    tag: str
    agent: str
    messages: str


def _answer(agent: str, tag: str, marker: str, prompt: str, results: int) -> Reply:
    if agent == "p_desk" and results < 2:
        return calls(tool("find_order", number=marker) if results == 0 else tool("refund", number=marker, amount=4.0))
    text = f"{agent} of {tag}: {marker}"
    if agent == "p_writer" and "too long" in prompt:
        text += " shorter"
    own: dict[str, Any] = {
        "p_checker": {"good": True},
        "p_classifier": {"topic": "tech"},
        "p_juror": {"guilty": True},
        "p_lead": {"tasks": [{"id": id, "goal": f"{id} of {tag}"} for id in ("a", "b", "c")]},
        "p_reviewer": {"approved": "shorter" in prompt, "remarks": "too long"},
    }.get(agent, {})
    return AGENTS[agent].output_model.model_validate({"summary": text, "output": text, **own})


@dataclass
class PatternModel:
    """Answers as each agent does after a random time. Each answer has a marker, by which a history shows it."""

    rng: random.Random
    url: str = ""
    requests: list[Asked] = field(default_factory=list)

    def marker(self, number: int) -> str:
        return f"answer-{number}-end"

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        messages = json.dumps(body["messages"])
        [agent] = [id for id, agent in AGENTS.items() if agent.instructions in messages]
        tags = set(re.findall(r"job-[a-z]+_(?:code|plan)", messages))
        assert len(tags) == 1, messages
        marker = self.marker(len(self.requests))
        self.requests.append(Asked(tag := tags.pop(), agent, messages))
        results = sum(message["role"] == "tool" for message in body["messages"])
        reply = _answer(agent, tag, marker, messages, results)
        offered = [offer["function"]["name"] for offer in body.get("tools", [])]
        await asyncio.sleep(self.rng.uniform(0.02, 0.5))
        if not body.get("stream"):
            return JSONResponse(document(reply, offered))

        async def stream() -> AsyncIterator[str]:
            for chunk in chunks(reply, offered):
                yield f"data: {json.dumps(chunk)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await running


@dataclass(frozen=True)
class Kill:
    """The death of the worker: how many requests and tools had started, and which of them histories record as ended."""

    requests: int
    starts: int
    answers: frozenset[int]
    effects: frozenset[str]


async def _jobs(engine: Engine, job_ids: list[str]) -> list[Job]:
    """The jobs and their children."""
    jobs = [await engine.job(job_id) for job_id in job_ids]
    return jobs + [await engine.job(call.child) for job in jobs for call in job.calls if call.child]


async def _kill(engine: Engine, worker: Command, model: PatternModel, job_ids: list[str], effects: Path) -> Kill:
    await worker.kill()
    jobs = await _jobs(engine, job_ids)
    histories = [await engine.history(job.id) for job in jobs]
    recorded = b"".join(event.SerializeToString() for history in histories for event in history.events)
    answers = {at for at in range(len(model.requests)) if model.marker(at).encode() in recorded}
    tools = [record for job in jobs for call in job.calls for record in call.tool_calls]
    ended = {record.effect_id for record in tools if record.status is ToolStatus.COMPLETED}
    return Kill(len(model.requests), len(_lines(effects, "start")), frozenset(answers), frozenset(ended))


def _ends(job: Job) -> list[tuple[Any, ...]]:
    """How each call ended. The index adds times and tokens of attempts that history does not know."""
    return [(call.call_id, call.status, len(call.attempts), call.error, call.child) for call in job.calls]


def _lines(effects: Path, what: str) -> list[tuple[str, str]]:
    """The effect ids and the tools that started or ended, in order."""
    lines = [line.split() for line in effects.read_text().splitlines()]
    return [(line[1], line[3]) for line in lines if line[0] == what]


async def _attend(engine: Engine, job_id: str) -> None:
    """Enter the address and agree to the shipment, whatever becomes of the worker meanwhile."""
    await engine.eventually(job_id, lambda job: bool(job.open_questions), 120)
    tag = (await engine.job(job_id)).input["tag"]
    await engine.answer(job_id, "address", {"street": f"{tag} 1", "city": "Ulm"} if "plan" in tag else {"street": tag})
    await engine.eventually(job_id, lambda job: bool(job.waiting_steps), 120)
    await engine.approve(job_id)


def _repeated(asked: list[Any], kills: list[Kill], since: str, in_flight: Any) -> list[Any]:
    """What was done again although no kill came between, or although it was finished at each of them."""
    last: dict[Any, int] = {}
    wrong = []
    for at, each in enumerate(asked):
        if each in last:
            between = [kill for kill in kills if last[each] < getattr(kill, since) <= at]
            if not any(in_flight(kill, last[each], each) for kill in between):
                wrong.append(each)
        last[each] = at
    return wrong


def _worker(folder: Path, address: str, queue: str, model: PatternModel, effects: Path) -> Command:
    environment = {
        "TEMPORAL_ADDRESS": address,
        "ORCHESTRATOR_TASK_QUEUE": queue,
        "ORCHESTRATOR_PLUGINS": "tests.e2e.patterns_plugin",
        "ORCHESTRATOR_LLM_BASE_URL": model.url,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'examples' / 'patterns'}",
        EFFECTS: str(effects),
    }
    return Command(folder, "worker", "--data-dir", str(folder / "data"), **environment)


async def _start_all(engine: Engine) -> dict[str, str]:
    """The ids of one job for each pattern, declared and in code. Each input has a tag that no other job has."""
    job_ids: dict[str, str] = {}
    for name, target in TARGETS.items():
        tag = f"job-{name}"
        texts = dict.fromkeys(("tag", "topic", "message", "case", "goal", "brief"), tag)
        input = {**texts, "seats": [f"{seat}.{tag}" for seat in "abcde"]}
        job_ids[name] = (await engine.start(target, input)).job_id
    return job_ids


async def _run_and_kill(engine: Engine, worker: Command, model: PatternModel, effects: Path) -> list[Kill]:
    """Run all jobs to their ends and kill the worker meanwhile, each time once so many requests have come."""
    rng = random.Random(SEED)
    job_ids = await _start_all(engine)
    people = [asyncio.create_task(_attend(engine, job_ids[f"shipping_{kind}"])) for kind in ("code", "plan")]
    kills = []
    await worker.start()
    for moment in sorted(rng.sample(range(2, MOST_NEEDED * 3 // 4), KILLS)):
        await eventually(lambda: asyncio.sleep(0, len(model.requests)), lambda count, at=moment: count >= at, 90)
        await asyncio.sleep(rng.uniform(0, 0.3))
        kills.append(await _kill(engine, worker, model, list(job_ids.values()), effects))
        await worker.start()
    for job_id in job_ids.values():
        await engine.ended(job_id, 120)
    await asyncio.gather(*people)
    return kills


def _check_requests(requests: list[Asked], kills: list[Kill]) -> None:
    """Every request that was needed came, and none twice that had been answered for a history."""
    assert _repeated(requests, kills, "requests", lambda kill, at, _: at not in kill.answers) == []
    made = Counter((each.tag, each.agent) for each in set(requests))
    jurors = {tag: count for (tag, agent), count in made.items() if agent == "p_juror"}
    needed = {(f"job-{name}", agent): n for name in TARGETS for agent, n in NEEDED[name.split("_")[0]].items()}
    assert {key: count for key, count in made.items() if key[1] != "p_juror"} == needed
    assert all(3 <= count <= 5 for count in jurors.values())
    assert len(jurors) == 2


def _check_tools(effects: Path, kills: list[Kill]) -> None:
    starts = _lines(effects, "start")
    assert _repeated(starts, kills, "starts", lambda kill, _, start: start[0] not in kill.effects) == []
    assert len(set(starts)) == len({effect for effect, _ in starts}) == 4
    assert {effect for effect, _ in starts} == {effect for effect, _ in _lines(effects, "end")}


async def test_a_worker_killed_at_random_moments_repeats_only_what_was_in_flight(
    temporal_address: str, tmp_path: Path
) -> None:
    model, effects, queue = PatternModel(random.Random(SEED)), tmp_path / "effects.txt", f"crash-{tmp_path.name}"
    effects.touch()
    async with (
        model.serving(),
        running_engine(temporal_address, tmp_path / "data", PLUGINS, worker=False, task_queue=queue) as engine,
    ):
        worker = _worker(tmp_path, temporal_address, queue, model, effects)
        try:
            kills = await _run_and_kill(engine, worker, model, effects)
        except BaseException:
            sys.stdout.write(worker.text()[-8000:])
            raise
        finally:
            await worker.kill()

        _check_requests(model.requests, kills)
        _check_tools(effects, kills)
        jobs = await _jobs(engine, engine._job_ids)
        assert [(job.definition, job.error) for job in jobs if job.state is not JobState.COMPLETED] == []
        needed, sent = (Counter(each.tag for each in requests) for requests in (set(model.requests), model.requests))
        for name, job in zip(TARGETS, jobs, strict=False):
            if "voting" not in name:  # An answer that came before its worker died is billed, though nobody read it.
                tag = f"job-{name}"
                assert TOKENS * needed[tag] <= job.usage.total_tokens <= TOKENS * sent[tag], name
        for job in jobs:
            facts, _ = await engine.parts.backend.gateway.read(job.id)
            folded = project(job.id, facts)
            assert (folded.state, folded.result, _ends(folded)) == (job.state, job.result, _ends(job))
            assert len({call.call_id for call in job.calls}) == len(job.calls)
        await assert_replays([await engine.history(job.id) for job in jobs], PLUGINS)
