"""Explains to operators why the SDK could not connect, with a remedy."""

import re
from typing import Final

_ADDRESS: Final = "Start the server, or correct TEMPORAL_ADDRESS."
_FAULTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("Connection ?refused", "connection refused", _ADDRESS),
    ("dns error|lookup address", "its host name is not known", "Correct TEMPORAL_ADDRESS."),
    (
        "InvalidContentType|InvalidMessage",
        "the server does not use TLS, but TLS is switched on",
        "Remove TEMPORAL_TLS and TEMPORAL_API_KEY from the settings, or correct TEMPORAL_ADDRESS.",
    ),
    (
        "UnknownIssuer|[Cc]ertificate",
        "the certificates of client and server do not match",
        "Correct TEMPORAL_TLS_SERVER_CA_CERT_PATH, TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_SERVER_NAME.",
    ),
    (
        "h2 protocol|http2|GoAway|broken pipe|connection reset",
        "the server is not Temporal, or requires TLS",
        "Correct TEMPORAL_ADDRESS, or switch TLS on with TEMPORAL_TLS=true.",
    ),
    ("[Uu]nauthenticated|[Pp]ermission ?[Dd]enied", "the server refuses the credentials", "Correct TEMPORAL_API_KEY."),
    ("[Tt]imed ?out|[Dd]eadline|elapsed", "no answer in time", _ADDRESS),
)
_MAX_LENGTH: Final = 300


def connection_fault(error: BaseException) -> tuple[str, str]:
    """A sentence and a remedy for an error of the SDK while it connects."""
    text = str(error)
    matches = ((sentence, remedy) for pattern, sentence, remedy in _FAULTS if re.search(pattern, text))
    return next(matches, (text[:_MAX_LENGTH], _ADDRESS))
