"""Pieces of text of a running agent (A7). They are not in history: the final text replaces a lost one."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class DeltaKind(StrEnum):
    """`text` continues the text before it; `reset` begins a new attempt: discard the text before it."""

    TEXT = "text"
    RESET = "reset"


class Delta(BaseModel):
    """One piece of one attempt of one agent call. `index` counts from 0 within the attempt."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    step: str
    agent: str
    call: int = 1
    key: str = ""
    attempt: int
    index: int
    kind: DeltaKind = DeltaKind.TEXT
    text: str = ""
