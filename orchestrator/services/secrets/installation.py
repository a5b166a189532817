"""Marks a job index with its secret key and namespace, and refuses processes of other installations."""

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
    """The secret key of this process, and its source: a variable or a file."""

    sealer: Sealer
    source: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Installation:
    """The installation that an index belongs to (decision 0021).

    The first process that opens an index marks it. Every other process is compared with the mark at its start.
    """

    marks: InstallationRepository
    key: SecretKey

    async def check_secret_key(self) -> None:
        """Compare the secret key with the mark. Raises `Misconfigured` for another key, `Unavailable`."""
        marks = await self.marks.read()
        if SECRET not in marks:
            marks = await self.marks.keep({SECRET: await self._first_key()})
        if not is_one_of(marks[SECRET], self.key.sealer.key_ids):
            raise another_key(self.marks.place, self.key.source)

    async def check_namespace(self, namespace_id: str, name: str) -> None:
        """Compare the Temporal namespace with the mark. Raises `Misconfigured` for another namespace, `Unavailable`."""
        marks = await self.marks.read()
        if NAMESPACE not in marks:
            marks = await self.marks.keep({NAMESPACE: namespace_id, NAMESPACE_NAME: name})
        if marks[NAMESPACE] != namespace_id:
            raise another_namespace(self.marks.place, marks, namespace_id, name)

    async def bind_secret_key(self) -> None:
        """Mark the index with the secret key of this process."""
        await self.marks.replace({SECRET: self.key.sealer.check_value()})

    async def bind_namespace(self, namespace_id: str, name: str) -> None:
        """Mark the index with this Temporal namespace."""
        before = await self.marks.keep({NAMESPACE: namespace_id, NAMESPACE_NAME: name})
        if before[NAMESPACE] != namespace_id:
            log.warning("index_bound_to_another_namespace", namespace=name, before=before.get(NAMESPACE_NAME))
            await self.marks.replace({NAMESPACE: namespace_id, NAMESPACE_NAME: name})

    async def _first_key(self) -> str:
        """The key for an index without a mark. An index of an old release has sealed secrets, which show its key."""
        sealer = self.key.sealer
        sealed = await self.marks.sealed_secret()
        if sealed is None:
            return sealer.check_value()
        webhook_id, secret = sealed
        try:
            return sealer.key_of(secret, sealed_for(webhook_id))
        except Unsealable:
            raise another_key(self.marks.place, self.key.source) from None


def is_one_of(mark: str, key_ids: Sequence[str]) -> bool:
    """Whether the mark of an index is that of a secret key or its fallback. Compares in constant time."""
    return any([hmac.compare_digest(mark, key_id) for key_id in key_ids])  # noqa: C419


def another_key(place: str, source: str) -> Misconfigured:
    """The error of a process whose secret key is not that of the index."""
    return Misconfigured(
        f"The job index {place} belongs to another secret key than that of {source}.",
        remedy="Give every process the same ORCHESTRATOR_SECRET_KEY, or name this installation's own index in "
        "ORCHESTRATOR_DATABASE_URL. If the old key is lost, and with it all issued keys and webhook secrets: "
        "`orchestrator bind --secret-key`.",
    )


def another_namespace(place: str, marks: Mapping[str, str], namespace_id: str, name: str) -> Misconfigured:
    """The error of a process whose Temporal namespace is not that of the index."""
    return Misconfigured(
        f"The jobs of the index {place} are in the Temporal namespace {marks.get(NAMESPACE_NAME)!r} "
        f"(id {marks[NAMESPACE]}), and this process uses {name!r} (id {namespace_id}).",
        remedy="Correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or name this installation's own index in "
        "ORCHESTRATOR_DATABASE_URL. If this index has a new Temporal: `orchestrator bind --namespace`.",
    )
