"""The write of a job's end, which its workflow waits for."""

import asyncio
from datetime import UTC, datetime

import pytest

from orchestrator.domain.commands import Outcome
from orchestrator.domain.jobs import JobState
from orchestrator.services.background import Background
from orchestrator.services.jobs import outcomes
from orchestrator.services.jobs.outcomes import EndWriter

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_END = Outcome(job_id="job_1", run_id="r", state=JobState.COMPLETED)


class _Index:
    """An index that takes its time."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.closed: list[str] = []

    async def close(self, outcome: Outcome, *, at: datetime) -> bool:
        assert at == _AT
        await self.answers.wait()
        self.closed.append(outcome.job_id)
        return True


def _writer(index: _Index, writes: Background) -> EndWriter:
    return EndWriter(index, lambda: _AT, asyncio.get_running_loop(), writes)


async def test_a_workflow_ends_after_its_row_is_closed():
    index = _Index()
    report = asyncio.create_task(asyncio.to_thread(_writer(index, Background()).report, _END))
    await asyncio.sleep(0.05)
    assert not report.done()
    index.answers.set()
    await report
    assert index.closed == ["job_1"]


async def test_a_workflow_does_not_wait_long_for_an_index_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outcomes, "_END_WAIT", 0.01)
    index, writes = _Index(), Background()
    await asyncio.to_thread(_writer(index, writes).report, _END)
    assert index.closed == []
    index.answers.set()
    await writes.settle()
    assert index.closed == ["job_1"]
