"""`orchestrator keys create`: a key that opens the API, from a process of its own (C-18)."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.composition.backend import secret_key_of
from orchestrator.domain.access import ORDINARY, Scope
from orchestrator.domain.limits import Tier
from orchestrator.services.access.authentication import IssuedKeys
from orchestrator.storage.database import Database
from orchestrator.storage.keys import KeyRepository
from orchestrator.testing import GivenSettings
from tests.ledger import ledger

AO, DVR = r"ao_[0-9a-f]{64}\n", r"dvr_sk_live_[0-9a-f]{80}\n"


def keys_create(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command on a data directory."""
    command = [sys.executable, "-m", "orchestrator", "keys", "create", "--data-dir", str(folder), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "form", "scopes", "tier"),
    [
        (["--form", "ao"], AO, ORDINARY, Tier.FREE),
        (["--scope", "jobs:read", "--tier", "pro"], DVR, {Scope.JOBS_READ}, Tier.PRO),
    ],
)
@ledger("C-18", "C-17", "O-004", "O-005")
async def test_the_printed_key_is_let_in(
    tmp_path: Path, arguments: list[str], form: str, scopes: set[Scope], tier: Tier
):
    done = keys_create(tmp_path, "--name", "Console", "--owner", "console", *arguments)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(form, done.stdout), "the key alone is on standard output"
    settings = GivenSettings(data_dir=tmp_path)
    database = Database(settings.index_url())
    issued = IssuedKeys(KeyRepository(database), secret_key_of(settings).sealer, clock=lambda: datetime.now(UTC))
    principal = await issued.principal(done.stdout.strip())
    await issued.settle()
    await database.close()
    assert principal is not None
    assert (principal.id, principal.scopes, principal.tier) == ("console", frozenset(scopes), tier)
    assert done.stdout.strip() not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--name", ""], ["--name", "x", "--form", "pem"], ["--name", "x" * 101]])
def test_what_is_no_key_is_refused(tmp_path: Path, arguments: list[str]):
    done = keys_create(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
