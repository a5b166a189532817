"""What the SDK's refusal to connect means, in words, and what an operator does about it."""

import re
from typing import Final

_ADDRESS: Final = "Start that server, or correct TEMPORAL_ADDRESS."
_FAULTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("Connection ?refused", "connection refused", _ADDRESS),
    ("dns error|lookup address", "the name of its host is not known", "Correct TEMPORAL_ADDRESS."),
    (
        "InvalidContentType|InvalidMessage",
        "what answers there does not speak TLS, which is switched on",
        "Take TEMPORAL_TLS and TEMPORAL_API_KEY out of the settings, or correct TEMPORAL_ADDRESS.",
    ),
    (
        "UnknownIssuer|[Cc]ertificate",
        "the certificates of the two sides do not fit together",
        "Correct TEMPORAL_TLS_SERVER_CA_CERT_PATH, TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_SERVER_NAME.",
    ),
    (
        "h2 protocol|http2|GoAway|broken pipe|connection reset",
        "what answers there is no Temporal server, or wants TLS",
        "Correct TEMPORAL_ADDRESS; TEMPORAL_TLS=true switches TLS on.",
    ),
    ("[Uu]nauthenticated|[Pp]ermission ?[Dd]enied", "it refuses the credentials", "Correct TEMPORAL_API_KEY."),
    ("[Tt]imed ?out|[Dd]eadline|elapsed", "no answer in time", _ADDRESS),
)
_LONGEST: Final = 300


def connection_fault(error: BaseException) -> tuple[str, str]:
    """A sentence and a remedy for the error that the SDK raises when it cannot connect."""
    text = str(error)
    known = ((sentence, remedy) for pattern, sentence, remedy in _FAULTS if re.search(pattern, text))
    return next(known, (text[:_LONGEST], _ADDRESS))
