"""Everything that authors of agents and workflows need, in one import (A13). Workflow files may import it.

Except `Flow`: workflow code imports it from `workflows.flow`, which the sandbox loads for each workflow.
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
from orchestrator.domain.call_results import ItemResults, Result
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import AgentResult, JobConfig, JobDeliverable, JobInput, JobResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.expressions import Cel, cel
from orchestrator.domain.plans import (
    Approval,
    FallbackModel,
    Plan,
    Repeat,
    RetryPolicy,
    Step,
    Timeouts,
    WorkflowDefinition,
)
from orchestrator.domain.questions import Ask
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
]
