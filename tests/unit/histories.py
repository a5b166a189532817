"""Builders of facts, so that a test reads like the history it is about."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain import facts as f
from orchestrator.domain.commands import JobConfig, JobInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.plans import Plan, Step
from orchestrator.domain.signals import JSON_PLAIN, SignalInput, read_control
from orchestrator.domain.usage import Usage

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def plan_of(*steps: Step) -> Plan:
    return Plan(steps=steps)


def step(id: str, *agents: str, **more: Any) -> Step:
    return Step(id=id, name=id.title(), squad="backend", agents=agents or (f"{id}_agent",), **more)


def job_input(*steps: Step, **more: Any) -> JobInput:
    values: dict[str, Any] = {
        "job_id": "wf_job_1",
        "kind": JobKind.WORKFLOW,
        "definition": "demo",
        "name": "Demo",
        "owner": "me",
        "input": {"topic": "tea"},
        "config": JobConfig(),
        "plan": plan_of(*steps),
    }
    return JobInput(**{**values, **more})


class History:
    """Appends facts as the server would: numbered from 1, a second apart."""

    def __init__(self, job: JobInput, run_id: str = "run-1") -> None:
        self.job = job
        self.run_id = run_id
        self.facts: list[f.Fact] = []
        self.number = 0
        self.at = START
        self.add(f.RunStarted, workflow_type=job.definition, task_queue="q", job=job, continued=False)

    def add(self, kind: type[f.Fact], **values: Any) -> int:
        self.number += 1
        self.at += timedelta(seconds=1)
        self.facts.append(kind(event_id=self.number, run_id=self.run_id, time=self.at, **values))
        return self.number

    def task(self) -> "History":
        self.add(f.WorkflowTaskDone)
        return self

    def scheduled(self, step: str, agent: str) -> int:
        return self.add(f.AgentScheduled, step=step, agent=agent, title=step.title())

    def completed(self, step: str, agent: str, *, attempt: int = 1, tokens: int = 10, **more: Any) -> "History":
        number = self.scheduled(step, agent)
        self.add(f.AgentStarted, scheduled_id=number, attempt=attempt, last_error=more.get("last_error"))
        usage = Usage(prompt_tokens=tokens, completion_tokens=tokens, cost=0.5)
        self.add(f.AgentCompleted, scheduled_id=number, usage=usage, model="m", summary="done")
        return self

    def signal(self, name: str, /, **payload: Any) -> "History":
        control = read_control(name, [SignalInput(JSON_PLAIN, json.dumps(payload).encode())])
        self.add(f.SignalReceived, name=name, control=control, payload=payload)
        return self

    def continued(self, run_id: str = "run-2") -> "History":
        self.add(f.RunContinued, new_run_id=run_id)
        self.run_id, self.number = run_id, 0
        self.add(f.RunStarted, workflow_type=self.job.definition, task_queue="q", job=self.job, continued=True)
        return self
