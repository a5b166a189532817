"""Exchanges the secret key: reseals what the fallback sealed, and tells what still depends on it (decision 0026)."""

from collections.abc import Callable
from dataclasses import dataclass, field
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
    """How far an exchange has come. `outdated` webhooks have a secret that is to be resealed, `lost` ones a secret that
    neither key opens; `keys` still have a digest of the other key."""

    webhooks: int = 0
    outdated: int = 0
    resealed: int = 0
    lost: list[str] = field(default_factory=list)
    keys: list[ApiKey] = field(default_factory=list)
    marked: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing in the index needs the fallback any more, but keys that nobody has used since."""
        return self.marked and self.outdated == self.resealed


class SecretRotation:
    """Every method raises `Unavailable`. Ask `Installation.check_secret_key` first."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        keys: KeyRepository,
        marks: InstallationRepository,
        sealer: Sealer,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._keys = keys
        self._marks = marks
        self._sealer = sealer
        self._clock = clock

    async def look(self) -> Rotation:
        """What an exchange would change."""
        return await self._pass(change=False, progress=lambda _: None)

    async def rotate(self, progress: Callable[[Rotation], None]) -> Rotation:
        """Reseal everything, row by row, and mark the index with the key once nothing is left.

        May be interrupted and run again at any time, also beside processes that work. Calls `progress` now and then.
        """
        rotation = await self._pass(change=True, progress=progress)
        mark = (await self._marks.read())[SECRET]
        if not rotation.marked and rotation.outdated == rotation.resealed:
            await self._marks.replace_key(SECRET, mark, self._sealer.check_value())
            rotation.marked = True
        return rotation

    async def _pass(self, *, change: bool, progress: Callable[[Rotation], None]) -> Rotation:
        mark, own = (await self._marks.read())[SECRET], self._sealer.check_value()
        rotation, after = Rotation(marked=mark == own), ""
        while page := await self._webhooks.secrets(after=after, limit=_PAGE):
            for row in page:
                await self._row(row, rotation, change=change)
            after = page[-1].webhook_id
            progress(rotation)
        rotation.keys = await self._keys.digested_otherwise(own, unsaid=mark, at=self._clock())
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
        if change and await self._webhooks.resealed(row, new):
            rotation.resealed += 1

    def _current(self, sealed: str | None) -> bool:
        return sealed is None or self._sealer.is_current(sealed)

    def _resealed(self, row: SealedSecrets, sealed: str | None) -> str | None:
        if sealed is None:
            return None
        place = sealed_for(row.webhook_id)
        return self._sealer.seal(self._sealer.unseal(sealed, place), place)
