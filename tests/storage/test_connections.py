"""What `doctor` counts on a real PostgreSQL server, and what the shipped settings need of one."""

import psycopg
import pytest
from sqlalchemy import Connection, text

from orchestrator.commandline.doctor import connections as counted
from orchestrator.commandline.doctor.connections import Connections, connections, most_connections
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.database import Database
from orchestrator.testing import GivenSettings, eventually
from tests.storage.postgres import PostgresServer, running_postgres

_STOCK = 100 - 3  # PostgreSQL's stock max_connections, less those reserved for superusers
_TEMPORAL = 4 * (8 + 4)  # its four services with the SQL_MAX_CONNS and SQL_VIS_MAX_CONNS of scaled mode


async def test_our_processes_and_others_are_distinguished(postgres: PostgresServer, monkeypatch) -> None:
    url = postgres.new_database()
    settings = GivenSettings(database_url=url)
    index = Database(url)
    await index.ping()
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), application_name="temporal"):
        # This process is all that is connected, and doctor does not count itself.
        before = await connections(settings)
        monkeypatch.setattr("orchestrator.storage.database.application_name", lambda: "orchestrator 1@doctor")
        found = await connections(settings)
    await index.close()
    postgres.drop_database(url)
    assert before is not None
    assert (before.ours, before.processes) == (0, 0)
    assert found is not None
    assert (found.room, found.processes, found.each) == (_STOCK, 1, most_connections(settings))
    assert found.ours >= 1
    assert found.others >= 1


async def test_a_server_that_does_not_answer_is_another_check_s_finding() -> None:
    assert await connections(GivenSettings(database_url="postgresql://127.0.0.1:1/none")) is None


async def test_a_file_has_no_connections(tmp_path) -> None:
    assert await connections(GivenSettings(data_dir=tmp_path)) is None


def test_two_apis_and_four_workers_fit_a_stock_postgresql_beside_temporal() -> None:
    needed = _TEMPORAL + 6 * most_connections(GivenSettings())
    finding = counted.check_connections(Connections(_STOCK, _TEMPORAL, 0, 6, most_connections(GivenSettings())))
    assert needed <= _STOCK, finding.message


async def test_a_connection_is_named_after_its_process(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    index = Database(url)
    name = await index.autocommit(lambda c: c.execute(text("SELECT current_setting('application_name')")).scalar_one())
    await index.close()
    postgres.drop_database(url)
    assert name.startswith("orchestrator ")


@pytest.mark.parametrize("how", ["stop", "freeze"])
async def test_while_the_server_is_away_nothing_is_asked_of_it_and_its_return_is_found(how: str) -> None:
    asked: list[str] = []

    def unit(connection: Connection) -> None:
        asked.append(connection.execute(text("SELECT 'x'")).scalar_one())

    with running_postgres() as server:
        database = Database(server.new_database())
        await database.autocommit(unit)
        getattr(server, how)()
        try:
            for _ in range(20):
                with pytest.raises(Unavailable):
                    await database.transaction(unit)
            assert asked == ["x"]
        finally:
            server.start() if how == "stop" else server.thaw()

        async def answers() -> bool:
            try:
                await database.autocommit(unit)
            except Unavailable:
                return False
            return True

        await eventually(answers, bool)
        await database.close()
