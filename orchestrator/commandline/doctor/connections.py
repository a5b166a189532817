"""A check of `orchestrator doctor`: whether a PostgreSQL server has enough connections for all processes."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, make_url, text

from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.findings import Finding, Verdict
from orchestrator.settings import Settings
from orchestrator.storage.database import APPLICATION, Database

# The limit of the server, and its clients except this process.
_QUERY: Final = text("""
    SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int AS room,
           count(*) FILTER (WHERE application_name NOT LIKE :ours) AS others,
           count(*) FILTER (WHERE application_name LIKE :ours) AS ours,
           count(DISTINCT application_name) FILTER (WHERE application_name LIKE :ours) AS processes
      FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND application_name <> current_setting('application_name')
""")


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of a PostgreSQL server: the limit (`room`), and open ones of `others` and of our `processes`.

    `each` is the number of connections that one process may open.
    """

    room: int
    others: int
    ours: int
    processes: int
    each: int


async def connections(settings: Settings) -> Connections | None:
    """The connections of the index's server; None for SQLite, or if the server does not answer."""
    url = settings.index_url()
    if make_url(url).get_backend_name() == "sqlite":
        return None
    database = Database(url, pool_size=1, max_overflow=0)
    try:
        room, others, ours, processes = await database.autocommit(_look)
    except OrchestratorError:  # the check of the database reports it
        return None
    finally:
        await database.close()
    return Connections(room, others, ours, processes, most_connections(settings))


def most_connections(settings: Settings) -> int:
    """The maximum of connections of a process: its pool, and an API's pool for reports."""
    return settings.database_pool_size + 1 + 2 * settings.database_max_overflow


def _look(connection: Connection) -> tuple[int, int, int, int]:
    row = connection.execute(_QUERY, {"ours": f"{APPLICATION} %"}).one()
    return row.room, row.others, row.ours, row.processes


def check_connections(usage: Connections) -> Finding:
    """Checks that every process can open all its connections, beside the open ones of Temporal and other programs."""
    needed = usage.others + usage.processes * usage.each
    message = (
        f"{usage.others + usage.ours} of {usage.room} open; {usage.processes} processes with {usage.each} each "
        f"and {usage.others} of other programs need {needed}"
    )
    if needed > usage.room:
        remedy = (
            "Raise max_connections, or lower ORCHESTRATOR_DATABASE_POOL_SIZE, ORCHESTRATOR_DATABASE_MAX_OVERFLOW "
            "or Temporal's SQL_MAX_CONNS."
        )
        return Finding("connections", Verdict.WARNING, message, remedy)
    return Finding("connections", Verdict.OK, message)
