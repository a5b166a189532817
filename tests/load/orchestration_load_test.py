"""Load on the orchestration routes: `locust -f tests/load/orchestration_load_test.py --host http://127.0.0.1:8000`.

locust comes with the dependency group `load`. Every simulated user is a client of its own, with a hundred requests a
minute (S-022): 500 requests a second need at least 300 of them (C-26). They come with API keys, which the bootstrap key
of `ORCHESTRATOR_ADMIN_API_KEY` issues and, at the end, revokes.
"""

import os
import threading
from typing import Any, ClassVar

from locust import HttpUser, constant_pacing, events, task

_TARGETS = {
    "/api/v1/orchestration/health": 50,
    "/api/v1/orchestration/metrics": 100,
    "/api/v1/orchestration/partnerships": 200,
    "/api/v1/orchestration/decisions": 500,
}
_CONTEXT = {"business_goal": "increase_revenue", "timeframe": "Q1_2025", "budget": 50000}


class Manager(HttpUser):
    """Reads most of the time and decides now and then, one request a second."""

    wait_time = constant_pacing(1)
    counter: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()

    def on_start(self) -> None:
        """Get a key of one's own."""
        with self.lock:
            Manager.counter += 1
            number = Manager.counter
        bootstrap = {"Authorization": f"Bearer {os.environ['ORCHESTRATOR_ADMIN_API_KEY']}"}
        body = {
            "name": f"load {number}",
            "scopes": ["agents:execute", "metrics:read", "jobs:read"],
            "tier": "enterprise",
            "expires_in": 3600,
        }
        issued = self.client.post("/v1/auth/api-keys", json=body, headers=bootstrap, name="(issue key)").json()
        self.bootstrap, self.key_id = bootstrap, issued["id"]
        self.client.headers["Authorization"] = f"Bearer {issued['api_key']}"

    def on_stop(self) -> None:
        """Give the key back."""
        path = f"/v1/auth/api-keys/{self.key_id}"
        self.client.delete(path, headers=self.bootstrap, name="(revoke key)")

    @task(10)
    def health(self) -> None:
        """As a load balancer does."""
        self.client.get("/api/v1/orchestration/health")

    @task(5)
    def metrics(self) -> None:
        """As a dashboard does."""
        self.client.get("/api/v1/orchestration/metrics")

    @task(5)
    def partnerships(self) -> None:
        """As a person does."""
        self.client.get("/api/v1/orchestration/partnerships")

    @task(1)
    def decide(self) -> None:
        """The expensive one: a durable job each time."""
        self.client.post("/api/v1/orchestration/decisions", json={"context": _CONTEXT})


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Fail the run on errors, or where the 95th percentile misses its target (S-025)."""
    late = [
        f"{path}: p95 {found:g} ms > {target} ms"
        for path, target in _TARGETS.items()
        for entry in [next((e for e in environment.stats.entries.values() if e.name == path), None)]
        if entry is not None and (found := entry.get_response_time_percentile(0.95)) > target
    ]
    for line in late:
        print(line)
    failed = environment.stats.total.fail_ratio > 0
    environment.process_exit_code = 1 if late or failed else 0
