"""When calls to Temporal fail at once, and when they never do."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.service import ConnectConfig, RPCError, RPCStatusCode, ServiceClient

from orchestrator.engine.guarded_service import ERRORS, GuardedService, is_outage
from orchestrator.network.circuit_breaker import CircuitBreaker
from orchestrator.testing import eventually


def refusal(status: RPCStatusCode) -> RPCError:
    return RPCError("the server's words", status, b"")


class Server:
    """A server that can be taken away; counts what it is asked."""

    def __init__(self) -> None:
        self.there = True
        self.calls = 0
        self.probes = 0
        self.probing = 0
        self.most_probing = 0
        self.now = 100.0

    def circuit(self, doubt: float = 0.01) -> CircuitBreaker:
        return CircuitBreaker(
            "temporal", self.probe, ERRORS, is_outage, doubt=doubt, pause=0.001, clock=lambda: self.now
        )

    async def probe(self) -> None:
        self.probes += 1
        self.probing += 1
        self.most_probing = max(self.most_probing, self.probing)
        await asyncio.sleep(0.001)
        self.probing -= 1
        if not self.there:
            raise refusal(RPCStatusCode.UNAVAILABLE)

    async def answer(self) -> str:
        self.calls += 1
        if not self.there:
            raise refusal(RPCStatusCode.UNAVAILABLE)
        return "answer"

    async def silence(self) -> str:
        self.calls += 1
        await asyncio.Event().wait()
        return "never"


async def failed(
    circuit: CircuitBreaker, make: Callable[[], Awaitable[object]], seconds: float | None = 5
) -> RPCStatusCode:
    with pytest.raises((RPCError, TimeoutError)) as caught:
        await circuit.call(make, seconds)
    return caught.value.status if isinstance(caught.value, RPCError) else RPCStatusCode.DEADLINE_EXCEEDED


async def is_away(circuit: CircuitBreaker, *, away: bool = True) -> None:
    async def now() -> bool:
        return circuit.away

    await eventually(now, lambda is_away: is_away is away)


async def test_while_the_server_is_away_no_call_is_made_and_each_fails_at_once() -> None:
    server = Server()
    circuit = server.circuit()
    assert await circuit.call(server.answer, 5) == "answer"
    server.there = False
    assert await failed(circuit, server.answer) is RPCStatusCode.UNAVAILABLE
    await is_away(circuit)
    made = server.calls
    assert [await failed(circuit, server.answer) for _ in range(20)] == [RPCStatusCode.UNAVAILABLE] * 20
    assert server.calls == made


async def test_the_return_of_the_server_is_noticed_without_a_call_and_remembered() -> None:
    server = Server()
    circuit = server.circuit()
    server.there = False
    await failed(circuit, server.answer)
    await is_away(circuit)
    assert not circuit.returned_within(10)
    server.there = True
    await is_away(circuit, away=False)
    assert await circuit.call(server.answer, 5) == "answer"
    assert circuit.returned_within(10)
    server.now += 10
    assert not circuit.returned_within(10)


async def test_a_server_that_answers_the_probe_is_never_away() -> None:
    server = Server()
    circuit = server.circuit()

    async def fails() -> None:
        raise refusal(RPCStatusCode.UNAVAILABLE)

    for _ in range(3):
        assert await failed(circuit, fails) is RPCStatusCode.UNAVAILABLE
    await asyncio.sleep(0.02)
    assert (circuit.away, circuit.returned_within(10)) == (False, False)
    assert await circuit.call(server.answer, 5) == "answer"


async def test_one_probe_that_meets_the_end_of_a_connection_is_no_outage() -> None:
    ends = [refusal(RPCStatusCode.UNAVAILABLE)]

    async def probe() -> None:
        if ends:
            raise ends.pop()

    circuit = CircuitBreaker("temporal", probe, ERRORS, is_outage, pause=60)
    server = Server()
    server.there = False
    assert await failed(circuit, server.answer) is RPCStatusCode.UNAVAILABLE
    server.there = True
    await asyncio.sleep(0.01)
    assert not ends
    assert await circuit.call(server.answer, 5) == "answer"
    assert (circuit.away, circuit.returned_within(10)) == (False, False)


async def test_a_probe_that_is_refused_is_an_answer() -> None:
    circuits = []
    for status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.RESOURCE_EXHAUSTED):

        async def probe(status: RPCStatusCode = status) -> None:
            raise refusal(status)

        circuits.append(CircuitBreaker("temporal", probe, ERRORS, is_outage, pause=0.001))
        assert await failed(circuits[-1], Server().silence, 0.01) is RPCStatusCode.DEADLINE_EXCEEDED
    await asyncio.sleep(0.01)
    assert [circuit.away for circuit in circuits] == [False] * 3


@pytest.mark.parametrize("seconds", [60, None])
async def test_a_call_without_an_answer_is_cut_off_once_the_probe_fails(seconds: float | None) -> None:
    server = Server()
    circuit = server.circuit()
    server.there = False
    assert await failed(circuit, server.silence, seconds) is RPCStatusCode.UNAVAILABLE
    assert circuit.away


async def test_a_long_poll_goes_on_while_the_probe_succeeds() -> None:
    server = Server()
    circuit = server.circuit()
    polling = asyncio.create_task(failed(circuit, server.silence, 60))

    async def probes() -> int:
        return server.probes

    await eventually(probes, lambda probes: probes == 1)
    await asyncio.sleep(0.02)
    assert not polling.done()
    server.there = False
    await failed(circuit, server.answer)
    assert await polling is RPCStatusCode.UNAVAILABLE  # another call's news is its news too


async def test_a_probe_that_is_late_proves_nothing_while_other_calls_are_answered() -> None:
    server = Server()
    circuit = CircuitBreaker("temporal", server.silence, ERRORS, is_outage, doubt=0.001, pause=0.001, patience=0.05)
    slow = asyncio.create_task(failed(circuit, server.silence, 0.3))
    while not slow.done():
        assert await circuit.call(server.answer, 5) == "answer"
        await asyncio.sleep(0.005)
    assert not circuit.away
    assert await slow is RPCStatusCode.DEADLINE_EXCEEDED
    assert await failed(circuit, server.silence, 5) is RPCStatusCode.DEADLINE_EXCEEDED
    await is_away(circuit)  # nothing else was answered


async def test_many_calls_share_one_probe() -> None:
    server = Server()
    circuit = server.circuit()
    server.there = False
    await asyncio.gather(*[failed(circuit, server.answer) for _ in range(50)])
    await is_away(circuit)
    assert server.most_probing == 1


async def test_an_answer_that_refuses_starts_no_probe() -> None:
    server = Server()
    circuit = server.circuit(doubt=60)

    async def unknown() -> None:
        raise refusal(RPCStatusCode.NOT_FOUND)

    assert await failed(circuit, unknown) is RPCStatusCode.NOT_FOUND
    assert await circuit.call(server.answer, 5) == "answer"
    await asyncio.sleep(0)
    assert server.probes == 0


async def test_a_caller_who_goes_away_is_no_outage() -> None:
    server = Server()
    circuit = server.circuit(doubt=60)
    call = asyncio.create_task(circuit.call(server.silence, 60))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (circuit.away, server.probes) == (False, 0)


def test_the_probing_of_a_loop_that_ended_is_taken_up_by_the_next() -> None:
    server = Server()
    circuit = server.circuit()
    server.there = False

    async def leaves() -> None:
        await failed(circuit, server.answer)
        await is_away(circuit)

    async def comes() -> None:
        server.there = True
        await failed(circuit, server.answer)
        await is_away(circuit, away=False)

    asyncio.run(leaves())
    asyncio.run(comes())


class Silent(ServiceClient):
    """A service that takes every call and never answers."""

    worker_service_client = None  # type: ignore[assignment]

    def update_rpc_metadata(self, metadata: object) -> None: ...

    def update_api_key(self, api_key: object) -> None: ...

    async def _rpc_call(self, *_: object, **__: object) -> Any:
        await asyncio.Event().wait()


async def test_a_server_that_never_answers_is_unavailable_and_no_missed_deadline() -> None:
    service = GuardedService(Silent(ConnectConfig(target_host="nowhere")))
    for _ in range(2):
        with pytest.raises(RPCError) as caught:
            await service.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=timedelta(seconds=60))
        assert caught.value.status is RPCStatusCode.UNAVAILABLE
    assert service.circuit.away
