"""Each pattern in code makes the calls that it needs, and no other."""

from orchestrator.testing import Engine, calls, fails, tool

from agent_patterns.agents import Task


async def test_chaining_writes_only_what_passes_the_gate(engine: Engine) -> None:
    engine.script("p_checker", [{"good": False, "why": "too thin"}, {"good": True}])
    written = engine.script("p_writer", [{"output": "A text."}])
    refused = await engine.run("p_chaining", {"topic": "tea"})
    assert refused.result, refused.error
    assert (refused.result["metadata"]["note"], len(refused.calls)) == ("too thin", 2)
    job = await engine.run("p_chaining", {"topic": "tea"})
    assert job.result, job.error
    assert (job.result["output"], len(job.calls), len(written.requests)) == ("A text.", 3, 1)


async def test_routing_asks_one_desk_or_starts_a_child(engine: Engine) -> None:
    engine.script("p_classifier", [{"topic": "refund"}, {"topic": "tech"}])
    engine.script("p_lead", [{"tasks": [{"id": "a", "goal": "logs"}]}])
    refund = await engine.run("p_routing", {"message": "My money!"})
    assert [call.agent for call in refund.calls] == ["p_classifier", "p_refunds", "p_answerer"]
    tech = await engine.run("p_routing", {"message": "It is broken"})
    assert [call.agent for call in tech.calls] == ["p_classifier", "p_workers", "p_answerer"]
    child = await engine.job(tech.calls[1].child or "")
    assert (child.state, child.usage) == ("COMPLETED", tech.calls[1].usage)


async def test_voting_needs_three_votes(engine: Engine) -> None:
    for seat, guilty in zip("abcde", [True, True, False, True, False], strict=True):
        engine.script(f"p_juror[{seat}].p_juror", [{"guilty": guilty}], unused=True)
    chair = engine.script("p_chair", [{"output": "Decided."}])
    job = await engine.run("p_voting", {"case": "tea", "seats": list("abcde")})
    assert job.result, job.error
    assert job.result["output"] == "Decided."
    assert sum(call.status == "completed" for call in job.calls if call.agent == "p_juror") >= 3
    assert len(chair.requests) == 1


async def test_workers_tolerate_a_failed_task(engine: Engine) -> None:
    tasks = [Task(id=id, goal=id.upper()) for id in ("a", "b", "c")]
    engine.script("p_lead", [{"tasks": [task.model_dump() for task in tasks]}])
    engine.script("p_worker[b].p_worker", [fails(400)])
    editor = engine.script("p_editor", [{"output": "Merged."}])
    job = await engine.run("p_workers", {"goal": "tea"})
    assert job.result, job.error
    assert (job.result["output"], job.result["status"], len(job.calls)) == ("Merged.", "partial", 5)
    assert [failure["step"] for failure in job.result["metadata"]["failed"]] == ["p_worker"]
    assert len(editor.requests) == 1


async def test_polishing_stops_at_the_first_approval_and_after_three_rounds(engine: Engine) -> None:
    refused = {"approved": False, "remarks": "too long"}
    engine.script("p_reviewer", [refused, {"approved": True}, refused, refused, refused])
    writer = engine.script("p_writer", [{"output": f"Draft {number}."} for number in range(5)])
    job = await engine.run("p_polishing", {"brief": "tea"})
    assert [(call.agent, call.key) for call in job.calls] == [
        ("p_writer", "1"),
        ("p_reviewer", "1"),
        ("p_writer", "2"),
        ("p_reviewer", "2"),
        ("p_publisher", ""),
    ]
    assert "too long" in writer.requests[1].prompt
    never = await engine.run("p_polishing", {"brief": "tea"})
    assert never.error
    assert (never.error.type, len(never.calls)) == ("never_approved", 6)


async def test_the_desk_uses_its_tools(engine: Engine) -> None:
    answers = [calls(tool("find_order", number="7")), calls(tool("refund", number="7", amount=40.0))]
    desk = engine.script("p_desk", [*answers, {"output": "You get 40 € back."}])
    job = await engine.run("p_desk_case", {"message": "Order 7 never came"})
    assert job.result, job.error
    assert (job.result["output"], len(job.calls), len(desk.requests)) == ("You get 40 € back.", 1, 3)
    assert "40.0 € of order 7 were paid back." in desk.requests[2].tool_results[-1]


async def test_shipping_waits_for_an_address_and_a_yes(engine: Engine) -> None:
    started = await engine.start("p_shipping", {})
    waiting = await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    assert waiting.open_questions[0].form["properties"].keys() == {"street", "express"}
    await engine.answer(started.job_id, "address", {"street": "Elm 1"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["approval"])
    await engine.approve(started.job_id)
    job = await engine.ended(started.job_id)
    assert (job.state, [call.agent for call in job.calls]) == ("COMPLETED", ["p_shipper"])
