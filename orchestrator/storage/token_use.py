"""Tokens of an owner's month: billed, reserved by open jobs, claimed by running calls (decision 0024).

A reservation is a column of the job and a claim is a column of the attempt: the end of the row ends them too.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, case, func, select

from orchestrator.domain.budgets import TokenBudget, TokenUse, month_start
from orchestrator.domain.jobs import OPEN_STATES, AttemptStatus
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attempts, jobs

_OWNER: Final[BindParameter[str]] = bindparam("this_owner")
_JOB: Final[BindParameter[str]] = bindparam("this_job")
_BILLED: Final = func.coalesce(func.sum(attempts.c.prompt_tokens), 0) + func.coalesce(
    func.sum(attempts.c.completion_tokens), 0
)
_CLAIMED: Final = func.coalesce(func.sum(attempts.c.claimed_tokens), 0)
# A call after its deadline no longer runs, even if no end was written.
_UNTIL: Final = attempts.c.claimed_until
_RUNS: Final = (
    attempts.c.status == AttemptStatus.RUNNING,
    attempts.c.completed_at.is_(None),
    _UNTIL.is_(None) | (bindparam("now", type_=_UNTIL.type) < _UNTIL),
)

_BILLED_SINCE: Final = select(_BILLED).where(
    attempts.c.owner == _OWNER, attempts.c.completed_at >= bindparam("since", type_=attempts.c.completed_at.type)
)

# The reservation of each open job, without the tokens that it used or that its running calls claim.
_REST: Final = (
    select(
        (
            jobs.c.reserved_tokens
            - select(_BILLED).where(attempts.c.job_id == jobs.c.id).scalar_subquery()
            - select(_CLAIMED).where(attempts.c.job_id == jobs.c.id, *_RUNS).scalar_subquery()
        ).label("rest")
    )
    .where(jobs.c.owner == _OWNER, jobs.c.state.in_(sorted(OPEN_STATES)))
    .where(jobs.c.reserved_tokens > 0, jobs.c.id != _JOB, jobs.c.id != bindparam("this_root"))
    .subquery()
)
_UNSPENT: Final = select(func.coalesce(func.sum(case((_REST.c.rest > 0, _REST.c.rest), else_=0)), 0))

# Claims that do not count: the call's own earlier ones, and those of runs before a reset, whose end nobody records.
_IGNORED: Final = (attempts.c.job_id == _JOB) & (
    (attempts.c.run_id != bindparam("this_run"))
    | (
        (attempts.c.step == bindparam("this_step"))
        & (attempts.c.agent == bindparam("this_agent"))
        & (attempts.c.call == bindparam("this_call"))
    )
)
_CLAIMS: Final = select(_CLAIMED).where(attempts.c.owner == _OWNER, *_RUNS, ~_IGNORED)

# One statement: a call that ends between two statements would be neither billed nor claimed.
_USE: Final = select(_BILLED_SINCE.scalar_subquery(), _UNSPENT.scalar_subquery(), _CLAIMS.scalar_subquery())


class TokenClaim(NamedTuple):
    """A call that claims tokens. `root` is the top job of its tree, whose reservation it may use."""

    job: str = ""
    root: str = ""
    run: str = ""
    step: str = ""
    agent: str = ""
    call: int = 0


_NO_CALL: Final = TokenClaim()


def token_use(connection: Connection, owner: str, at: datetime, call: TokenClaim) -> TokenUse:
    """An owner's token use in the month of a time, without the job of `call`, and the claims of running calls.

    The result is exact only while the transaction holds the owner's lock.
    """
    parameters: dict[str, Any] = {f"this_{name}": value for name, value in call._asdict().items()}
    parameters |= {"this_owner": owner, "since": month_start(at), "now": at}
    used, unspent, claimed = connection.execute(_USE, parameters).one()
    return TokenUse(int(used), int(unspent) + int(claimed), claimed=int(claimed))


def check_month(connection: Connection, owner: str, budget: TokenBudget, at: datetime) -> None:
    """Raise `LimitExceeded` if the owner has used up the month. Reservations of running jobs do not count here."""
    used = connection.execute(_BILLED_SINCE, {"this_owner": owner, "since": month_start(at)}).scalar_one()
    if used >= budget.monthly:
        TokenUse(int(used)).check(budget.monthly, at)


def reservation(connection: Connection, owner: str, budget: TokenBudget, at: datetime, *, checked: bool) -> int:
    """The tokens that a new job reserves: those of its planned calls, or the remaining ones.

    Raises `LimitExceeded` if none remain. A job that runs already is not `checked`.
    """
    use = token_use(connection, owner, at, _NO_CALL)
    if checked:
        use.check(budget.monthly, at)
    return max(0, min(budget.planned, use.remaining(budget.monthly)))


class TokenRepository:
    """Reads token use. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def use(self, owner: str, at: datetime) -> TokenUse:
        """An owner's token use in the month of a time."""
        return await self._db.autocommit(lambda connection: token_use(connection, owner, at, _NO_CALL))
