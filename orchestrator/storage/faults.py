"""Database errors for operators: the driver's own message without secrets, and a remedy."""

import errno
import re
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import exc

_MAX_LENGTH: Final = 300
_URL: Final = "ORCHESTRATOR_DATABASE_URL"
_POOL: Final = "ORCHESTRATOR_DATABASE_POOL_SIZE"
_PASSWORDS: Final = re.compile(r"(://[^:/@\s]*:)[^@\s]*(@)|(password\s*=\s*)('[^']*'|\S+)", re.IGNORECASE)
_NOISE: Final = re.compile(r"^connection failed: |\s*Is the server running .*$|\s*LINE \d+:.*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DatabaseFault:
    """The error in one sentence, without secrets, and what to do about it."""

    sentence: str
    remedy: str


NO_DATABASE: Final = "Move the file away, or restore it from a backup."
# The first pattern that matches the error code and the driver's message selects the remedy.
_REMEDIES: Final[tuple[tuple[str, str], ...]] = (
    ("password|28P01|28000|role .* does not exist|pg_hba", f"Correct the user and the password in {_URL}."),
    ("3D000|database .* does not exist", f"Create that database, or correct the name in {_URL}."),
    (
        "53300|too many clients|remaining connection slots|too many connections",
        f"Raise max_connections of PostgreSQL, or lower {_POOL} and ORCHESTRATOR_DATABASE_MAX_OVERFLOW everywhere.",
    ),
    ("QueuePool", f"Raise {_POOL}, or start more processes."),
    ("53100|SQLITE_FULL|disk is full|[Nn]o space left|quota exceeded", "Free space on the disk of the database."),
    (
        "25006|42501|SQLITE_(READONLY|CANTOPEN|PERM)|[Rr]ead-only|[Pp]ermission denied|a directory|File exists",
        f"Allow this user to write there, or set another place: ORCHESTRATOR_DATA_DIR for SQLite, else {_URL}.",
    ),
    ("SQLITE_NOTADB|SQLITE_CORRUPT|not a database|malformed", NO_DATABASE),
    ("SQLITE_BUSY|SQLITE_LOCKED|55P03|40P01|locked", "Stop the process that holds the lock, for example a backup."),
    (
        "42P01|42703|no such (table|column)",
        "Start a worker or the API once: it migrates the schema. If that does not help, restore a backup.",
    ),
    ("SSL|TLS|certificate", f"Correct sslmode and its files in {_URL}."),
    (
        "refused|resolve|unreachable|time(d )?out|no answer|starting up|shutting down|closed|08006|57P0|terminat",
        f"Start the database, or correct the host and the port in {_URL}.",
    ),
)
_SEE_LOG: Final = "See the log of the database."


def described(error: BaseException, password: str | None = None) -> DatabaseFault:
    """Describe an error of SQLAlchemy, a driver or the operating system. `password` is masked in the text."""
    origin: Any = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    code = getattr(origin, "sqlstate", None) or getattr(origin, "sqlite_errorname", None) or ""
    if isinstance(origin, OSError) and origin.errno == errno.ENOSPC:
        code = "SQLITE_FULL"
    sentence = _sentence(origin, password)
    remedies = (remedy for pattern, remedy in _REMEDIES if re.search(pattern, f"{code} {sentence}"))
    return DatabaseFault(sentence, next(remedies, _SEE_LOG))


def _sentence(error: BaseException, password: str | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or 'the database'}: {error.strerror}"
    else:
        text = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
    text = " ".join(_NOISE.sub("", text).split())
    if password:
        text = text.replace(password, "***")
    return _PASSWORDS.sub(r"\1\3***\2", text)[:_MAX_LENGTH]
