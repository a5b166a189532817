"""Replays the recorded histories of waiting jobs with today's code."""

from pathlib import Path

from orchestrator.testing import assert_replays

from acme_agents.plugin import plugin


async def test_jobs_that_wait_survive_this_release() -> None:
    await assert_replays(Path(__file__).parent / "histories", [plugin])
