"""Looks before each call whether its owner's month has tokens for it, and how many (decision 0024)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import BUDGET_EXCEEDED, longest_answer
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError, Unavailable
from orchestrator.domain.ports import AttemptLog
from orchestrator.runtime.prompts import tokens_of

_LOOK_AGAIN: Final = 0.5  # Seconds until a call looks again whether another one gave tokens back.


async def begin(
    attempts: AttemptLog,
    agent: Agent,
    task: AgentTask,
    *,
    attempt: int,
    run_id: str,
    clock: Callable[[], datetime],
    patience: float,
) -> AgentTask:
    """Write that an attempt begins; the task with the tokens that it may use, where its owner has a limit.

    While other calls that run hold tokens, it waits for those that they do not use, at most `patience` seconds. Raises
    `AgentError` of kind `budget_exceeded` if the month has too few. A silent index holds no call (A4).
    """
    length = longest_answer(agent, task.config.max_tokens, framework=task.step.task_queue is not None)
    if task.tokens is None or not length:
        await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
        return task
    wish = tokens_of(agent, task, length)
    end = asyncio.get_running_loop().time() + patience
    try:
        while True:
            claim = await attempts.claim(
                task,
                attempt=attempt,
                at=clock(),
                run_id=run_id,
                budget=task.tokens,
                tokens=wish,
                least=wish - length + 1,
            )
            if claim.tokens or not claim.use.claimed or asyncio.get_running_loop().time() >= end:
                break
            await asyncio.sleep(_LOOK_AGAIN)
    except Unavailable as fault:
        structlog.get_logger().warning("tokens_not_claimed", error=fault.message)
        await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
        return task
    if claim.tokens:
        return task.model_copy(update={"allowance": claim.tokens})
    await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
    message = claim.refusal(task.tokens.monthly, wish - length + 1, clock())
    raise AgentError(message, kind=BUDGET_EXCEEDED, retryable=False)
