"""Each pattern as a plan makes the calls that it needs, and no other; what it skips says why."""

from orchestrator.testing import Engine, fails

from agent_patterns.agents import Task

SKIPPED = "the condition is false: steps.gate.good"


async def test_a_chained_plan_writes_only_what_passes_the_gate(engine: Engine) -> None:
    engine.script("p_checker", [{"good": False, "why": "too thin"}, {"good": True}])
    written = engine.script("p_writer", [{"output": "A text."}])
    refused = await engine.run("p_chaining_plan", {"topic": "tea"})
    assert refused.result, refused.error
    assert [(call.step, call.status, call.why) for call in refused.calls][2] == ("write", "skipped", SKIPPED)
    job = await engine.run("p_chaining_plan", {"topic": "tea"})
    assert job.result, job.error
    assert (job.result["output"], len(written.requests)) == ("A text.", 1)


async def test_a_routing_plan_asks_one_desk_or_starts_a_child(engine: Engine) -> None:
    engine.script("p_classifier", [{"topic": "refund"}, {"topic": "tech"}])
    engine.script("p_lead", [{"tasks": [{"id": "a", "goal": "logs"}]}])
    refund = await engine.run("p_routing_plan", {"message": "My money!"})
    made = [call.agent for call in refund.calls if call.status == "completed"]
    assert made == ["p_classifier", "p_refunds", "p_answerer"]
    tech = await engine.run("p_routing_plan", {"message": "It is broken"})
    child = next(call for call in tech.calls if call.child)
    assert (child.agent, child.status) == ("p_workers_plan", "completed")
    assert (await engine.job(child.child or "")).usage == child.usage


async def test_a_voting_plan_needs_three_votes(engine: Engine) -> None:
    for seat, guilty in zip("abcde", [True, True, False, True, False], strict=True):
        engine.script(f"votes[{seat}].p_juror", [{"guilty": guilty}], unused=True)
    chair = engine.script("p_chair", [{"output": "Decided."}])
    job = await engine.run("p_voting_plan", {"case": "tea", "seats": list("abcde")})
    assert job.result, job.error
    assert job.result["output"] == "Decided."
    assert sum(call.status == "completed" for call in job.calls if call.step == "votes") >= 3
    [request] = chair.requests
    assert all(view in request.prompt for view in ("p_lawyer", "p_accountant", "p_engineer", '"yes":'))


async def test_the_workers_of_a_plan_tolerate_a_failed_task(engine: Engine) -> None:
    tasks = [Task(id=id, goal=id.upper()) for id in ("a", "b", "c")]
    engine.script("p_lead", [{"tasks": [task.model_dump() for task in tasks]}])
    engine.script("work[b].p_worker", [fails(400)])
    editor = engine.script("p_editor", [{"output": "Merged."}])
    job = await engine.run("p_workers_plan", {"goal": "tea"})
    assert job.result, job.error
    assert (job.result["output"], job.result["status"], job.calls_done) == ("Merged.", "partial", 5)
    assert len(editor.requests) == 1


async def test_a_polishing_plan_stops_at_the_first_approval_and_after_three_rounds(engine: Engine) -> None:
    refused = {"approved": False, "remarks": "too long"}
    engine.script("p_reviewer", [refused, {"approved": True}, refused, refused, refused])
    writer = engine.script("p_writer", [{"output": f"Draft {number}."} for number in range(5)])
    job = await engine.run("p_polishing_plan", {"brief": "tea"})
    assert [(call.agent, call.key) for call in job.calls if call.status == "completed"] == [
        ("p_publisher", ""),
        ("p_writer", "1"),
        ("p_reviewer", "1"),
        ("p_writer", "2"),
        ("p_reviewer", "2"),
    ]
    assert "too long" in writer.requests[1].prompt
    never = await engine.run("p_polishing_plan", {"brief": "tea"})
    assert never.error
    assert never.error.type == "rounds_exhausted"


async def test_a_shipping_plan_waits_for_an_address_and_a_yes(engine: Engine) -> None:
    started = await engine.start("p_shipping_plan", {})
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    await engine.answer(started.job_id, "address", {"street": "Hafenbad 3", "city": "Ulm"})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    await engine.approve(started.job_id)
    job = await engine.ended(started.job_id)
    assert job.state == "COMPLETED", job.error
