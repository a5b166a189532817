"""Pieces of text of a running agent (A7). They are not history: a lost one is repaired by the final text."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class DeltaKind(StrEnum):
    """`text` goes on where the one before ended; `reset` begins an attempt: what came before is void."""

    TEXT = "text"
    RESET = "reset"


class Delta(BaseModel):
    """One piece of one attempt of one agent call. `index` counts from 0 within the attempt."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    step: str
    agent: str
    call: int = 1
    attempt: int
    index: int
    kind: DeltaKind = DeltaKind.TEXT
    text: str = ""
