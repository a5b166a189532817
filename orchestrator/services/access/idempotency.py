"""Requests with an `Idempotency-Key`: each is executed once, and its answer is repeated for a day.

Starts of jobs have their own mechanism: the key becomes part of the job's id.
"""

import hashlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import BaseModel

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import IdempotencyReuse, InvalidInput, RequestInProgress, Unavailable
from orchestrator.domain.ids import IDEMPOTENCY_KEY_LIMIT
from orchestrator.security.sealing import Sealer
from orchestrator.storage.idempotency import FirstRequest, IdempotencyRepository, KeyClaim

log = structlog.get_logger(__name__)

RETENTION: Final = timedelta(days=1)
_RETRY_AFTER: Final = 1.0


class FirstAnswer(BaseModel):
    """The answer to a request, as it is repeated."""

    status: int
    body: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IdempotentRequests:
    """The requests with an idempotency key, per owner.

    `lease` is longer than any request runs: an older claim belongs to a dead process.
    """

    requests: IdempotencyRepository
    sealer: Sealer
    _: KW_ONLY
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    lease: timedelta

    async def claim(self, principal: Principal, key: str, request: str) -> KeyClaim | FirstAnswer:
        """Claim a key for a request, or return the answer of the first request with it.

        `request` has all that must be the same in a repeated request. The caller must complete or release the claim.
        Raises `InvalidInput` for the key, `IdempotencyReuse`, `RequestInProgress`, `Unavailable`.
        """
        check_idempotency_key(key)
        # Only a digest of the key is stored: the key may contain data of the caller.
        claim = KeyClaim(principal.id, hashlib.sha256(key.encode()).hexdigest(), self.new_id())
        at = self.clock()
        first = await self.requests.claim(
            claim,
            request_digest=self.sealer.digest(request),
            at=at,
            until=at + self.lease,
            forgotten=at - RETENTION,
        )
        return claim if first is None else self._stored_answer(claim, first, request)

    async def complete(self, claim: KeyClaim, answer: FirstAnswer) -> None:
        """Store the answer of a request. The request is done, so a failure is only logged."""
        try:
            await self.requests.complete(claim, self.sealer.seal(answer.model_dump_json(), _place(claim)))
        except Unavailable as fault:
            log.warning("idempotent_answer_not_stored", owner=claim.owner, error=fault.message)

    async def release(self, claim: KeyClaim) -> None:
        """Forget a request that was refused. If that fails, the key is free after the lease."""
        try:
            await self.requests.release(claim)
        except Unavailable as fault:
            log.warning("idempotency_key_not_released", owner=claim.owner, error=fault.message)

    def _stored_answer(self, claim: KeyClaim, first: FirstRequest, request: str) -> FirstAnswer:
        if not self.sealer.matches(request, first.request_digest):
            raise IdempotencyReuse(
                "This Idempotency-Key was used with another request",
                field="Idempotency-Key",
                expected="the same request, or a new key",
            )
        if first.answer is None:
            raise RequestInProgress(
                "The first request with this Idempotency-Key is still running", retry_after=_RETRY_AFTER
            )
        return FirstAnswer.model_validate_json(self.sealer.unseal(first.answer, _place(claim)))


def check_idempotency_key(key: str) -> None:
    """Raise `InvalidInput` for a key that is empty, too long or not printable."""
    if not key.strip() or len(key) > IDEMPOTENCY_KEY_LIMIT or not key.isprintable():
        raise InvalidInput(
            f"Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_LIMIT} printable characters",
            field="Idempotency-Key",
            provided=key[:40],
            expected=f"1 to {IDEMPOTENCY_KEY_LIMIT} printable characters",
        )


def _place(claim: KeyClaim) -> str:
    return f"idempotency_keys/{claim.owner}/{claim.key}"
