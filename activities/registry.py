"""The activities of the worker for jobs."""

from collections.abc import Callable, Sequence
from typing import Any

from activities.agents import AgentActivities
from activities.children import ChildActivities
from activities.conversations import ConversationActivities
from activities.records import RecordActivities
from activities.tools import count_attempts


def activities(
    agents: AgentActivities,
    records: RecordActivities,
    children: ChildActivities,
    conversations: ConversationActivities,
    plugins: Sequence[Callable[..., Any]] = (),
) -> list[Callable[..., Any]]:
    """All activities: the dynamic one of all agents, the engine's, and those of plugins (A2, A13)."""
    return [
        agents.run_agent,
        records.record_outcome,
        records.adopt_job,
        records.index_job,
        records.reuse_call,
        records.reconcile_index,
        count_attempts,
        children.open_child,
        children.close_child,
        conversations.accept_turn,
        conversations.await_job,
        conversations.recall_conversation,
        conversations.remember_conversation,
        conversations.end_session,
        *plugins,
    ]
