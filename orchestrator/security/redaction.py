"""Removes secrets of this product from texts that are logged or recorded."""

import re
from typing import Final

from orchestrator.domain.ids import session_digest

_SECRETS: Final = re.compile(
    r"(\bdvr_sk_[a-z]+_)[A-Za-z0-9_\-]{8,}|(\bao_)[0-9a-f]{8,}|(\bwhsec_)[A-Za-z0-9_+/=%\-]{8,}"
)
_SESSION: Final = re.compile(r"(?<!/chat)(/(?:workflow-status|ws)/)(?!~)([^/?\s\"'\]]+)")


def without_secrets(text: str) -> str:
    """The text with every key and secret of this product shortened to its kind.

    The id of a session in a path opens that session: it is replaced by the digest with which the job's id begins.
    """
    if "_" not in text and "/" not in text:  # Most values of log lines: numbers, words.
        return text
    return _SESSION.sub(lambda path: f"{path[1]}~{session_digest(path[2])[:12]}", _SECRETS.sub(r"\1\2\3…", text))
