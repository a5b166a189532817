"""The desk reads the wiki over MCP, asks a person before it pays, and pays once."""

from orchestrator.domain.questions import AnswerInput
from orchestrator.testing import Engine, assert_replays, calls, tool

from support_desk.desk import PAID


async def test_a_refund_waits_for_a_yes_and_is_paid_once(engine: Engine) -> None:
    engine.script(
        "support_desk",
        [
            calls(tool("find_order", number="7"), tool("search", words="returned")),
            calls(tool("read_page", name="returns"), tool("find_customer", id="ada")),
            calls(tool("refund", number="7", amount=125.0), tool("refund", number="8", amount=50.0)),
            calls(tool("add_note", text="Ada was paid back.")),
            {"summary": "Paid back.", "output": "You have your money back.", "solved": True},
        ],
    )
    started = await engine.start("support_case", {"message": "I sent order 7 back."})
    job = await engine.eventually(started.job_id, lambda job: bool(job.open_questions))

    [question] = job.open_questions
    assert (question.id, question.details) == ("answer.support_desk.t3.1", {"number": "7", "amount": 125.0})
    assert job.reason is not None
    assert job.reason.code == "waiting_for_approval"
    handle = engine.parts.backend.client.get_workflow_handle(job.id)
    changed = {"approved": True, "arguments": {"number": "7", "amount": 12.5}}
    await handle.execute_update("answer", AnswerInput(step=question.id, values=changed, actor="Grace"))
    job = await engine.ended(job.id)

    assert job.result is not None, job.error
    assert "Paid back." in job.result["output"]
    assert sorted(PAID.values()) == [12.5, 50.0]
    last = engine.requests("support_desk")[-1]
    assert not any("delete_page" in name for name in last.tools)
    assert {"search", "read_page", "refund", "find_order", "find_customer", "add_note"} <= set(last.tools)
    assert "returned within 30 days" in last.tool_results[2]
    assert "A person changed the arguments" in last.tool_results[4]
    tools = {record.id: record for record in job.calls[0].tool_calls}
    assert (tools["t3.1"].answered_by, tools["t3.2"].answered_by) == ("Grace", None)
    assert {record.status for record in tools.values()} == {"completed"}
    await assert_replays([await engine.history(job.id)])
