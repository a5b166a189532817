"""Carries large parts of messages past Temporal: they are stored beside their job and referenced (decision 0013)."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from itertools import chain, islice, repeat
from typing import Any, Final, Self, TypeVar

import structlog
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import (
    INLINE_BYTES,
    METADATA,
    PART_BYTES,
    Stored,
    references,
    references_of,
    references_text,
    restored,
    split,
    text_of,
    value_of,
)

log = structlog.get_logger(__name__)

# Temporal takes messages of 4 MB. Once a task has sent so much inline in its calls, parts over `PART_BYTES` are stored.
_MESSAGE_BYTES: Final = 1024 * 1024
# Seconds between tries of a call's own values, and for all of them: no beat is sent meanwhile, so they must end before
# a call's heartbeat timeout, and a workflow task's, are over.
_PAUSES: Final = tuple(islice(Backoff(0.5, 2.0).pauses(), 3))
_PATIENCE: Final = 5.0
_KEEP_PAUSE: Final = 15.0
# While the store is away, a call's message up to this size is carried whole. Temporal takes twice as much.
_WHOLE_BYTES: Final = 1024 * 1024
_BINARY: Final = b"binary/plain"

_sent: ContextVar[int] = ContextVar("orchestrator_bytes_sent_inline", default=0)
Answer = TypeVar("Answer")


class OpenedLater:
    """The value store of a process. A client is connected before the index is opened; until then there is none."""

    def __init__(self) -> None:
        self.store: ValueStore | None = None

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store bodies. Raises `Unavailable`."""
        await self._opened().put(job_id, bodies)

    async def get(self, stored: Iterable[Stored]) -> dict[tuple[str, str], str]:
        """The bodies of references and of those nested in them. Raises `NotFound`, `Unavailable`."""
        return await bodies_of(self._opened(), stored)

    def _opened(self) -> ValueStore:
        if self.store is None:
            raise Unavailable("This process has no value store: it cannot read a message with stored parts")
        return self.store


async def bodies_of(store: ValueStore, stored: Iterable[Stored]) -> dict[tuple[str, str], str]:
    """The bodies of references and of those nested in them. Raises `NotFound`, `Unavailable`."""
    bodies: dict[tuple[str, str], str] = {}
    todo = list(stored)
    while todo:
        wanted: dict[str, set[str]] = {}
        for reference in todo:
            wanted.setdefault(reference.job_id, set()).add(reference.key)
        for job_id, keys in wanted.items():
            texts = await store.get(job_id, keys)
            bodies |= {(job_id, key): text for key, text in texts.items()}
        nested = {(each.job_id, each.key) for each in todo if each.nested}
        todo = [inner for place in nested for inner in references(value_of(bodies[place])["stored"])]
    return bodies


class ValueCodec(PayloadCodec, WithSerializationContext):
    """Takes large parts out of payloads and puts them back. Which parts, the payload's metadata say, never its data.

    A payload that belongs to no workflow is left as it is, and so is every one before the store is opened.
    """

    def __init__(
        self,
        values: OpenedLater,
        workflow_id: str | None = None,
        pauses: Iterable[float] = (),
        patience: float | None = None,
    ) -> None:
        self.values = values
        self._workflow_id = workflow_id
        self._pauses = pauses
        self._patience = patience

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for the messages of one workflow; in activities it waits some seconds for the store."""
        match context:
            case WorkflowSerializationContext(workflow_id=workflow_id):
                return type(self)(self.values, workflow_id)
            case ActivitySerializationContext(workflow_id=str(workflow_id)):
                return type(self)(self.values, workflow_id, _PAUSES, _PATIENCE)
            case _:
                return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Store the large parts of payloads. Raises `Unavailable`."""
        return [await self._encoded(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Put stored parts back. Raises `NotFound`, `Unavailable`."""
        return [await self._decoded(payload) for payload in payloads]

    async def keep(self, workflow_id: str, message: BaseModel) -> None:
        """Store what a message of a workflow will refer to when it is sent.

        Waits for a store that is away: some seconds for a message that can be carried whole, else without end.
        """
        [payload] = pydantic_data_converter.payload_converter.to_payloads([message])
        pauses = _PAUSES if len(payload.data) <= _WHOLE_BYTES else chain(_PAUSES, repeat(_KEEP_PAUSE))
        await type(self)(self.values, workflow_id, pauses).encode([payload])

    async def put_back(self, event: HistoryEvent, *, asked: bool = False) -> None:
        """Put stored parts back into an event with the input of a run or the result of a call, or, if `asked`, with
        what a call is asked for. Raises as `decode`."""
        details = event.marker_recorded_event_attributes.details
        for payloads in (
            event.workflow_execution_started_event_attributes.input,
            event.activity_task_completed_event_attributes.result,
            *([details["result"]] if "result" in details else ()),
            *([event.activity_task_scheduled_event_attributes.input] if asked else ()),
        ):
            if payloads.payloads:
                await self.decode_wrapper(payloads)

    async def _encoded(self, payload: Payload) -> Payload:
        of_many_calls = self._pauses and _sent.get() >= _MESSAGE_BYTES
        inline = PART_BYTES if of_many_calls else INLINE_BYTES
        size = len(payload.data)
        if size <= inline or self._workflow_id is None or self.values.store is None or METADATA in payload.metadata:
            _sent.set(_sent.get() + size)
            return payload
        binary = payload.metadata.get("encoding") == _BINARY
        message = base64.b64encode(payload.data).decode() if binary else _json(payload)
        parts = split(self._workflow_id, message, inline=inline)
        if message is None or not parts.stored:
            _sent.set(_sent.get() + size)
            return payload
        workflow_id, bodies = self._workflow_id, parts.bodies
        try:
            await self._patiently(lambda: self.values.put(workflow_id, bodies))
        except Unavailable as fault:
            if not self._pauses or size > _WHOLE_BYTES:
                raise
            log.warning("value_carried_whole", error=fault.message, bytes=size)
            _sent.set(_sent.get() + size)
            return payload
        data = b"" if binary else text_of(parts.rest).encode()
        _sent.set(_sent.get() + len(data))
        return Payload(metadata={**payload.metadata, METADATA: references_text(parts.stored)}, data=data)

    async def _decoded(self, payload: Payload) -> Payload:
        stored = references_of(payload.metadata[METADATA]) if METADATA in payload.metadata else ()
        if not stored:
            return payload
        bodies = await self._patiently(lambda: self.values.get(stored))
        binary = payload.metadata.get("encoding") == _BINARY
        message = restored(None if binary else value_of(payload.data), stored, bodies)
        data = base64.b64decode(message) if binary else text_of(message).encode()
        metadata = {name: value for name, value in payload.metadata.items() if name != METADATA}
        return Payload(metadata=metadata, data=data)

    async def _patiently(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(self._patience):
                for pause in self._pauses:
                    try:
                        return await work()
                    except Unavailable as fault:
                        log.warning("value_store_away", error=fault.message, seconds=pause)
                        await asyncio.sleep(pause)
                return await work()
        except TimeoutError:
            raise Unavailable("The value store does not answer") from None


def _json(payload: Payload) -> Any:
    """The message as plain data; None for what is no JSON, which is carried as it is."""
    if payload.metadata.get("encoding") != b"json/plain":
        return None
    try:
        return value_of(payload.data)
    except ValueError:
        return None
