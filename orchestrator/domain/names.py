"""Names that several rooms share: workflow handlers, activities, search attributes."""

from typing import Final

SIGNAL_PAUSE: Final = "pause"
SIGNAL_RESUME: Final = "resume"
SIGNAL_APPROVE: Final = "approve"
SIGNAL_REJECT: Final = "reject"

# Changes of workflow code. `workflow.patched` guards them, because histories of earlier releases lack them.
PATCH_JSON_PROTOBUF: Final = "reads-json-protobuf"
PATCH_NUMBERED_CALLS: Final = "numbered-calls"
PATCH_UNKNOWN_AGENTS_WAIT: Final = "unknown-agents-wait"
PATCH_KEYS_OF_CHILDREN: Final = "keys-of-children"
PATCH_PEOPLE_CHECKED: Final = "people-checked"
PATCH_HISTORY_WATCHED: Final = "history-watched"
PATCH_ATTEMPTS_COUNTED: Final = "attempts-counted"
# The header with the numbers of calls, by step and agent, of the earlier runs of a job.
HEADER_CALLS: Final = "orchestrator-calls"
# The header with the open questions and the answers of the earlier runs of a job.
HEADER_QUESTIONS: Final = "orchestrator-questions"
# The header of a signal that names the person or key that sent it through the API.
HEADER_ACTOR: Final = "orchestrator-actor"
# The header with the turns of calls that the earlier run could not finish.
HEADER_TURNS: Final = "orchestrator-turns"

# The error kind of a call whose code blocks other calls, and the metric of such calls.
AGENT_BLOCKED: Final = "agent_blocked"
# The error kind of a call that another call blocked: it is retried and does not count as an attempt.
AGENT_HELD_UP: Final = "agent_held_up"
WORKFLOW_BLOCKED: Final = "workflow_blocked"
METRIC_BLOCKED: Final = "orchestrator_agent_blocked"

ACTIVITY_RECORD_OUTCOME: Final = "record_outcome"
ACTIVITY_ADOPT_JOB: Final = "adopt_job"
ACTIVITY_INDEX_JOB: Final = "index_job"
ACTIVITY_REUSE_CALL: Final = "reuse_call"
ACTIVITY_COUNT_ATTEMPTS: Final = "count_attempts"
ACTIVITY_OPEN_CHILD: Final = "open_child"
ACTIVITY_CLOSE_CHILD: Final = "close_child"
ACTIVITY_RECONCILE: Final = "reconcile_index"
ACTIVITY_DELIVER_WEBHOOK: Final = "deliver_webhook"
ACTIVITY_ACCEPT_TURN: Final = "accept_turn"
ACTIVITY_AWAIT_JOB: Final = "await_job"
ACTIVITY_RECALL: Final = "recall_conversation"
ACTIVITY_REMEMBER: Final = "remember_conversation"
ACTIVITY_END_SESSION: Final = "end_session"
# Activities of the engine. The ids of agents are activity types, too.
OWN_ACTIVITIES: Final = frozenset(
    {
        ACTIVITY_RECORD_OUTCOME,
        ACTIVITY_ADOPT_JOB,
        ACTIVITY_INDEX_JOB,
        ACTIVITY_REUSE_CALL,
        ACTIVITY_COUNT_ATTEMPTS,
        ACTIVITY_OPEN_CHILD,
        ACTIVITY_CLOSE_CHILD,
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
WORKFLOW_INDEX_JOB: Final = "index_job"
# Workflow types of the engine. An execution of any other type on our task queue is a job.
OWN_WORKFLOWS: Final = frozenset(
    {WORKFLOW_RECONCILE, WORKFLOW_WEBHOOK_DELIVERY, WORKFLOW_CONVERSATION, WORKFLOW_INDEX_JOB}
)
# For `workflow.patched`: foreign workflows that began before adoption existed continue without it.
PATCH_ADOPTION: Final = "adoption"
PATCH_RESULTS: Final = "code-has-a-result"
# The failure type of a workflow task on a worker that lacks the workflow's type: an exception class of `workflows`.
FAILURE_UNKNOWN_TYPE: Final = "UnknownWorkflowType"
UPDATE_ANSWER: Final = "answer"
UPDATE_TURN: Final = "turn"
UPDATE_RESET: Final = "reset"
SCHEDULE_RECONCILE: Final = "orchestrator-reconcile"

# Set only at the start: each later upsert costs a visibility write.
ATTRIBUTE_KIND: Final = "JobKind"
ATTRIBUTE_DEFINITION: Final = "JobDefinition"
ATTRIBUTE_OWNER: Final = "JobOwner"
# Set by Temporal on a workflow whose tasks fail again and again.
ATTRIBUTE_PROBLEMS: Final = "TemporalReportedProblems"
# Set by Temporal on a workflow that a schedule starts.
ATTRIBUTE_SCHEDULE: Final = "TemporalScheduledById"

# The key of a workflow's memo under which its code writes what it decided. Each write is an event of history.
MEMO_NOTE: Final = "orchestrator-note"
# The key of a child workflow's memo that holds the id of the call of its parent.
MEMO_CALL: Final = "orchestrator-call"

# A timer with this summary prefix is the durable fact "this step waits for an approval".
APPROVAL_TIMER_PREFIX: Final = "approval:"
# The timer of a question's deadline, for operators. The note `question` is the durable fact.
QUESTION_TIMER_PREFIX: Final = "question:"
# A timer with this summary prefix is the durable fact "this step waits for its time".
WAIT_TIMER_PREFIX: Final = "wait:"

DEFAULT_TASK_QUEUE: Final = "orchestrator"
OFFLINE_MODEL: Final = "offline/drafter"

_FAIRNESS_KEY_CHARACTERS: Final = 64


def fairness_key(owner: str) -> str:
    """The key by which Temporal alternates between owners. Temporal refuses longer keys."""
    return owner[:_FAIRNESS_KEY_CHARACTERS]


def webhook_queue(task_queue: str) -> str:
    """The task queue of webhook deliveries: hanging receivers must not use the slots of agent calls."""
    return f"{task_queue}-webhooks"


def framework_queue(task_queue: str, framework: str) -> str:
    """The task queue of one framework's agents: `agents-<framework>`, with a prefix unless the queue is the default."""
    prefix = "" if task_queue == DEFAULT_TASK_QUEUE else f"{task_queue}-"
    return f"{prefix}agents-{framework}"
