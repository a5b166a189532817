"""What it costs to import the library: nothing slow is imported before a client is made."""

from tests.sdks.programs import run_python

# Modules that take most of the time and memory of an HTTP client.
HEAVY = {"httpx2", "httpcore2", "anyio", "ssl", "asyncio", "pydantic", "email", "http.client", "importlib.metadata"}


async def imported_by(statement: str) -> set[str]:
    script = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    ended = await run_python(script)
    assert ended.code == 0, ended.err
    return set(ended.out.split())


async def test_an_import_stays_small() -> None:
    assert {name for name in await imported_by("import devora") if "devora" in name} == {"devora", "devora._version"}
    assert await imported_by("from devora import DevoraClient, DevoraError, RateLimitError") & HEAVY == set()
    assert "httpx2" in await imported_by("from devora import DevoraClient; DevoraClient('key')")


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
