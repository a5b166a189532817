"""The product under attack: where it is, who may call it, and how much of the processor a call costs it."""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from api.surfaces import SURFACES

ORDINARY: Final = ("agents:read", "agents:execute", "workflows:read", "workflows:run", "jobs:read", "jobs:cancel")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class GaveWay(AssertionError):
    """An attack succeeded."""


@dataclass
class Target:
    """One running API, with the key of an administrator.

    `agent` and `workflow` are ids of its catalogue with small inputs. `pid` is its process, None for this one.
    `scale` makes floods and bodies smaller.
    """

    url: str
    admin_key: str
    agent: str = "product_manager"
    workflow: str = "api_development"
    agent_input: dict[str, Any] = field(default_factory=lambda: {"task_type": "prd", "context": "x"})
    pid: int | None = None
    scale: float = 1.0

    def client(self, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """A caller: with the administrator's key, another one, or none (`""`)."""
        key = self.admin_key if key is None else key
        bearer = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(base_url=self.url, headers={**bearer, **headers}, timeout=120)

    async def key(self, name: str, scopes: Collection[str] = ORDINARY, tier: str = "enterprise") -> str:
        """A key of an owner of its own."""
        async with self.client() as admin:
            body = {"name": f"attack {name}", "scopes": sorted(scopes), "tier": tier}
            answer = await admin.post("/v1/auth/api-keys", json=body)
            hold(answer.status_code == 201, f"no key: {answer.text[:300]}")
            found: str = answer.json()["api_key"]
            return found

    async def start(self, client: httpx2.AsyncClient) -> str:
        """Start a job of the agent; answers its id."""
        body = {"input": self.agent_input, "async": True}
        answer = await client.post(f"/v1/agents/{self.agent}/execute", json=body)
        hold(answer.status_code == 202, f"no job: {answer.status_code} {answer.text[:300]}")
        found: str = answer.json()["job_id"]
        return found

    def cpu(self) -> float:
        """Seconds of the processor that the product has used so far."""
        if self.pid is None:
            return time.process_time()
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def hold(held: bool, otherwise: str) -> None:
    """Raises `GaveWay` when the product did not hold."""
    if not held:
        raise GaveWay(otherwise)


async def documents(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """The generated OpenAPI document of every surface."""
    return [(await client.get(f"/openapi/{surface.name}.json")).raise_for_status().json() for surface in SURFACES]
