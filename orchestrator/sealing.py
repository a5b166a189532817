"""Keeps secrets at rest: keyed digests of what is only compared, encryption of what has to be used again."""

import base64
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.domain.errors import OrchestratorError

_FILE: Final = "secret-key"
_BYTES: Final = 32
_SECRETS: Final = re.compile(
    r"(\bdvr_sk_[a-z]+_)[A-Za-z0-9_\-]{8,}|(\bao_)[0-9a-f]{8,}|(\bwhsec_)[A-Za-z0-9_+/=%\-]{8,}"
)


class Unsealable(OrchestratorError):
    """What is stored was sealed with another `ORCHESTRATOR_SECRET_KEY`."""

    code = "unsealable"


class Sealer:
    """Everything follows from one secret, which every process of an installation shares."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._digest_key = self.derived("digest")
        self._box = Fernet(base64.urlsafe_b64encode(self.derived("seal")))

    def derived(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose alone; always the same."""
        derivation = HKDF(algorithm=hashes.SHA256(), length=_BYTES, salt=None, info=purpose.encode())
        return derivation.derive(self._secret)

    def check_value(self) -> str:
        """Tells whether two processes share the secret, and nothing else: derived for that alone, and cut short."""
        return self.derived("check value").hex()[:16]

    def digest(self, text: str) -> str:
        """The keyed digest of a secret that is only ever compared."""
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()

    def matches(self, text: str, digest: str) -> bool:
        """Whether a digest is that of the text; takes the same time either way."""
        return hmac.compare_digest(self.digest(text), digest)

    def seal(self, text: str) -> str:
        """The text, encrypted for the index."""
        return self._box.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """The text again. Raises `Unsealable` after a change of the secret."""
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unsealable("A stored secret was sealed with another ORCHESTRATOR_SECRET_KEY") from None


def without_secrets(text: str) -> str:
    """The text, with whatever looks like a key or a secret of this product cut short."""
    return _SECRETS.sub(r"\1\2\3…", text)


def callback_secret(sealer: Sealer, owner: str) -> str:
    """What signs the callbacks of an owner's jobs, `whsec_` and base64: one per account, always the same (C-54)."""
    return "whsec_" + base64.b64encode(sealer.derived(f"webhook:{owner}")).decode()


def secret_file(data_dir: Path) -> Path:
    """Where a data directory's secret lies."""
    return data_dir / _FILE


def kept_secret(data_dir: Path) -> str:
    """The secret of a data directory, made by the first process that needs it and readable by its owner alone.

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
            os.link(draft, path)  # atomic: of two processes, both read the first one's
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
