"""`examples/support_desk`: its own test passes in this engine, with the MCP server as a program beside the worker."""

import importlib.util
import sys
from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.plugins import load_plugins

EXAMPLE = Path(__file__).parents[2] / "examples" / "support_desk"
sys.path.insert(0, str(EXAMPLE))
_spec = importlib.util.spec_from_file_location("support_desk_tests", EXAMPLE / "tests" / "test_desk.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
test_a_refund_waits_for_a_yes_and_is_paid_once = _module.test_a_refund_waits_for_a_yes_and_is_paid_once


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return load_plugins(["support_desk.plugin"])
