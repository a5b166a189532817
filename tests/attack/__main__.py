"""`make attack`: attacks a running product and prints a table. Exit code 1 when something gave way.

Without `--url` it starts one of its own, `orchestrator dev` in a folder that is removed afterwards.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2
from rich.console import Console
from rich.table import Table

from tests.api.explored import ACCEPTED, faults
from tests.attack.attacks import ATTACKS
from tests.attack.target import GaveWay, Target, documents
from tests.e2e.processes import Command

_KEY: Final = "dvr_sk_attack_0123456789abcdef"
_ENDLESS: Final = "/api/dashboard/real-time"
_WIDE: Final = 200


@asynccontextmanager
async def product() -> AsyncIterator[Target]:
    """`orchestrator dev` on free ports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")
        settings = {"TEMPORAL_ADDRESS": "", "ORCHESTRATOR_ADMIN_API_KEY": _KEY}
        command = Command(folder, "dev", *ports, "--data-dir", str(folder / "data"), **settings)
        await (await command.start()).ready()
        try:
            ready = next(line for line in command.text().splitlines() if line.startswith("ready "))
            assert command.process is not None
            yield Target(ready.split()[1], _KEY, pid=command.process.pid)
        finally:
            await command.kill(15)


@asynccontextmanager
async def given(url: str, key: str) -> AsyncIterator[Target]:
    """A product that runs already."""
    yield Target(url.rstrip("/"), key)


async def explored(target: Target, seconds: float) -> str:
    """Requests that schemathesis makes up from the document, for so many seconds. Raises `GaveWay`."""
    async with httpx2.AsyncClient(base_url=target.url) as client:
        served = await documents(client)
    operations = [
        (document, (method.upper(), path))
        for document in served
        for path, methods in document["paths"].items()
        for method in methods
        if path != _ENDLESS
    ]
    checks = {
        "enabled": False,
        "not_a_server_error": {"enabled": True},
        "response_schema_conformance": {"enabled": True},
        "positive_data_acceptance": {"enabled": False, "expected-statuses": ACCEPTED},
    }
    known = {"path.agent_id": [target.agent], "path.workflow_id": [target.workflow]}
    until, tried = time.monotonic() + seconds, 0
    for document, operation in operations:
        if time.monotonic() > until:
            break
        headers = {"Authorization": f"Bearer {target.admin_key}"}
        found = await asyncio.to_thread(
            faults, document, target.url, operation, examples=30, known=known, checks=checks, headers=headers
        )
        if found:
            raise GaveWay(f"{operation}: {found[0][:300]}")
        tried += 1
    return f"{tried} of {len(operations)} operations, 30 requests each"


async def run(console: Console, url: str | None, key: str, seconds: float) -> int:
    """Make every attack. Answers how many succeeded."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("", "ATTACK", "SEEN", "SECONDS"):
        table.add_column(title)
    lost = 0
    async with given(url, key) if url else product() as target:
        attacks = [(one.title, one.run) for one in ATTACKS]
        if seconds:
            attacks.append(("requests made up from the document", lambda target: explored(target, seconds)))
        for title, attack in attacks:
            began = time.monotonic()
            try:
                seen, mark = await attack(target), "[green]held[/]"
            except GaveWay as fault:
                seen, mark, lost = str(fault), "[red]gave way[/]", lost + 1
            console.print(f"{mark}  {title}", highlight=False)
            table.add_row(mark, title, seen[:_WIDE].replace("[", "\\["), f"{time.monotonic() - began:.1f}")
    console.print()
    console.print(table, highlight=False)
    console.print(f"\n{len(attacks) - lost} of {len(attacks)} held", highlight=False)
    return lost


def main() -> int:
    """Read the options and attack."""
    options = argparse.ArgumentParser(prog="make attack", description=__doc__)
    options.add_argument("--url", help="an API that runs already; a throw-away one: its index is filled")
    options.add_argument("--key", default="", help="its administrator's key")
    options.add_argument("--explore", type=float, default=300, help="seconds for made-up requests; 0 for none")
    given_ = options.parse_args()
    return 1 if asyncio.run(run(Console(), given_.url, given_.key, given_.explore)) else 0


if __name__ == "__main__":
    sys.exit(main())
