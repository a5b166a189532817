"""Deliverables become files below the folder asked for, whatever their names."""

from pathlib import Path

import pytest

from orchestrator.commandline import deliverables
from orchestrator.commandline.exits import Refused
from orchestrator.domain.commands import JobDeliverable


def file(path: str, content: str | None = "text") -> JobDeliverable:
    return JobDeliverable(path=path, media_type="text/plain", content=content, step="s", agent="a")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("api/openapi.yaml", "api/openapi.yaml"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "x"),
        ("a/../../b", "a/b"),
        ("..\\..\\windows\\x", "windows/x"),
        ("C:\\x", "C_/x"),
        ("a\x00b/\x1b[31mc", "ab/[31mc"),
        ("./.", "unnamed"),
        ("", "unnamed"),
        (".github/ci.yaml", ".github/ci.yaml"),
    ],
)
def test_safe_path(name: str, path: str) -> None:
    assert str(deliverables.safe_path(name)) == path


def test_files_are_written_and_two_of_one_name_are_both_kept(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    written = deliverables.write(folder, [file("a/b.md", "1"), file("../a/b.md", "2"), file("c", "é")])
    assert [path.relative_to(folder).as_posix() for path in written] == ["a/b.md", "a/b-2.md", "c"]
    assert [path.read_text(encoding="utf-8") for path in written] == ["1", "2", "é"]


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "docs").symlink_to(outside)
    with pytest.raises(Refused, match="outside"):
        deliverables.write(folder, [file("docs/new/a.md")])
    assert list(outside.iterdir()) == []


def test_missing_content_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not available"):
        deliverables.write(tmp_path, [file("a.md", None)])
    assert list(tmp_path.iterdir()) == []
