"""`orchestrator secrets rotate`: exchanges the secret key of an index, from a process of its own."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.composition.backend import secret_key_of
from orchestrator.domain.webhooks import Webhook
from orchestrator.security.sealing import Sealer
from orchestrator.storage.database import Database
from orchestrator.storage.webhooks import WebhookRepository
from orchestrator.testing import GivenSettings

NEW = "the secret key of this year"


def rotate(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command on a data directory."""
    command = [sys.executable, "-m", "orchestrator", "secrets", "rotate", "--data-dir", str(folder), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


async def test_the_command_says_what_it_would_do_and_does_it(tmp_path: Path):
    settings = GivenSettings(data_dir=tmp_path)
    old, at = secret_key_of(settings).sealer, datetime.now(UTC)
    row = Webhook("wh_1", "alice", "https://example.com", ["job.completed"], "", at, at)
    database = Database(settings.index_url())
    await database.migrate()
    webhooks = WebhookRepository(database)
    await webhooks.add(row, most=1)
    await webhooks.change(row.id, secret=old.seal("whsec_1", row.sealed_for))

    keys = {"ORCHESTRATOR_SECRET_KEY": NEW, "ORCHESTRATOR_SECRET_KEY_FALLBACK": (tmp_path / "secret-key").read_text()}
    look = rotate(tmp_path, **keys)
    assert (look.returncode, look.stdout.splitlines()) == (
        1,
        ["webhooks: 1; to reseal: 1; resealed: 0", "nothing was changed: run the command with --apply"],
    ), look.stderr
    done = rotate(tmp_path, "--apply", **keys)
    assert done.returncode == 0, done.stderr
    assert "webhooks: 1; to reseal: 1; resealed: 1" in done.stdout
    assert "remove ORCHESTRATOR_SECRET_KEY_FALLBACK after 7 days" in done.stdout
    for secret in keys.values():
        assert secret not in done.stdout + done.stderr + look.stdout + look.stderr
    resealed = await webhooks.get("wh_1")
    await database.close()
    assert resealed is not None
    assert Sealer(NEW).unseal(resealed.secret, row.sealed_for) == "whsec_1"

    refused = rotate(tmp_path)  # with the old key alone
    assert refused.returncode == 1
    assert "belongs to another secret key" in refused.stderr
