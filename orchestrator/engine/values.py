"""Stores large parts of messages beside their job and sends references through Temporal (decision 0013)."""

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

# Temporal accepts messages of 4 MB. After a task has sent so many bytes inline, parts over `PART_BYTES` are stored too.
_MESSAGE_BYTES: Final = 1024 * 1024
# Seconds between tries for the values of a call, and for all tries. No heartbeat is sent meanwhile, so the tries must
# end before the heartbeat timeout of a call and the timeout of a workflow task.
_PAUSES: Final = tuple(islice(Backoff(0.5, 2.0).pauses(), 3))
_TIMEOUT_SECONDS: Final = 5.0
_KEEP_PAUSE: Final = 15.0
# While the store is down, messages of calls up to this size are sent whole. Temporal accepts twice as much.
_WHOLE_BYTES: Final = 1024 * 1024
_BINARY: Final = b"binary/plain"

_sent: ContextVar[int] = ContextVar("orchestrator_bytes_sent_inline", default=0)
Answer = TypeVar("Answer")


class LateValueStore:
    """The value store of a process, which is set after the client is connected and the index is opened."""

    def __init__(self) -> None:
        self.store: ValueStore | None = None

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store bodies. Raises `Unavailable`, also before the store is set."""
        await self._store().put(job_id, bodies)

    async def get(self, stored: Iterable[Stored]) -> dict[tuple[str, str], str]:
        """The bodies of references and of those nested in them. Raises `NotFound`, `Unavailable`."""
        return await bodies_of(self._store(), stored)

    def _store(self) -> ValueStore:
        if self.store is None:
            raise Unavailable("This process has no value store, so it cannot read a message with stored parts")
        return self.store


async def bodies_of(store: ValueStore, stored: Iterable[Stored]) -> dict[tuple[str, str], str]:
    """The bodies of references and of those nested in them. Raises `NotFound`, `Unavailable`."""
    bodies: dict[tuple[str, str], str] = {}
    pending = list(stored)
    while pending:
        keys_by_job: dict[str, set[str]] = {}
        for reference in pending:
            keys_by_job.setdefault(reference.job_id, set()).add(reference.key)
        for job_id, keys in keys_by_job.items():
            texts = await store.get(job_id, keys)
            bodies |= {(job_id, key): text for key, text in texts.items()}
        nested = {(reference.job_id, reference.key) for reference in pending if reference.nested}
        pending = [inner for place in nested for inner in references(value_of(bodies[place])["stored"])]
    return bodies


class ValueCodec(PayloadCodec, WithSerializationContext):
    """Moves large parts of payloads to the store and back. The references are metadata of the payload, never its data.

    It does not change payloads without a workflow, nor any payload before the store is opened.
    """

    def __init__(
        self,
        values: LateValueStore,
        workflow_id: str | None = None,
        pauses: Iterable[float] = (),
        patience: float | None = None,
    ) -> None:
        self.values = values
        self._workflow_id = workflow_id
        self._pauses = pauses
        self._patience = patience

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for the messages of a workflow. In activities it waits some seconds for the store."""
        match context:
            case WorkflowSerializationContext(workflow_id=workflow_id):
                return type(self)(self.values, workflow_id)
            case ActivitySerializationContext(workflow_id=str(workflow_id)):
                return type(self)(self.values, workflow_id, _PAUSES, _TIMEOUT_SECONDS)
            case _:
                return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Store the large parts of payloads. Raises `Unavailable`."""
        return [await self._encode_payload(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Put stored parts back. Raises `NotFound`, `Unavailable`."""
        return [await self._decode_payload(payload) for payload in payloads]

    async def keep(self, workflow_id: str, message: BaseModel) -> None:
        """Store the large parts of a message of a workflow before it is sent.

        Waits for a store that is down: some seconds if the message can be sent whole, else without limit.
        """
        [payload] = pydantic_data_converter.payload_converter.to_payloads([message])
        pauses = _PAUSES if len(payload.data) <= _WHOLE_BYTES else chain(_PAUSES, repeat(_KEEP_PAUSE))
        await type(self)(self.values, workflow_id, pauses).encode([payload])

    async def put_back(self, event: HistoryEvent, *, with_inputs: bool = False) -> None:
        """Put stored parts back into an event that has the input of a run or the result of a call.

        With `with_inputs`, also into the input of a call. Raises the same errors as `decode`.
        """
        details = event.marker_recorded_event_attributes.details
        for payloads in (
            event.workflow_execution_started_event_attributes.input,
            event.activity_task_completed_event_attributes.result,
            *([details["result"]] if "result" in details else ()),
            *([event.activity_task_scheduled_event_attributes.input] if with_inputs else ()),
        ):
            if payloads.payloads:
                await self.decode_wrapper(payloads)

    async def _encode_payload(self, payload: Payload) -> Payload:
        of_many_calls = self._pauses and _sent.get() >= _MESSAGE_BYTES
        inline = PART_BYTES if of_many_calls else INLINE_BYTES
        size = len(payload.data)
        if size <= inline or self._workflow_id is None or self.values.store is None or METADATA in payload.metadata:
            _sent.set(_sent.get() + size)
            return payload
        binary = payload.metadata.get("encoding") == _BINARY
        message = base64.b64encode(payload.data).decode() if binary else _plain_data(payload)
        parts = split(self._workflow_id, message, inline=inline)
        if message is None or not parts.stored:
            _sent.set(_sent.get() + size)
            return payload
        workflow_id, bodies = self._workflow_id, parts.bodies
        try:
            await self._with_retries(lambda: self.values.put(workflow_id, bodies))
        except Unavailable as fault:
            if not self._pauses or size > _WHOLE_BYTES:
                raise
            log.warning("value_carried_whole", error=fault.message, bytes=size)
            _sent.set(_sent.get() + size)
            return payload
        data = b"" if binary else text_of(parts.rest).encode()
        _sent.set(_sent.get() + len(data))
        return Payload(metadata={**payload.metadata, METADATA: references_text(parts.stored)}, data=data)

    async def _decode_payload(self, payload: Payload) -> Payload:
        stored = references_of(payload.metadata[METADATA]) if METADATA in payload.metadata else ()
        if not stored:
            return payload
        bodies = await self._with_retries(lambda: self.values.get(stored))
        binary = payload.metadata.get("encoding") == _BINARY
        message = restored(None if binary else value_of(payload.data), stored, bodies)
        data = base64.b64decode(message) if binary else text_of(message).encode()
        metadata = {name: value for name, value in payload.metadata.items() if name != METADATA}
        return Payload(metadata=metadata, data=data)

    async def _with_retries(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
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
            raise Unavailable(f"The value store did not answer within {self._patience} seconds") from None


def _plain_data(payload: Payload) -> Any:
    """The message as plain data, or None if it is not JSON. Such messages are sent unchanged."""
    if payload.metadata.get("encoding") != b"json/plain":
        return None
    try:
        return value_of(payload.data)
    except ValueError:
        return None
