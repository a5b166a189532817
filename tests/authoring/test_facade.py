"""`orchestrator.authoring` is what authors hold on to: its names stay, and importing it stays cheap."""

import subprocess
import sys
from pathlib import Path

from orchestrator import authoring

ROOT = Path(__file__).parents[2]
PROMISED = {
    "Agent",
    "AgentError",
    "AgentOutput",
    "AgentResult",
    "AgentTool",
    "Approval",
    "Ask",
    "AskPerson",
    "Cel",
    "CodeWorkflow",
    "Deliverable",
    "FallbackModel",
    "Files",
    "FunctionCall",
    "HttpGet",
    "ItemResults",
    "JobConfig",
    "JobDeliverable",
    "JobInput",
    "JobResult",
    "McpServer",
    "ModelSettings",
    "Plan",
    "Plugin",
    "Pricing",
    "Repeat",
    "Result",
    "RetryPolicy",
    "Secret",
    "Squad",
    "Step",
    "StepOutput",
    "Timeouts",
    "Tool",
    "ToolCall",
    "WorkflowDefinition",
    "assemble",
    "cel",
}
HEAVY = {"temporalio", "pydantic_ai", "pydantic_settings", "sqlalchemy", "fastapi", "httpx2", "structlog", "workflows"}


def test_the_names_that_authors_import_are_pinned() -> None:
    assert set(authoring.__all__) == PROMISED
    assert all(hasattr(authoring, name) for name in PROMISED)


def test_importing_it_loads_nothing_that_a_workflow_file_must_not_load() -> None:
    code = "import sys, orchestrator.authoring; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "orchestrator" in loaded.stdout.split()
    assert not HEAVY & set(loaded.stdout.split())


def test_the_types_reach_authors() -> None:
    assert (ROOT / "orchestrator" / "py.typed").exists()
    assert (ROOT / "workflows" / "py.typed").exists()
