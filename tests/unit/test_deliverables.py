"""Deliverables become new files below the folder asked for: nothing that a model names or writes runs or replaces."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commandline.run import deliverables
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.commands import JobDeliverable


def file(path: str, content: str | None = "text") -> JobDeliverable:
    return JobDeliverable(path=path, media_type="text/plain", content=content, step="s", agent="a")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=False, capture_output=True)


def test_files_are_written_and_two_of_one_name_are_both_kept(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    written = deliverables.write(folder, [file("a/b.md", "1"), file("../a/b.md", "2"), file("c", "é")])
    assert [path.relative_to(folder).as_posix() for path in written.files] == ["a/b.md", "a/b-2.md", "c"]
    assert [path.read_text(encoding="utf-8") for path in written.files] == ["1", "2", "é"]
    assert written.report() == exits.OK


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", [".git/config", ".GIT/config", "..git/config", ".git /config", "sub/../.git/config"])
def test_no_deliverable_configures_git(tmp_path: Path, name: str, overwrite: bool) -> None:
    ran = tmp_path / "ran"
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    before = (folder / ".git" / "config").read_text()
    attack = file(name, f'[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "touch {ran}; false"\n')
    deliverables.write(folder, [attack], overwrite=overwrite)
    git(folder, "status")
    assert (folder / ".git" / "config").read_text() == before
    assert not ran.exists()


def test_no_set_of_deliverables_is_a_repository(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    config = (
        f'[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = "touch {ran}; false"\n'
    )
    files = [file("HEAD", "ref: refs/heads/main\n"), file("config", config), file("objects/a"), file("refs/heads/b")]
    folder = tmp_path / "out"
    folder.mkdir()
    for each in files:  # The attack works where names are kept.
        target = tmp_path / "trap" / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(each.content or "")
    git(tmp_path / "trap", "status")
    assert ran.exists()
    ran.unlink()
    deliverables.write(folder, files)
    git(folder, "status")
    assert not ran.exists()


def test_renamed_files_are_said_and_both_of_one_new_name_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = deliverables.write(tmp_path, [file("_envrc", "1"), file(".envrc", "2")])
    assert written.report() == exits.OK
    assert capsys.readouterr().err == "orchestrator: .envrc was written as _envrc-2\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"_envrc": "1", "_envrc-2": "2"}


def test_existing_files_are_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Makefile").write_text("mine")
    written = deliverables.write(tmp_path, [file("Makefile", "theirs"), file("new.md", "theirs")])
    assert (tmp_path / "Makefile").read_text() == "mine"
    assert (tmp_path / "new.md").read_text() == "theirs"
    assert written.report() == exits.KEPT
    said = capsys.readouterr().err
    assert f"{tmp_path / 'Makefile'} exists and was kept" in said
    assert "--overwrite" in said


def test_overwritten_files_lose_their_execute_bits_and_leave_other_names_alone(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("mine")
    outside.chmod(0o755)
    os.link(outside, folder / "hard")
    (folder / "soft").symlink_to(outside)
    written = deliverables.write(folder, [file("hard", "new"), file("soft", "new")], overwrite=True)
    assert written.report() == exits.OK
    assert outside.read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["hard", "soft"]
    for path in folder.iterdir():
        assert not path.is_symlink()
        assert path.read_text() == "new"
        assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0


@pytest.mark.parametrize("dangling", [False, True])
def test_links_are_never_written_through(tmp_path: Path, dangling: bool) -> None:
    outside = tmp_path / "outside"
    folder = tmp_path / "out"
    folder.mkdir()
    if not dangling:
        outside.write_text("mine")
        os.link(outside, folder / "hard")
    (folder / "soft").symlink_to(outside)
    written = deliverables.write(folder, [file("hard"), file("soft")])
    assert folder / "soft" in written.existing
    assert not outside.exists() if dangling else outside.read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, overwrite: bool) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "docs").symlink_to(outside)
    with pytest.raises(Refused, match="a link is where a folder is needed"):
        deliverables.write(folder, [file("docs/new/a.md")], overwrite=overwrite)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("late", [False, True], ids=["before it is opened", "after it is opened"])
def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    whole: Callable[..., int] = os.open

    def swap() -> None:
        (folder / "docs").rename(tmp_path / "away")
        (folder / "docs").symlink_to(outside)

    def racing(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "docs" and not late:
            swap()
        descriptor = whole(path, *arguments, **named)
        if path == "docs" and late:
            swap()
        return descriptor

    monkeypatch.setattr(os, "open", racing)
    if late:
        deliverables.write(folder, [file("docs/a.md")])
        assert (tmp_path / "away" / "a.md").exists()
    else:
        with pytest.raises(Refused):
            deliverables.write(folder, [file("docs/a.md")])
    assert list(outside.iterdir()) == []


def test_a_file_that_cannot_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Refused, match="cannot write"):
        deliverables.write(tmp_path, [file("a")], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_missing_content_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not available"):
        deliverables.write(tmp_path, [file("a.md", None)])
    assert list(tmp_path.iterdir()) == []
