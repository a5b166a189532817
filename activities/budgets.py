"""Claims tokens of its owner's month for each call, before it starts (decision 0024)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain.agents import Agent
from orchestrator.domain.budgets import BUDGET_EXCEEDED, Claim, longest_answer
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError, Unavailable
from orchestrator.domain.ports import AttemptLog
from orchestrator.runtime.prompts import tokens_of

INDEX_TIMEOUT_SECONDS: Final = 3.0  # Seconds of tries while the index does not answer.
_RETRY_SECONDS: Final = 0.5


class TokensHeld(Exception):
    """Other calls hold the tokens that a call needs. The message is for the job's owner."""


async def begin(
    attempts: AttemptLog,
    agent: Agent,
    task: AgentTask,
    *,
    attempt: int,
    run_id: str,
    clock: Callable[[], datetime],
    waits: bool,
) -> AgentTask:
    """Record the start of an attempt; returns the task with its tokens if its owner has a limit.

    Raises `AgentError` of kind `budget_exceeded` if the month has too few tokens, or `TokensHeld` while running calls
    may return some, if the call `waits`. An index that does not answer stops no call (A4). A slow index does, so that
    many calls at once do not exceed the limit: then it raises `TokensHeld`, or `Unavailable`.
    """
    length = longest_answer(agent, task.config.max_tokens, framework=task.step.task_queue is not None)
    if task.tokens is None or not length:
        await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
        return task
    tokens = tokens_of(agent, task, length)
    budget, limit, least = task.tokens, task.tokens.monthly, tokens - length + 1

    async def claim() -> Claim:
        return await attempts.claim(
            task, attempt=attempt, at=clock(), run_id=run_id, budget=budget, tokens=tokens, least=least
        )

    try:
        claimed = await _answer(claim)
    except Unavailable as fault:
        if not fault.slow:
            structlog.get_logger().warning("tokens_not_claimed", error=fault.message)
            await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
            return task
        if not waits:
            raise
        raise TokensHeld("The call waits for the job index, which is too slow to count its owner's tokens.") from fault
    if claimed.tokens:
        return task.model_copy(update={"allowance": claimed.tokens})
    if waits and claimed.may_follow(limit, least):
        raise TokensHeld(claimed.waiting_message(limit, least))
    await attempts.started(task, attempt=attempt, at=clock(), run_id=run_id)
    raise AgentError(claimed.refusal(limit, least, clock()), kind=BUDGET_EXCEEDED, retryable=False)


async def _answer(claim: Callable[[], Awaitable[Claim]]) -> Claim:
    """The claim of the index, retried for `INDEX_TIMEOUT_SECONDS` while it does not answer. Raises `Unavailable`."""
    clock = asyncio.get_running_loop().time
    end = clock() + INDEX_TIMEOUT_SECONDS
    while True:
        try:
            return await claim()
        except Unavailable as fault:
            if fault.slow or clock() >= end:
                raise
        await asyncio.sleep(_RETRY_SECONDS)
