"""Rotates the secret key: seals all secrets with the new key, and reports uses of the old one (decision 0026)."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Final

from orchestrator.domain.access import ApiKey
from orchestrator.domain.webhooks import sealed_for
from orchestrator.security.sealing import Sealer, Unsealable
from orchestrator.services.secrets.installation import SECRET
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.webhooks import SealedSecrets, WebhookRepository

_PAGE: Final = 200


@dataclass(slots=True)
class Rotation:
    """The progress of a rotation. `outdated` webhooks have a secret of the old key, `lost` ones a secret that neither
    key opens. `keys` are API keys with a digest of the old key."""

    webhooks: int = 0
    outdated: int = 0
    resealed: int = 0
    lost: list[str] = field(default_factory=list)
    keys: list[ApiKey] = field(default_factory=list)
    marked: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing in the index needs the fallback any more, except `keys`: each changes at its next use."""
        return self.marked and self.outdated == self.resealed


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SecretRotation:
    """Rotates the secret key. Call `Installation.check_secret_key` first. Every method raises `Unavailable`."""

    webhooks: WebhookRepository
    keys: KeyRepository
    marks: InstallationRepository
    sealer: Sealer
    _: KW_ONLY
    clock: Callable[[], datetime]

    async def look(self) -> Rotation:
        """What a rotation would change."""
        return await self._pass(change=False, progress=lambda _: None)

    async def rotate(self, progress: Callable[[Rotation], None]) -> Rotation:
        """Seal every secret with the new key, row by row, then mark the index with the key.

        May be interrupted and repeated at any time, also while other processes run. Calls `progress` after each page.
        """
        rotation = await self._pass(change=True, progress=progress)
        mark = (await self.marks.read())[SECRET]
        if not rotation.marked and rotation.outdated == rotation.resealed:
            await self.marks.replace_key(SECRET, mark, self.sealer.check_value())
            rotation.marked = True
        return rotation

    async def _pass(self, *, change: bool, progress: Callable[[Rotation], None]) -> Rotation:
        mark, key_id = (await self.marks.read())[SECRET], self.sealer.check_value()
        rotation, after = Rotation(marked=mark == key_id), ""
        while page := await self.webhooks.secrets(after=after, limit=_PAGE):
            for row in page:
                await self._row(row, rotation, change=change)
            after = page[-1].webhook_id
            progress(rotation)
        rotation.keys = await self.keys.digested_otherwise(key_id, unsaid=mark, at=self.clock())
        return rotation

    async def _row(self, row: SealedSecrets, rotation: Rotation, *, change: bool) -> None:
        rotation.webhooks += 1
        if self._current(row.secret) and self._current(row.previous_secret):
            return
        try:
            new = SealedSecrets(
                row.webhook_id, self._resealed(row, row.secret) or "", self._resealed(row, row.previous_secret)
            )
        except Unsealable:
            rotation.lost.append(row.webhook_id)
            return
        rotation.outdated += 1
        if change and await self.webhooks.resealed(row, new):
            rotation.resealed += 1

    def _current(self, sealed: str | None) -> bool:
        return sealed is None or self.sealer.is_current(sealed)

    def _resealed(self, row: SealedSecrets, sealed: str | None) -> str | None:
        if sealed is None:
            return None
        place = sealed_for(row.webhook_id)
        return self.sealer.seal(self.sealer.unseal(sealed, place), place)
