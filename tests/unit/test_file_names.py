"""Names that strangers chose are made safe, never refused, and stay what people can read."""

from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.domain.agents import Deliverable
from orchestrator.domain.commands import AgentResult, JobInput
from orchestrator.domain.file_names import MAX_PATH_LENGTH, harmless_path, path_key, safe_path, unique_path
from orchestrator.domain.ids import JobKind
from orchestrator.domain.plans import Plan, Step
from orchestrator.domain.results import assemble

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)

NAMES = st.text(st.characters(codec=None, categories=None)) | st.text(
    st.sampled_from('a. /\\:*?"<>|\n\x1b\ud83dü語\u202e\u3000'), max_size=600
)


@given(NAMES)
def test_any_name_becomes_a_path_below_a_folder(name: str) -> None:
    path = safe_path(name)
    path.encode()
    assert 0 < len(path) <= MAX_PATH_LENGTH
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert not PurePosixPath(path).is_absolute()
    assert not PureWindowsPath(path).drive
    assert all(len(part.encode()) <= 255 for part in parts)
    assert safe_path(path) == path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("docs/Bericht für Q3.md", "docs/Bericht für Q3.md"),
        ("报告/第三季度.md", "报告/第三季度.md"),
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\reports\\a?.md", "C_/reports/a_.md"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("aux.md", "_aux.md"),
        ("trailing. ", "trailing"),
        ("half \ud83d.md", "half \ufffd.md"),
        ("é" * 300 + ".tar", "é" * 98 + ".tar"),
        ("deep/" * 100 + "a.md", "/".join(["deep"] * 47 + ["a.md"])),
        (" / ", "unnamed"),
    ],
)
def test_what_a_name_becomes(name: str, path: str) -> None:
    assert safe_path(name) == path
    assert Deliverable(path=name, content="").path == path


@given(NAMES)
def test_any_name_becomes_a_path_that_no_tool_looks_for(name: str) -> None:
    path = harmless_path(name)
    assert harmless_path(path) == path == safe_path(path)
    assert not any(part.startswith(".") for part in path.split("/"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (".git/config", "_git/config"),
        (".GIT/hooks/pre-commit", "_GIT/hooks/pre-commit"),
        ("docs/.git . /config", "docs/_git/config"),
        ("..git/config", "_git/config"),
        (". .git/config", "_git/config"),
        ("\u200c.g\u200cit/config", "_g\u200cit/config"),
        ("git~1/config", "git_1/config"),
        (".git::$INDEX_ALLOCATION/config", "_git__$INDEX_ALLOCATION/config"),
        (".github/workflows/ci.yaml", "_github/workflows/ci.yaml"),
        ("app/.envrc", "app/_envrc"),
        (".vscode\\tasks.json", "_vscode/tasks.json"),
        ("site/HEAD", "site/_HEAD"),
        ("h\u200dead", "_h\u200dead"),
        ("Con .txt", "_Con .txt"),
        ("conout$", "_conout$"),
        ("LPT¹.md", "_LPT¹.md"),
        ("head/main.html", "head/main.html"),
        ("v1.2/a~b.md", "v1.2/a~b.md"),
    ],
)
def test_what_tools_obey_is_renamed(name: str, path: str) -> None:
    assert harmless_path(name) == path


@pytest.mark.parametrize("path", [None, 3, ["a.md"]])
def test_what_is_no_name_is_still_refused(path: object) -> None:
    with pytest.raises(ValidationError):
        Deliverable.model_validate({"path": path, "content": ""})


def test_a_taken_path_gets_a_number_also_where_case_does_not_count() -> None:
    taken: set[str] = set()
    for path in ("a/b.md", "A/b.md", "a/b.md", "b"):
        taken.add(path_key(unique_path(path, taken)))
    assert taken == {"a/b.md", "a/b-2.md", "a/b-3.md", "b"}


def test_every_file_of_a_job_has_a_path_of_its_own() -> None:
    step = Step(id="write", name="Write", squad="docs", agents=("writer",))
    job = JobInput(
        job_id="wf_job_1",
        kind=JobKind.WORKFLOW,
        definition="t",
        name="T",
        owner="o",
        input={},
        plan=Plan(steps=(step,)),
    )
    files = [Deliverable(path="a.md", content=str(number)) for number in range(3)]
    result = AgentResult(step="write", agent="writer", summary="s", output="o", deliverables=files, model="m")
    paths = [file.path for file in assemble(job, [result], {}, NOW).deliverables]
    assert paths == ["a.md", "write/writer/a.md", "write/writer/a-2.md", "reports/write/writer.md"]
