"""What agents began lately, on both databases."""

from orchestrator.domain.jobs import AttemptStatus
from orchestrator.storage.database import Database
from orchestrator.storage.work import ProviderOutcomes, Work, WorkRepository
from tests.ledger import ledger
from tests.storage.ended import attempt_row, write
from tests.storage.rows import at

AGENT, OTHER = "backend_developer", "api_architect"


@ledger("S-013", "S-016")
async def test_calls_are_counted_once_and_their_attempts_each(database: Database):
    rows = [
        attempt_row("job_1", AttemptStatus.FAILED),
        attempt_row("job_1", attempt=2),
        attempt_row("job_2", AttemptStatus.TIMED_OUT),
        attempt_row("job_2", AttemptStatus.UNKNOWN, attempt=2, completed_at=None),
        attempt_row("job_3", AttemptStatus.RUNNING, completed_at=None),
        attempt_row("job_3", step="b"),
        attempt_row("job_3", step="b", call=2),
        attempt_row("job_4", agent=OTHER),
        attempt_row("job_5", completed_at=at(-100)),
        attempt_row("job_6", agent="somebody_else"),
    ]
    await write(database, attempt_rows=rows)
    found = await WorkRepository(database).calls_since([AGENT, OTHER], since=at(-50), owner=None)
    assert sorted(found, key=lambda one: (one.agent, one.step)) == [
        Work(OTHER, "a", calls=1, completed=1, attempts=1, lost=0),
        Work(AGENT, "a", calls=3, completed=1, attempts=5, lost=2),
        Work(AGENT, "b", calls=2, completed=2, attempts=2, lost=0),
    ]
    assert await WorkRepository(database).calls_since([AGENT, OTHER], since=at(-50), owner="alice") == found
    assert await WorkRepository(database).calls_since([AGENT, OTHER], since=at(-50), owner="bob") == []


async def test_nothing_begun_is_nothing(database: Database):
    assert await WorkRepository(database).calls_since([AGENT], since=at(0), owner=None) == []


@ledger("O-045", "A-026")
async def test_attempts_that_asked_a_provider_are_distinguished(database: Database):
    def failed(number: int, kind: str):
        return attempt_row(f"job_{number}", AttemptStatus.FAILED, error={"type": kind, "message": "failed"})

    rows = [
        *(
            failed(number, kind)
            for number, kind in enumerate(("provider_unreachable", "quota_exhausted", "bad_output"))
        ),
        attempt_row("job_5", model="openai:gpt-4o"),
        attempt_row("job_6", model="offline/drafter"),
        attempt_row("job_7", model="function/t_echo"),
        attempt_row("job_8", AttemptStatus.CANCELLED),
        attempt_row("job_9", model="openai:gpt-4o", completed_at=at(-100)),
    ]
    await write(database, attempt_rows=[{"error": None, "model": None, **row} for row in rows])
    assert await WorkRepository(database).provider_outcomes(since=at(-50)) == ProviderOutcomes(answered=1, failed=2)
