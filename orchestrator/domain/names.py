"""Every name that two rooms must agree on: workflow handlers, activities, search attributes, limits."""

from typing import Final

SIGNAL_PAUSE: Final = "pause"
SIGNAL_RESUME: Final = "resume"
SIGNAL_APPROVE: Final = "approve"
SIGNAL_REJECT: Final = "reject"

# Changes of workflow code that histories of earlier releases do not have: `workflow.patched` guards them.
PATCH_JSON_PROTOBUF: Final = "reads-json-protobuf"

ACTIVITY_RECORD_OUTCOME: Final = "record_outcome"
ACTIVITY_RECONCILE: Final = "reconcile_index"
ACTIVITY_DELIVER_WEBHOOK: Final = "deliver_webhook"
ACTIVITY_ACCEPT_TURN: Final = "accept_turn"
ACTIVITY_AWAIT_JOB: Final = "await_job"
ACTIVITY_RECALL: Final = "recall_conversation"
ACTIVITY_REMEMBER: Final = "remember_conversation"
ACTIVITY_END_SESSION: Final = "end_session"
# What the worker of jobs runs beside agents, whose ids are activity types, too.
OWN_ACTIVITIES: Final = frozenset(
    {
        ACTIVITY_RECORD_OUTCOME,
        ACTIVITY_RECONCILE,
        ACTIVITY_ACCEPT_TURN,
        ACTIVITY_AWAIT_JOB,
        ACTIVITY_RECALL,
        ACTIVITY_REMEMBER,
        ACTIVITY_END_SESSION,
    }
)
WORKFLOW_RECONCILE: Final = "reconcile"
WORKFLOW_WEBHOOK_DELIVERY: Final = "webhook_delivery"
WORKFLOW_CONVERSATION: Final = "conversation"
UPDATE_TURN: Final = "turn"
UPDATE_RESET: Final = "reset"
SCHEDULE_RECONCILE: Final = "orchestrator-reconcile"

# Set at start only: each later upsert costs a visibility write.
ATTRIBUTE_KIND: Final = "JobKind"
ATTRIBUTE_DEFINITION: Final = "JobDefinition"
ATTRIBUTE_OWNER: Final = "JobOwner"

# A timer with this summary prefix is the durable fact "this step waits for an approval".
APPROVAL_TIMER_PREFIX: Final = "approval:"

DEFAULT_TASK_QUEUE: Final = "orchestrator"
OFFLINE_MODEL: Final = "offline/drafter"

MAX_INPUT_BYTES: Final = 1024 * 1024
# All inlined agent results of one job together stay under this, so that the job's result fits one payload.
MAX_INLINE_RESULT_BYTES: Final = 1024 * 1024
MAX_INLINE_AGENT_BYTES: Final = 64 * 1024
_FAIRNESS_KEY_CHARACTERS: Final = 64


def fairness_key(owner: str) -> str:
    """By what Temporal takes turns between owners; it refuses longer ones."""
    return owner[:_FAIRNESS_KEY_CHARACTERS]


def webhook_queue(task_queue: str) -> str:
    """The queue of webhook deliveries: receivers that hang must not take the slots of agent calls."""
    return f"{task_queue}-webhooks"


def framework_queue(task_queue: str, framework: str) -> str:
    """The queue of one framework's agents: `agents-<framework>`, behind the installation's own name if it has one."""
    own = "" if task_queue == DEFAULT_TASK_QUEUE else f"{task_queue}-"
    return f"{own}agents-{framework}"


def activity_id(step: str, agent: str) -> str:
    """The id of an agent's activity, `<step>.<agent>` (A2), from which history alone names the step."""
    return f"{step}.{agent}"


def split_activity_id(value: str) -> tuple[str, str] | None:
    """`(step, agent)` of an agent's activity id, or None for any other activity."""
    step, dot, agent = value.partition(".")
    return (step, agent) if dot and step and agent else None
