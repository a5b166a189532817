"""What it costs to import the library: nothing slow is imported before a client is made."""

import pytest

from tests.sdks.programs import run_python

# Modules that take most of the time and memory of an HTTP client.
HEAVY = {"httpx2", "httpcore2", "anyio", "ssl", "asyncio", "pydantic", "email", "http.client", "importlib.metadata"}


@pytest.mark.parametrize(
    ("statement", "most"),
    [("import devora", 8), ("from devora import DevoraClient, DevoraError, RateLimitError", 30)],
)
async def test_an_import_stays_small(statement: str, most: int) -> None:
    script = f"""
import sys
before = set(sys.modules)
{statement}
print(*sorted(set(sys.modules) - before))
"""
    ended = await run_python(script)
    assert ended.code == 0, ended.err
    imported = set(ended.out.split())
    assert imported & HEAVY == set()
    assert len([name for name in imported if name.startswith("devora")]) <= most


async def test_every_public_name_is_there() -> None:
    script = """
import devora
for name in devora.__all__:
    assert getattr(devora, name) is not None
assert set(devora.__all__) <= set(dir(devora))
from devora import *
assert issubclass(RateLimitError, DevoraError)
try:
    devora.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("there is nothing")
"""
    ended = await run_python(script)
    assert ended.code == 0, ended.err
