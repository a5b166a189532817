"""The HTTP client of `orchestrator schedules`."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter

from orchestrator.commandline.run.client import ApiClient, parsed
from orchestrator.domain.ids import JobKind

_PAGE: Final = 100
_PATH: Final = "/v1/schedules"
_OBJECT: Final = TypeAdapter(dict[str, Any])


class ListedRun(BaseModel):
    """A run of a schedule."""

    model_config = ConfigDict(extra="ignore")

    job_id: str
    started_at: datetime


class ListedSchedule(BaseModel):
    """A schedule, as far as the commands show it."""

    model_config = ConfigDict(extra="ignore")

    schedule_id: str
    name: str = ""
    workflow_id: str | None = None
    agent_id: str | None = None
    overlap: str
    paused: bool
    note: str = ""
    next_runs: list[datetime] = []
    recent_runs: list[ListedRun] = []
    running: list[str] = []

    @property
    def target(self) -> str:
        """The workflow or the agent that runs."""
        return self.workflow_id or self.agent_id or ""


class _Page(BaseModel):
    model_config = ConfigDict(extra="ignore")

    schedules: list[dict[str, Any]]
    total: int


class SchedulesClient(ApiClient):
    """Calls one API with one key, for commands about schedules. Each method raises `Refused` and `NoAnswer`."""

    async def all(self) -> list[dict[str, Any]]:
        """Every schedule of the caller, oldest first; of all owners for an admin."""
        bodies: list[dict[str, Any]] = []
        while True:
            query: dict[str, str | int] = {"limit": _PAGE, "offset": len(bodies)}
            page = parsed(_Page, (await self._request("GET", _PATH, params=query)).content)
            bodies += page.schedules
            if not page.schedules or len(bodies) >= page.total:
                return bodies

    async def get(self, schedule_id: str) -> dict[str, Any]:
        """One schedule."""
        return await self._json("GET", _path(schedule_id))

    async def create(self, target: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Create a schedule of a workflow or an agent. With the same `key`, a repetition creates no second one."""
        field = "workflow_id" if await self.kind_of(target) is JobKind.WORKFLOW else "agent_id"
        return await self._json("POST", _PATH, json={field: target, **body}, key=key)

    async def act(self, schedule_id: str, action: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """`pause`, `unpause` or `trigger` a schedule. With the same `key`, a repetition counts once."""
        return await self._json("POST", f"{_path(schedule_id)}/{action}", json=body, key=key)

    async def delete(self, schedule_id: str) -> None:
        """Delete a schedule. Its running jobs continue."""
        await self._request("DELETE", _path(schedule_id))

    async def _json(self, method: str, path: str, *, json: Any = None, key: str | None = None) -> dict[str, Any]:
        return _OBJECT.validate_json((await self._request(method, path, json=json, key=key)).content)


def _path(schedule_id: str) -> str:
    return f"{_PATH}/{quote(schedule_id, safe='')}"
