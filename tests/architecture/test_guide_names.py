"""Every file and helper that the development guide names has its place (M-005, M-007)."""

import importlib
import re
from pathlib import Path

import pytest

from tests.ledger import ledger

PAGE = (Path(__file__).parents[2] / "docs" / "api-orchestrator.md").read_text()
PLACES = re.findall(r"^\| .+ \| `([\w.]+):(\w+)` \|$", PAGE, re.MULTILINE)
NAMED = (
    "api/models.py",
    "api/endpoints/custom_workflow.py",
    "api/orchestrator_api.py",
    "api/websocket.py",
    "api/auth.py",
    "api/rate_limit.py",
    "api/v1/endpoints.py",
    "api/v2/endpoints.py",
    "api/errors.py",
    "api/cache.py",
    "api/database.py",
    "workflows.workflow_manager.execute_workflow",
    "get_available_workflows",
    "calculate_estimated_completion",
    "execute_workflow_with_progress",
    "execute_workflow_endpoint",
    "validate_input",
    "ConnectionManager",
    "APICache",
    "APIError",
    "RateLimiter",
)


@ledger("M-002", "M-005", "M-006", "M-007")
@pytest.mark.parametrize("name", NAMED)
def test_the_page_says_where_it_is(name: str):
    assert re.search(rf"^\| .*`{re.escape(name)}`.* \| `", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("module", "attribute"), PLACES)
def test_it_is_there(module: str, attribute: str):
    assert hasattr(importlib.import_module(module), attribute)


def test_the_table_was_read():
    assert len(PLACES) >= 18


@ledger("M-055")
@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/api.md", "CONTRIBUTING.md", "docs/operating.md"])
def test_the_related_documents_exist(page: str):
    """Architecture overview, API reference, testing, deployment."""
    assert (Path(__file__).parents[2] / page).read_text().startswith("# ")
