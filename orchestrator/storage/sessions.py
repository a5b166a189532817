"""The limit of active chat sessions per owner, counted by the jobs of their turns."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, distinct, func, select

from orchestrator.domain.conversations import is_conversation
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.rows import MAX_SESSIONS
from orchestrator.storage.tables import jobs

_WINDOW: Final = timedelta(hours=1)
_RETRY_AFTER: Final = 60.0
_OTHERS: Final = select(func.count(distinct(jobs.c.subject))).where(
    jobs.c.owner == bindparam("this_owner"),
    jobs.c.subject.startswith("conv\\_", escape="\\"),
    jobs.c.created_at > bindparam("since", type_=jobs.c.created_at.type),
    jobs.c.subject != bindparam("this_subject"),
)


def check_sessions(connection: Connection, owner: str, subject: str | None, at: datetime) -> None:
    """Raise `LimitExceeded` if a turn would make one session too many active.

    A session is active for an hour after its last turn.
    """
    if subject is None or not is_conversation(subject):
        return
    parameters = {"this_owner": owner, "since": at - _WINDOW, "this_subject": subject}
    used = connection.execute(_OTHERS, parameters).scalar_one()
    if used >= MAX_SESSIONS:
        raise LimitExceeded(
            f"{used} of {MAX_SESSIONS} chat sessions had a message within the last hour: continue one of them.",
            limit="sessions",
            retry_after=_RETRY_AFTER,
            allowed=MAX_SESSIONS,
            used=used,
        )
