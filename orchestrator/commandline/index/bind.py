"""`orchestrator bind`: has the job index belong to this secret key, or to this Temporal namespace, from now on."""

import asyncio

from orchestrator.commandline.terminal.exits import OK, Refused, say
from orchestrator.composition.backend import audit_trail, secret_key_of
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.namespace import namespace_id
from orchestrator.logs import configure
from orchestrator.services.secrets.installation import Installation
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.installation import InstallationRepository


def run(settings: Settings, *, namespace: bool, secret_key: bool) -> int:
    """Bind the index to what the settings name now. Answers the exit code. Raises `Refused`, `Unavailable`."""
    if not (namespace or secret_key):
        raise Refused("name what the index shall belong to: --namespace, --secret-key or both")
    configure(settings.log_level, settings.log_format)
    asyncio.run(_bind(settings, namespace=namespace, secret_key=secret_key))
    return OK


async def _bind(settings: Settings, *, namespace: bool, secret_key: bool) -> None:
    database = Database(settings.index_url())
    try:
        key = secret_key_of(settings)
        await database.migrate(audit_trail(database, key.sealer).begin)
        installation = Installation(InstallationRepository(database), key)
        if secret_key:
            await installation.bind_secret_key()
            await audit_trail(database, key.sealer).reseal()
            say(f"{database.place} belongs to this secret key now: issue keys and webhook secrets anew")
        if namespace:
            client = await connect(connect_options(), lazy=False)
            await installation.bind_namespace(await namespace_id(client), client.namespace)
            say(f"{database.place} belongs to the Temporal namespace {client.namespace!r} now")
    finally:
        await database.close()
