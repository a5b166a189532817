"""Tests of the recall, on a real engine. A script answers in the place of the model."""

import pytest
from orchestrator.authoring import Plugin
from orchestrator.testing import Engine, calls, tool
from temporalio.client import WorkflowUpdateFailedError

from recall import plugin

RECALL = {"product": "S7", "fault": "Brakes fail downhill", "customers": [f"C{number}" for number in range(1, 21)]}


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The plugins of the engine under test."""
    return [plugin]


async def test_a_refused_letter_is_written_again_and_sent_to_everybody(engine: Engine) -> None:
    engine.script(
        "letter_writer",
        [
            calls(tool("find_product", number="S7"), tool("repair_price", number="S7", hours=0.5)),
            {"output": "Dear customer, brakes fail."},
            {"output": "Dear customer, please stop skating."},
        ],
    )
    reviewer = engine.script("letter_reviewer", [{"approved": False, "remarks": "What to do?"}, {"approved": True}])

    started = await engine.start("recall", RECALL)
    waiting = await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    assert waiting.open_questions[0].details == "Dear customer, please stop skating."
    await engine.answer(started.job_id, "release", {"send": True, "signature": "Wile E."})

    job = await engine.ended(started.job_id)
    assert job.result, job.error
    assert job.result["metadata"]["note"] == "20 letters sent"
    assert sum(call.agent == "letter_mailer" for call in job.calls) == 20
    [look_up] = await engine.calls("find_product")
    assert (look_up.arguments, look_up.result, look_up.attempts) == ('number: "S7"', "Rocket Skates, red", 1)
    assert "What to do?" in engine.requests("letter_writer")[2].prompt
    assert len(reviewer.requests) == 2


async def test_nothing_is_sent_without_a_yes(engine: Engine) -> None:
    engine.script("letter_reviewer", [{"approved": True}])

    started = await engine.start("recall", RECALL)
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    with pytest.raises(WorkflowUpdateFailedError):  # A wrong value changes nothing.
        await engine.answer(started.job_id, "release", {"send": "maybe"})
    await engine.answer(started.job_id, "release", {"send": False})

    job = await engine.ended(started.job_id)
    assert job.result, job.error
    assert job.result["metadata"]["note"] == "not sent"
    assert not [call for call in job.calls if call.agent == "letter_mailer"]
