"""Large parts are taken out and put back: whatever the message, and whatever it holds."""

import json
import random
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import ActivitySerializationContext, WorkflowSerializationContext

from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.values import INLINE_BYTES, METADATA, PART_BYTES, Stored, restored, split, text_of
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.engine.values import LateValueStore, ValueCodec, bodies_of
from orchestrator.storage.values import CachedValues

JOB = "wf_job_1"
BIG = "x" * 100_000


class Memory:
    """A `ValueStore` in memory that counts."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}
        self.puts = self.gets = 0

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        self.puts += len(bodies)
        self.texts |= {(job_id, key): text for key, text in bodies.items()}

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        self.gets += len(keys)
        if any((job_id, key) not in self.texts for key in keys):
            raise NotFound("gone")
        return {key: self.texts[job_id, key] for key in keys}

    async def forget(self, job_id: str) -> None:
        self.texts = {place: text for place, text in self.texts.items() if place[0] != job_id}


def anything(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 5 or kind < 0.4:
        return chance.choice(["é" * chance.choice([1, 3000, 20_000, 60_000]), 7, None, True, 1.5, ""])
    if kind < 0.7:
        return [anything(chance, depth + 1) for _ in range(chance.randint(0, 6))]
    return {f"k{number}": anything(chance, depth + 1) for number in range(chance.randint(0, 6))}


@pytest.mark.parametrize("seed", range(100))
def test_every_message_comes_back_and_what_is_left_is_small(seed: int) -> None:
    chance = random.Random(seed)
    message = {"plan": anything(chance, 4), "input": anything(chance), "rest": anything(chance)}
    parts = split(JOB, message)
    bodies = {(JOB, key): text for key, text in parts.bodies.items()}
    assert restored(parts.rest, parts.stored, bodies) == message
    assert len(text_of({**parts.rest, "plan": None}).encode()) <= INLINE_BYTES
    assert parts.rest["plan"] == message["plan"]


@pytest.mark.parametrize(
    "message",
    [BIG, [BIG, 1], {"a": {"b": [{"c": BIG}]}}, {str(n): n for n in range(50_000)}, [{"n": "x" * 3000}] * 100],
    ids=["text", "list", "deep", "many-small", "small-parts"],
)
def test_forms_of_messages(message: Any) -> None:
    parts = split(JOB, message)
    assert len(text_of(parts.rest)) < PART_BYTES
    assert type(parts.rest) is type(message)
    assert restored(parts.rest, parts.stored, {(JOB, key): text for key, text in parts.bodies.items()}) == message


def test_the_same_text_is_one_body_in_whatever_message() -> None:
    task = {"input": {"text": BIG}, "context": [{"step": "a", "output": BIG + "a"}, {"step": "b", "output": BIG}]}
    result = {"output": "done", "deliverables": [{"path": "a", "content": BIG + "a"}]}
    assert split(JOB, result).bodies.keys() < split(JOB, task).bodies.keys()
    assert len(split(JOB, task).bodies) == 2


def test_many_answers_are_referenced_one_by_one() -> None:
    answers = [{"step": f"s{n}", "output": f"{n} {BIG}", "summary": "s" * 900} for n in range(60)]
    parts = split(JOB, {"carried": {"results": answers}})
    single = set().union(*(split(JOB, {"output": answer["output"]}).bodies for answer in answers))
    assert single < parts.bodies.keys()
    assert sum(map(len, parts.bodies.values())) < 60 * len(BIG) + 150_000


def test_a_field_that_is_kept_is_taken_out_when_it_is_huge() -> None:
    parts = split(JOB, {"plan": "p" * 2_000_000})
    assert [part.at for part in parts.stored] == [("plan",)]


def codec(store: Any, workflow_id: str | None = JOB) -> ValueCodec:
    values = LateValueStore()
    values.store = store
    return ValueCodec(values, workflow_id)


def payload(value: Any, encoding: bytes = b"json/plain") -> Payload:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Payload(metadata={"encoding": encoding}, data=data)


async def test_a_payload_goes_and_comes_back() -> None:
    store = Memory()
    for value in ({"a": BIG, "b": 1}, BIG, [BIG] * 3):
        [sent] = await codec(store).encode([payload(value)])
        assert (len(sent.data) < 1000, METADATA in sent.metadata) == (True, True)
        [back] = await codec(store, None).decode([sent])
        assert (json.loads(back.data), dict(back.metadata)) == (value, {"encoding": b"json/plain"})


async def test_bytes_go_and_come_back() -> None:
    [sent] = await codec(store := Memory()).encode([payload(b"\xff" * 100_000, b"binary/plain")])
    assert sent.data == b""
    assert (await codec(store).decode([sent]))[0] == payload(b"\xff" * 100_000, b"binary/plain")


@pytest.mark.parametrize("encoding", [b"json/plain", b"json/protobuf", b"binary/encrypted"])
async def test_what_is_no_json_of_ours_is_carried_as_it_is(encoding: bytes) -> None:
    strange = payload(b"\xff{" * 50_000, encoding)
    assert await codec(Memory()).encode([strange]) == [strange]


async def test_small_payloads_and_those_of_no_workflow_are_left_alone() -> None:
    store = Memory()
    for one, each in ((payload({"a": "x" * 60_000}), codec(store)), (payload({"a": BIG}), codec(store, None))):
        assert await each.encode([one]) == [one]
    assert await codec(None).encode([payload({"a": BIG})]) == [payload({"a": BIG})]
    assert store.puts == 0


async def test_a_message_of_many_payloads_stays_under_the_servers_limit() -> None:
    about = {"activity_id": None, "activity_type": None, "activity_task_queue": None, "workflow_type": None}
    call = ActivitySerializationContext(namespace="default", workflow_id=JOB, is_local=False, **about)
    of_calls = codec(Memory(), None).with_context(call)
    sent = await of_calls.encode([payload({"context": f"{n}" + "x" * 60_000}) for n in range(500)])
    assert sum(each.ByteSize() for each in sent) < 2_000_000


async def test_only_metadata_name_values_never_data() -> None:
    store = Memory()
    [secret] = await codec(store, "job_other").encode([payload({"secret": BIG})])
    reference = json.loads(secret.metadata[METADATA])[0]
    forged = payload({"stored": [reference], METADATA: [reference], "secret": reference, "orchestrator": BIG})
    [sent] = await codec(store).encode([forged])
    [back] = await codec(store).decode([sent])
    assert json.loads(back.data) == json.loads(forged.data)
    assert "xxx" not in json.dumps(json.loads(back.data)["secret"])


async def test_metadata_of_somebody_else_are_left_alone() -> None:
    strange = payload({"a": 1})
    strange.metadata[METADATA] = b"[{"
    assert await codec(Memory()).decode([strange]) == [strange]


async def test_a_reference_without_a_store_says_so() -> None:
    [sent] = await codec(Memory()).encode([payload({"a": BIG})])
    for own in (OrchestratorPlugin().data_converter.payload_codec, codec(None)):  # type: ignore[union-attr]
        with pytest.raises(Unavailable, match="no value store"):
            await own.with_context(WorkflowSerializationContext("default", JOB)).decode([sent])  # type: ignore[union-attr]


async def test_a_value_that_is_gone_is_named() -> None:
    [sent] = await codec(store := Memory()).encode([payload({"a": BIG})])
    await store.forget(JOB)
    with pytest.raises(NotFound):
        await codec(store).decode([sent])


async def test_the_cache_sends_once_reads_once_and_has_an_end() -> None:
    store = Memory()
    values = CachedValues(store, most_bytes=250)
    for key in ("a", "b", "a"):
        await values.put(JOB, {key: key * 100})
    assert store.puts == 2
    assert await values.get(JOB, ["a", "b"]) == {"a": "a" * 100, "b": "b" * 100}
    await values.put(JOB, {"c": "c" * 100})  # "a" was used before "b"
    assert (store.gets, await values.get(JOB, ["b", "c"])) == (0, {"b": "b" * 100, "c": "c" * 100})
    assert (await values.get(JOB, ["a"]), store.gets) == ({"a": "a" * 100}, 1)
    await values.forget(JOB)
    with pytest.raises(NotFound):
        await values.get(JOB, ["a"])


async def test_nested_values_are_read_level_by_level() -> None:
    store = Memory()
    message = {"list": [{"text": f"{n}" + "x" * 5000, "more": "m" * 3000} for n in range(200)]}
    parts = split(JOB, message)
    assert any(part.nested for part in parts.stored)
    await store.put(JOB, parts.bodies)
    assert restored(parts.rest, parts.stored, await bodies_of(store, parts.stored)) == message


def test_a_reference_is_seen_from_further_out() -> None:
    part = Stored(at=("text",), job_id=JOB, key="k", bytes=1)
    assert part.under("input").at == ("input", "text")
