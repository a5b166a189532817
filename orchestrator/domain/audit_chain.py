"""The audit trail as a chain: each entry's digest binds the one before, and a sealed head binds the last."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Final

from orchestrator.domain.access import AuditEntry

BEGINNING: Final = ""
"""What the first entry of a chain follows."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain is: its last entry, and what pruning left of its beginning.

    Entries up to `unchained` are of a release without a chain: they have no digests, and the first one after them
    follows all of them. `broken` is the first entry that was written after the chain was found broken. `seal` is keyed
    digests of the rest, one by each secret key of the writer, which nobody can make with the database alone;
    `sealed_by` names the first of these keys.
    """

    number: int = 0
    digest: str = BEGINNING
    unchained: int = 0
    pruned: int = 0
    pruned_digest: str = BEGINNING
    broken: int | None = None
    sealed_by: str = ""
    seal: str = ""

    @property
    def content(self) -> str:
        """What is sealed."""
        return json.dumps([value for name, value in asdict(self).items() if name != "seal"])


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a look at the whole chain found. `broken` is the first entry at which it breaks, None for a whole chain."""

    checked: int
    head: ChainHead
    broken: int | None = None
    why: str = ""


def digest_of(entry: AuditEntry, before: str) -> str:
    """The digest of an entry that follows the one with the digest `before`."""
    fields = {name: value for name, value in asdict(entry).items() if name not in ("at", "digest")}
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps([before, at, *(value for _, value in sorted(fields.items()))])
    return hashlib.sha256(text.encode()).hexdigest()
