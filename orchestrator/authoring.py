"""Everything that authors of agents and workflows need, in one import (A13). Workflow files may import it.

Except `call_agent`: workflow code imports it from `workflows.steps`, which the sandbox loads for each workflow.
"""

from orchestrator.domain.agents import (
    Agent,
    AgentOutput,
    Deliverable,
    FunctionCall,
    ModelSettings,
    Pricing,
    Squad,
    StepOutput,
)
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import AgentResult, JobConfig, JobDeliverable, JobInput, JobResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.plans import Approval, Plan, RetryPolicy, Step, Timeouts, WorkflowDefinition
from orchestrator.domain.results import assemble
from orchestrator.domain.tool_schemas import Secret, ToolCall
from orchestrator.domain.tools import AgentTool, AskPerson, Files, HttpGet, McpServer, Tool

__all__ = [
    "Agent",
    "AgentError",
    "AgentOutput",
    "AgentResult",
    "AgentTool",
    "Approval",
    "AskPerson",
    "CodeWorkflow",
    "Deliverable",
    "Files",
    "FunctionCall",
    "HttpGet",
    "JobConfig",
    "JobDeliverable",
    "JobInput",
    "JobResult",
    "McpServer",
    "ModelSettings",
    "Plan",
    "Plugin",
    "Pricing",
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
]
