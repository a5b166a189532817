"""Blocking starts through connections that do not last as long as the job, and lists of what was started."""

import json
from collections.abc import Awaitable, Callable

import pytest

from devora import AsyncDevoraClient, JobTimeoutError
from tests.sdks.proxy import Proxy

START = "POST /v1/agents/*/execute"
GIVEN_UP = {"do": "answer", "pass": True, "status": 504, "body": "<html>gateway timeout</html>"}


@pytest.mark.parametrize("fault", [{"do": "cut", "when": "after"}, {"do": "cut", "when": "before"}, GIVEN_UP])
async def test_a_repeated_start_finds_the_job_and_waits_for_it(
    fault: dict, server: str, new_key: Callable[..., Awaitable[str]]
) -> None:
    async with (
        Proxy(server, [{"on": START, **fault}]) as proxy,
        AsyncDevoraClient(await new_key(), proxy.url) as client,
    ):
        client._transport.config.backoff = 0.01
        result = await client.agents.execute("t_echo", {"n": 1}, webhook_url="https://example.com/hook")
        first, second = [seen for seen in proxy.seen if seen.method == "POST"]
        jobs = await client.jobs.list()
    assert result.status == "completed"
    assert [job.job_id for job in jobs.items] == [result.job_id]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert json.loads(first.body)["async"] is False
    assert json.loads(second.body) == {"input": {"n": 1}, "async": True}


async def test_the_time_of_the_call_is_that_of_the_wait_as_well(
    server: str, new_key: Callable[..., Awaitable[str]]
) -> None:
    async with (
        Proxy(server, [{"on": START, "do": "cut", "when": "before"}]) as proxy,
        AsyncDevoraClient(await new_key(), proxy.url) as client,
    ):
        client._transport.config.backoff = 0.01
        with pytest.raises(JobTimeoutError, match="it continues") as late:
            await client.agents.execute("t_slow", {"seconds": 600}, timeout=1.5)
        assert late.value.job_id
        assert (await client.jobs.cancel(late.value.job_id)).status == "cancelled"


async def test_lists_are_filtered_by_labels(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    async with AsyncDevoraClient(await new_key(), server) as client:
        result = await client.agents.execute("t_echo", {}, labels={"team": "presse é", "edition": "1"})
        await client.agents.execute("t_echo", {}, labels={"team": "presse é", "edition": "2"})
        jobs = await client.jobs.list(labels={"team": "presse é", "edition": "1"})
        assert [job.job_id for job in jobs.items] == [result.job_id]
        assert len([job async for job in await client.jobs.list(labels={"team": "presse é"}, limit=1)]) == 2
