"""Stores the first answer to each idempotency key. Before the answer exists, a claim reserves the key."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import idempotency_keys as rows

_THIS: Final = (rows.c.owner == bindparam("this_owner"), rows.c.key == bindparam("this_key"))
_OF_CLAIM: Final = (*_THIS, rows.c.claim == bindparam("this_claim"), rows.c.answer.is_(None))
_READ: Final = select(rows.c.request_digest, rows.c.answer).where(*_THIS)


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """The request that runs with an idempotency key. `key` is the digest of the key; `id` is unique to the request."""

    owner: str
    key: str
    id: str


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """The first request with an idempotency key. `answer` is sealed, or None while the request runs."""

    request_digest: str
    answer: str | None


class IdempotencyRepository:
    """Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._insert = db.insert(rows).on_conflict_do_nothing(index_elements=[rows.c.owner, rows.c.key])

    async def claim(
        self, claim: KeyClaim, *, request_digest: str, at: datetime, until: datetime, forgotten: datetime
    ) -> FirstRequest | None:
        """Reserve a key until `until`. Returns None, or the first request if the key is in use.

        An entry older than `forgotten` is replaced. So is a claim that expired without an answer, because its process
        died.
        """
        dead = and_(rows.c.answer.is_(None), rows.c.claimed_until < at)
        free = delete(rows).where(*_THIS, or_(dead, rows.c.created_at < forgotten))
        new = {
            "owner": claim.owner,
            "key": claim.key,
            "request_digest": request_digest,
            "claim": claim.id,
            "claimed_until": until,
            "created_at": at,
        }

        def write(connection: Connection) -> FirstRequest | None:
            this = {"this_owner": claim.owner, "this_key": claim.key}
            connection.execute(free, this)
            if connection.execute(self._insert.returning(rows.c.key), new).first() is not None:
                return None
            return FirstRequest(*connection.execute(_READ, this).one())

        return await self._db.transaction(write, owner=claim.owner)

    async def complete(self, claim: KeyClaim, answer: str) -> None:
        """Store the sealed answer of a request."""
        change = update(rows).where(*_OF_CLAIM).values(answer=answer)
        await self._db.autocommit(lambda connection: connection.execute(change, _named(claim)).close())

    async def release(self, claim: KeyClaim) -> None:
        """Delete the claim of a refused request, so that the key can be used again."""
        forget = delete(rows).where(*_OF_CLAIM)
        await self._db.autocommit(lambda connection: connection.execute(forget, _named(claim)).close())


def _named(claim: KeyClaim) -> dict[str, str]:
    return {"this_owner": claim.owner, "this_key": claim.key, "this_claim": claim.id}
