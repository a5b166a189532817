"""One scenario of `sdks/conformance/scenarios.json`: performed with a library, and compared with what is expected."""

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import httpx2

from orchestrator.testing import eventually
from tests.sdks.command_line_runner import EXITS, USAGE
from tests.sdks.proxy import Proxy, Seen
from tests.sdks.runners import SDKS, Performed, Runner

SCENARIOS: list[dict[str, Any]] = json.loads((SDKS / "conformance" / "scenarios.json").read_text())
CALL_SECONDS = 60.0
# Short pauses, so that a scenario takes no time; those that the server asks for are kept.
OPTIONS: dict[str, Any] = {"timeout": 30, "backoff": 0.01}


@dataclass
class Scenario:
    """The scenario's text with the ids of its jobs in it, and what happened so far."""

    script: dict[str, Any]
    http: httpx2.AsyncClient
    proxy: Proxy
    runner: Runner
    key: str
    names: dict[str, str] = field(default_factory=dict)
    performed: list[Performed] = field(default_factory=list)

    async def set_up(self) -> None:
        for job in self.script.get("setup", []):
            kind, verb = ("agent", "execute") if "agent" in job else ("workflow", "run")
            body = {"input": job.get("input", {}), "async": True}
            answer = await self.http.post(f"/v1/{kind}s/{job[kind]}/{verb}", json=body)
            assert answer.status_code == 202, answer.text
            job_id = answer.json()["job_id"]
            self.names[job["as"]] = job_id
            if (until := job.get("until", "end")) != "started":
                look = await self.http.get(f"/v1/jobs/{job_id}", params={"wait": 30, "until": until})
                assert look.status_code == 200, look.text
                events = await self._log(job_id)
                self.names |= {f"{job['as']}.first": events[0]["id"], f"{job['as']}.last": events[-1]["id"]}
            else:
                await eventually(partial(self._state, job_id), lambda state: state == "RUNNING")
        self.names["proxy"] = self.proxy.url
        # The proxy's script may name a job as well.
        for fault in self.proxy.script:
            fault.update(self.filled(fault))

    async def _state(self, job_id: str) -> str:
        return str((await self.http.get(f"/v1/jobs/{job_id}")).json()["state"])

    async def perform(self) -> None:
        log = self.runner.log.stat().st_size
        for each in self.script["calls"]:
            call = self.filled(each)
            options = {**OPTIONS, "base_url": f"{self.proxy.url}/v1", "api_key": self.key, **call.get("options", {})}
            seconds = max(CALL_SECONDS, options["timeout"] + 10)
            done = await self.runner.perform(call["call"], call.get("arguments", {}), options, seconds)
            self.performed.append(done)
        self.log = self.runner.log.read_bytes()[log:].decode(errors="replace")

    def filled(self, value: Any) -> Any:
        """A part of the script with the values that `{{name}}` stands for."""
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, str):
            return re.sub(r"\{\{(\w+)(?:\.(\w+))?\}\}", self._named, value)
        return value

    def _named(self, match: re.Match[str]) -> str:
        name, place = match.groups()
        if name.isdigit():
            return str(self.performed[int(name) - 1].answer["value"][place])
        return self.names.get(f"{name}.{place}" if place else name, match[0])

    async def check(self) -> None:
        assert len(self.script["expect"]) == len(self.performed)
        for expected, done in zip(self.script["expect"], self.performed, strict=True):
            await self._check_answer(self.filled(expected), done)
        for name, value in self.script.get("then", {}).items():
            await getattr(self, f"_then_{name}")(value)

    async def _check_answer(self, expected: dict[str, Any], done: Performed) -> None:
        answer = done.answer
        assert answer["ok"] is expected["ok"], answer
        if "value" in expected:
            assert_subset(expected["value"], answer["value"])
        error = answer.get("error", {})
        if "exit" in error:  # of the command line
            assert error["exit"] == EXITS.get(expected["error"]["kind"], USAGE), answer
        elif "error" in expected:
            assert_subset(expected["error"], error)
        for name in ("request_id", "job_id"):
            if expected.get(name) and self.runner.name != "command-line":
                assert (error if not answer["ok"] else answer)[name], answer
        if "events" in expected:
            await self._check_events(expected["events"], done.events)

    async def _check_events(self, expected: dict[str, Any], events: list[dict[str, Any]]) -> None:
        names = [event.get("name") for event in events]
        ids = [event.get("id") or event.get("job_id") for event in events]
        for key, value in expected.items():
            match key:
                case "names":
                    assert names == value
                case "first":
                    assert names[0] == value
                case "last":
                    assert names[-1] == value
                case "includes":
                    assert set(value) <= set(names)
                case "count":
                    assert len(events) == value
                case "unique":
                    assert len(ids) == len(set(ids))
                case "as_pages":
                    assert ids == [event["id"] for event in await self._log(value)]
                case _:
                    raise AssertionError(f"no such expectation: {key}")

    async def _log(self, job_id: str) -> list[dict[str, Any]]:
        page = await self.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})
        events: list[dict[str, Any]] = page.json()["events"]
        return events

    def _requests(self, place: str) -> list[Seen]:
        return [seen for seen in self.proxy.seen if fnmatchcase(seen.place, place)]

    async def _then_requests(self, counts: dict[str, int]) -> None:
        assert {place: len(self._requests(place)) for place in counts} == counts

    async def _then_jobs(self, count: int) -> None:
        assert (await self.http.get("/v1/jobs")).json()["total"] == count

    async def _then_webhooks(self, count: int) -> None:
        assert (await self.http.get("/v1/webhooks")).json()["total"] == count

    async def _then_one_key(self, place: str) -> None:
        keys = {seen.headers.get("idempotency-key") for seen in self._requests(place)}
        assert len(keys) == 1
        assert all(keys)

    async def _then_retry_counts(self, counts: dict[str, list[str | None]]) -> None:
        for place, expected in counts.items():
            assert [seen.headers.get("x-devora-retry-count") for seen in self._requests(place)] == expected

    async def _then_headers(self, patterns: dict[str, dict[str, str]]) -> None:
        for place, headers in patterns.items():
            requests = self._requests(place)
            assert requests
            for name, pattern in headers.items():
                assert all(re.search(pattern, seen.headers.get(name, "")) for seen in requests), requests

    async def _then_pause_at_least(self, pauses: dict[str, float]) -> None:
        for place, seconds in pauses.items():
            first, second, *_ = self._requests(place)
            assert second.at - first.at >= seconds

    async def _then_released(self, _: bool) -> None:
        async def connections() -> int:
            return self.proxy.connections

        await eventually(connections, lambda count: count == 0)

    async def _then_silent(self, text: str | bool) -> None:
        assert self.key not in self.log + json.dumps([done.answer for done in self.performed])
        if isinstance(text, str):
            assert text not in self.log

    async def _then_log(self, words: list[str]) -> None:
        for word in words:
            assert word in self.log


def assert_subset(expected: Any, actual: Any) -> None:
    """Every field of `expected` is in `actual` with the same value; other fields do not matter."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), actual
        for name, value in expected.items():
            assert name in actual, f"{name} is missing in {actual}"
            assert_subset(value, actual[name])
    else:
        assert actual == expected
