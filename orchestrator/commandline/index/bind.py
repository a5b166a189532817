"""`orchestrator bind`: assigns the job index to this secret key or this Temporal namespace."""

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
    """Bind the index to the current settings. Returns the exit code. Raises `Refused`, `Unavailable`."""
    if not (namespace or secret_key):
        raise Refused("nothing to bind: pass --namespace, --secret-key or both")
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
            say(f"{database.place} now belongs to this secret key: issue new API keys and rotate the webhook secrets")
        if namespace:
            client = await connect(connect_options(), lazy=False)
            await installation.bind_namespace(await namespace_id(client), client.namespace)
            say(f"{database.place} now belongs to the Temporal namespace {client.namespace!r}")
    finally:
        await database.close()
