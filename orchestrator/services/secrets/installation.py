"""Keeps processes of other installations away from a job index, which is marked with secret key and namespace."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from orchestrator.domain.errors import Misconfigured
from orchestrator.domain.webhooks import sealed_for
from orchestrator.security.sealing import Sealer, Unsealable
from orchestrator.storage.installation import InstallationRepository

SECRET: Final = "secret_key"  # noqa: S105 - the name of the mark
NAMESPACE: Final = "namespace_id"
NAMESPACE_NAME: Final = "namespace"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The secret of this process, and where it comes from: a variable or a file."""

    sealer: Sealer
    source: str


class Installation:
    """The installation that an index belongs to (decision 0021).

    The first process that opens an index marks it; every other one is compared with the mark before it works.
    """

    def __init__(self, marks: InstallationRepository, key: SecretKey) -> None:
        self._marks = marks
        self._key = key

    async def check_secret_key(self) -> None:
        """Raises `Misconfigured` when the index belongs to another secret key; `Unavailable`."""
        marks = await self._marks.read()
        if SECRET not in marks:
            marks = await self._marks.keep({SECRET: await self._first_key()})
        if not is_one_of(marks[SECRET], self._key.sealer.key_ids):
            raise another_key(self._marks.place, self._key.source)

    async def check_namespace(self, namespace_id: str, name: str) -> None:
        """Raises `Misconfigured` when the jobs of the index are in another Temporal namespace; `Unavailable`."""
        marks = await self._marks.read()
        if NAMESPACE not in marks:
            marks = await self._marks.keep({NAMESPACE: namespace_id, NAMESPACE_NAME: name})
        if marks[NAMESPACE] != namespace_id:
            raise another_namespace(self._marks.place, marks, namespace_id, name)

    async def bind_secret_key(self) -> None:
        """Have the index belong to this process's secret key from now on."""
        await self._marks.replace({SECRET: self._key.sealer.check_value()})

    async def bind_namespace(self, namespace_id: str, name: str) -> None:
        """Have the index belong to this Temporal namespace from now on."""
        before = await self._marks.keep({NAMESPACE: namespace_id, NAMESPACE_NAME: name})
        if before[NAMESPACE] != namespace_id:
            log.warning("index_bound_to_another_namespace", namespace=name, before=before.get(NAMESPACE_NAME))
            await self._marks.replace({NAMESPACE: namespace_id, NAMESPACE_NAME: name})

    async def _first_key(self) -> str:
        """The key of an index that has no mark yet: one from before there were marks tells by what is sealed in it."""
        sealer = self._key.sealer
        sealed = await self._marks.sealed_secret()
        if sealed is None:
            return sealer.check_value()
        webhook_id, secret = sealed
        try:
            return sealer.key_of(secret, sealed_for(webhook_id))
        except Unsealable:
            raise another_key(self._marks.place, self._key.source) from None


def is_one_of(mark: str, key_ids: Sequence[str]) -> bool:
    """Whether the mark of an index is that of a secret key or its fallback; in constant time."""
    return any([hmac.compare_digest(mark, key_id) for key_id in key_ids])  # noqa: C419


def another_key(place: str, source: str) -> Misconfigured:
    """The refusal of a process with another secret key than its index's."""
    return Misconfigured(
        f"The job index {place} belongs to another secret key than that of {source}.",
        remedy="Give every process the same ORCHESTRATOR_SECRET_KEY, or name this installation's own index in "
        "ORCHESTRATOR_DATABASE_URL. If the old key is lost, and with it all issued keys and webhook secrets: "
        "`orchestrator bind --secret-key`.",
    )


def another_namespace(place: str, marks: Mapping[str, str], namespace_id: str, name: str) -> Misconfigured:
    """The refusal of a process on another Temporal namespace than its index's."""
    return Misconfigured(
        f"The jobs of the index {place} are in the Temporal namespace {marks.get(NAMESPACE_NAME)!r} "
        f"(id {marks[NAMESPACE]}), and this process uses {name!r} (id {namespace_id}).",
        remedy="Correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or name this installation's own index in "
        "ORCHESTRATOR_DATABASE_URL. If Temporal was set up anew for this index: `orchestrator bind --namespace`.",
    )
