"""Stores secrets: keyed digests of those that are only compared, encryption of those that are used again."""

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.domain.errors import OrchestratorError

_FILE: Final = "secret-key"
_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_BOUND: Final = "v2."


class Unsealable(OrchestratorError):
    """A stored secret was sealed with another `ORCHESTRATOR_SECRET_KEY`, or for another row."""

    code = "unsealable"


class _Key:
    """The keys that are derived from one secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.id = self.derived("check value").hex()[:16]
        self.digest_key = self.derived("digest")
        self.box = AESGCM(self.derived("seal to a place"))
        self.unbound = Fernet(base64.urlsafe_b64encode(self.derived("seal")))

    def derived(self, purpose: str) -> bytes:
        derivation = HKDF(algorithm=hashes.SHA256(), length=_BYTES, salt=None, info=purpose.encode())
        return derivation.derive(self._secret)

    def digest(self, text: str) -> str:
        return hmac.new(self.digest_key, text.encode(), hashlib.sha256).hexdigest()


class Sealer:
    """Seals secrets with the secret key that all processes of an installation share.

    While the key is rotated there is a fallback, the next or the previous key: it unseals, but seals nothing.
    A sealed text is bound to its place, a table and row: it cannot be unsealed for another place.
    """

    def __init__(self, secret: str, fallback: str | None = None) -> None:
        self._key = _Key(secret)
        self._keys = {key.id: key for key in [self._key, *([_Key(fallback)] if fallback else [])]}

    @property
    def key_ids(self) -> list[str]:
        """Check values of the key and, if there is one, of the fallback."""
        return list(self._keys)

    def derived(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose. The same key and purpose give the same secret."""
        return self._key.derived(purpose)

    def derived_by_each(self, purpose: str) -> list[bytes]:
        """The secrets for one purpose of the key and the fallback."""
        return [key.derived(purpose) for key in self._keys.values()]

    def check_value(self) -> str:
        """A short value by which two processes see whether they have the same key. It reveals nothing else."""
        return self._key.id

    def digest(self, text: str) -> str:
        """The keyed digest of a secret that is only compared."""
        return self._key.digest(text)

    def matches(self, text: str, digest: str) -> bool:
        """Whether `digest` is the digest of `text` with the key or the fallback. Takes the same time in both cases."""
        presented = digest.encode(errors="replace")  # texts can be compared only if they are ASCII
        return any([hmac.compare_digest(key.digest(text).encode(), presented) for key in self._keys.values()])  # noqa: C419

    def seal(self, text: str, place: str) -> str:
        """The text, encrypted for one place of the index."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._key.box.encrypt(nonce, text.encode(), place.encode())
        return f"{_BOUND}{self._key.id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, sealed: str, place: str) -> str:
        """The plain text. Raises `Unsealable` for another secret key or another place."""
        return self._opened(sealed, place)[1]

    def key_of(self, sealed: str, place: str) -> str:
        """The check value of the key that sealed a text. Raises `Unsealable` for a key that is not here."""
        return self._opened(sealed, place)[0]

    def _opened(self, sealed: str, place: str) -> tuple[str, str]:
        for key in self._keys.values():
            try:
                if not sealed.startswith(_BOUND):  # sealed by an earlier release
                    return key.id, key.unbound.decrypt(sealed.encode()).decode()
                data = base64.urlsafe_b64decode(sealed.rpartition(".")[2])
                return key.id, key.box.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place.encode()).decode()
            except (InvalidToken, InvalidTag, ValueError):
                continue
        raise Unsealable("A stored secret was sealed with another ORCHESTRATOR_SECRET_KEY, or for another row")

    def is_current(self, sealed: str) -> bool:
        """Whether a text is sealed with the key itself and bound to a place. Those of early releases are not bound."""
        return sealed.startswith(f"{_BOUND}{self._key.id}.")


def callback_secrets(sealer: Sealer, owner: str) -> list[str]:
    """The secret that signs the callbacks of an owner's jobs: `whsec_` and base64, always the same (C-54).

    While the secret key is rotated there is a second one, of the fallback.
    """
    return ["whsec_" + base64.b64encode(secret).decode() for secret in sealer.derived_by_each(f"webhook:{owner}")]


def secret_file(data_dir: Path) -> Path:
    """The file with the secret of a data directory."""
    return data_dir / _FILE


def read_or_make_secret(data_dir: Path) -> str:
    """The secret of a data directory. The first process generates it; only the owner of the file may read it.

    Raises `OSError`.
    """
    path = secret_file(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_BYTES))
        try:
            os.link(draft, path)  # Atomic: of two processes, the second one reads the secret of the first.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
