"""The files of a data directory are their owner's alone, also those that an earlier release made."""

import os
import stat
from pathlib import Path

from orchestrator.commandline.doctor import checks, probes
from orchestrator.domain.findings import Verdict
from orchestrator.security.data_files import close_to_others, make_private, open_to_others


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_files_of_an_earlier_release_are_closed_and_no_others(tmp_path: Path) -> None:
    ours = ("index.sqlite3", "index.sqlite3-wal", "temporal-1.31.2.sqlite3", "temporal.previous.log", "secret-key")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    elsewhere.chmod(0o644)
    data = tmp_path / "data"
    data.mkdir()
    for name in (*ours, "a-script-of-mine"):
        (data / name).write_text("")
        (data / name).chmod(0o755)
    (data / "temporal.lock").symlink_to(elsewhere)
    data.chmod(0o755)
    shown = probes.folder(data)
    assert set(shown.readable_paths) == {str(data), *(str(data / name) for name in ours)}
    finding = checks.check_folder(shown)
    assert (finding.verdict, finding.remedy is None) == (Verdict.WARNING, False)
    close_to_others(data)
    assert (mode(data), open_to_others(data)) == (0o700, [])
    assert checks.check_folder(probes.folder(data)).verdict is Verdict.OK
    assert {mode(data / name) for name in ours} == {0o600}
    assert mode(data / "a-script-of-mine") == 0o755
    assert mode(elsewhere) == 0o644
    close_to_others(tmp_path / "missing")


def test_a_file_is_made_for_its_owner_whatever_the_umask_and_never_emptied(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    before = os.umask(0)
    try:
        make_private(file)
        file.write_text("kept")
        make_private(file)
    finally:
        os.umask(before)
    assert (mode(file), mode(file.parent), file.read_text()) == (0o600, 0o700, "kept")


def test_a_folder_that_users_share_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("")
    (tmp_path / "secret-key").chmod(0o644)
    tmp_path.chmod(0o1777)
    close_to_others(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "secret-key")) == (0o1777, 0o600)
    assert open_to_others(tmp_path) == [tmp_path]
