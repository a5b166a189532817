"""Payloads and times of Temporal as plain data."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_core import from_json
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from orchestrator.domain import facts
from orchestrator.domain.values import METADATA, Stored, references_of

Decoder = Callable[[HistoryEvent, Mapping[str, Any]], facts.Fact | None]
"""Turns an event into a fact, with its number, run and time; None if the event does not change the job."""


def moment(stamp: Timestamp) -> datetime:
    """A protobuf timestamp as an aware datetime."""
    return stamp.ToDatetime(tzinfo=UTC)


def value(payloads: Any) -> Any:
    """The first payload as plain data: None for no payload and for null, bytes if it is not JSON."""
    first: Payload | None = next(iter(payloads), None)
    encoding = first.metadata.get("encoding", b"") if first else b"binary/null"
    if first is None or encoding == b"binary/null":
        return None
    return json_value(first.data) if encoding.startswith(b"json/") else first.data


def json_value(data: bytes) -> Any:
    """The bytes as JSON; the bytes themselves if they are not JSON, whatever their encoding says.

    The worker uses the same parser. It refuses a lone surrogate, which a response of the API cannot contain.
    """
    try:
        return from_json(data)
    except ValueError:
        return data


def last_value(payloads: Any) -> Any:
    """The last payload as plain data."""
    return value(list(payloads)[-1:])


def plain(payloads: Any) -> dict[str, Any]:
    """The first payload as plain data; empty if there is none, or if it is not a JSON object."""
    plain_value = value(payloads)
    return plain_value if isinstance(plain_value, dict) else {}


def stored_parts(payloads: Any) -> tuple[Stored, ...]:
    """References to the parts of the first payload that are stored beside the job."""
    first: Payload | None = next(iter(payloads), None)
    if first is None or METADATA not in first.metadata:
        return ()
    return references_of(first.metadata[METADATA])


def summary_of(event: HistoryEvent) -> str:
    """The static summary of an activity or a timer, empty if it has none."""
    summary = json_value(event.user_metadata.summary.data)
    return summary if isinstance(summary, str) else ""
