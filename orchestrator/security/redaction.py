"""Removes secrets of this product from texts that are logged or recorded."""

import re
from typing import Final

from orchestrator.domain.ids import session_digest

_SECRETS: Final = re.compile(
    r"(\bdvr_sk_[a-z]+_)[A-Za-z0-9_\-]{8,}|(\bao_)[0-9a-f]{8,}|(\bwhsec_)[A-Za-z0-9_+/=%\-]{8,}"
    r"|(\beyJ)[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+"  # the token of a user's sign-in
    r"|([?&](?:token|access_token|api_key|key)=)[^&\s\"']+"  # whatever a client sends as a credential in an address
)
_LINK: Final = re.compile(r"(/ui/open/)[^/?\s\"'\]]+")
_SESSION: Final = re.compile(r"(?<!/chat)(/(?:workflow-status|ws)/)(?!~)([^/?\s\"'\]]+)")


def without_secrets(text: str) -> str:
    """The text with every key, token and secret of this product shortened to its kind.

    The id of a session in a path opens that session: it is replaced by the digest with which the job's id begins.
    The secret of a one-time link is replaced by the name that it has in the template of its route.
    """
    if not any(mark in text for mark in "_/."):  # Most values of log lines: numbers, words.
        return text
    text = _SECRETS.sub(r"\1\2\3\4\5…", text)
    text = _LINK.sub(r"\1{secret}", text)
    return _SESSION.sub(lambda path: f"{path[1]}~{session_digest(path[2])[:12]}", text)
