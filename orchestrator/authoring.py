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

__all__ = [
    "Agent",
    "AgentError",
    "AgentOutput",
    "AgentResult",
    "Approval",
    "CodeWorkflow",
    "Deliverable",
    "FunctionCall",
    "JobConfig",
    "JobDeliverable",
    "JobInput",
    "JobResult",
    "ModelSettings",
    "Plan",
    "Plugin",
    "Pricing",
    "RetryPolicy",
    "Squad",
    "Step",
    "StepOutput",
    "Timeouts",
    "WorkflowDefinition",
    "assemble",
]
