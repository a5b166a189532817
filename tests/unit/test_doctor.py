"""What `orchestrator doctor` concludes from the facts."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.commandline.doctor import checks
from orchestrator.commandline.doctor.checks import Index, Models, Port, PortUse
from orchestrator.commandline.doctor.collisions import PACKAGES, _folder, collisions, installed_collisions
from orchestrator.commandline.doctor.command import _document
from orchestrator.commandline.doctor.connections import Connections, check_connections
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding, Verdict

HERE = Path("/site-packages")
PLACES: dict[str, Path | None] = dict.fromkeys(PACKAGES, HERE)
ATTRIBUTES = {"JobKind": "Keyword", "JobOwner": "Keyword"}


def models(*providers: str, base_url: str | None = None, default: str | None = None) -> Models:
    return Models(frozenset(providers), base_url, default, frozenset({"anthropic/claude-3.5-sonnet"}))


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10, 14), Verdict.FAILED), ((3, 11, 0), Verdict.OK), ((4, 0, 0), Verdict.OK)]
)
def test_python(version: tuple[int, int, int], verdict: Verdict) -> None:
    assert checks.check_python(version).verdict is verdict


@pytest.mark.parametrize(("public", "verdict"), [(None, Verdict.OK), (False, Verdict.OK), (True, Verdict.WARNING)])
def test_public_sessions_are_named(public: bool | None, verdict: Verdict) -> None:
    assert checks.check_public_sessions(public).verdict is verdict


def test_a_package_of_another_distribution_is_a_collision() -> None:
    owners = {"workflows": ["orchestrator", "llama-index-workflows"], "orchestrator": ["orchestrator"]}
    assert collisions(owners, PLACES) == ["the package `workflows` is also installed by llama-index-workflows"]
    finding = checks.check_packages(collisions(owners, PLACES))
    assert finding.verdict is Verdict.FAILED
    assert "llama-index-workflows" in finding.message


def test_a_package_that_python_finds_elsewhere_is_a_collision() -> None:
    shadowed = PLACES | {"api": Path("/elsewhere"), "activities": None}
    assert collisions({}, shadowed) == [
        "Python finds the package `activities` in no folder, not in /site-packages",
        "Python finds the package `api` in /elsewhere, not in /site-packages",
    ]


def test_this_environment_has_no_collision() -> None:
    assert installed_collisions() == []


@pytest.mark.parametrize(
    ("file", "lists"), [("RECORD", "workflows/a.py,,\napi.py,,\n"), ("top_level.txt", "api\nworkflows")]
)
def test_an_installed_distribution_with_packages_of_our_names_is_a_collision(
    file: str, lists: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "llama_index_workflows-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: llama-index-workflows\nVersion: 1.0\n")
    (installed / file).write_text(f"{lists}\nllama/workflows/a.py,,\nactivities_of_mine/a.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_collisions() == [
        "the package `workflows` is also installed by llama-index-workflows",
        "the package `api` is also installed by llama-index-workflows",
    ]


@pytest.mark.parametrize(
    ("use", "verdict"),
    [(PortUse.FREE, Verdict.OK), (PortUse.OURS, Verdict.OK), (PortUse.OTHERS, Verdict.WARNING)],
)
def test_ports(use: PortUse, verdict: Verdict) -> None:
    finding = checks.check_port(Port(8000, "API", "--port", use))
    assert finding.verdict is verdict
    assert (finding.remedy is not None) == (verdict is Verdict.WARNING)


def test_temporal_must_answer_only_where_it_is_configured() -> None:
    port = Port(7233, "Temporal", "--temporal-port", PortUse.FREE)
    assert checks.check_temporal(None, Unavailable("refused"), "t:7233", None).verdict is Verdict.FAILED
    assert checks.check_temporal(None, Unavailable("refused"), "t:7233", port).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("version", "verdict"), [("1.31.2", Verdict.OK), ("1.30.9", Verdict.FAILED), ("2.0.0", Verdict.OK)]
)
def test_temporal_must_be_new_enough(version: str, verdict: Verdict) -> None:
    assert checks.check_temporal(version, None, "t:7233", None).verdict is verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (ATTRIBUTES | {"Another": "Text"}, Verdict.OK),
        ({"JobKind": "Keyword"}, Verdict.WARNING),
        ({"JobKind": "Text"}, Verdict.FAILED),
    ],
)
def test_search_attributes(found: dict[str, str], verdict: Verdict) -> None:
    assert checks.check_attributes(found, ATTRIBUTES).verdict is verdict


def test_retention_other_than_the_settings() -> None:
    assert checks.check_retention(timedelta(days=30), 30).verdict is Verdict.OK
    finding = checks.check_retention(timedelta(hours=36), 30)
    assert finding.verdict is Verdict.WARNING
    assert finding.message.startswith("1.5 days")


def test_no_worker_is_a_warning() -> None:
    assert checks.check_worker(frozenset(), "queue").verdict is Verdict.WARNING
    assert checks.check_worker(frozenset({"1@host"}), "queue").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("index", "verdict"),
    [
        (Index("db", exists=False), Verdict.OK),
        (Index("db", current="0002", newest="0002", known_versions=frozenset({"0001", "0002"})), Verdict.OK),
        (Index("db", current="0001", newest="0002", known_versions=frozenset({"0001", "0002"})), Verdict.WARNING),
        (Index("db", current=None, newest="0002", known_versions=frozenset({"0001", "0002"})), Verdict.WARNING),
        (Index("db", current="0003", newest="0002", known_versions=frozenset({"0001", "0002"})), Verdict.FAILED),
        (Index("db", fault="does not answer"), Verdict.FAILED),
    ],
)
def test_database(index: Index, verdict: Verdict) -> None:
    assert checks.check_index(index).verdict is verdict


def test_a_broken_catalogue_says_what_is_broken() -> None:
    finding = checks.check_catalogue(0, 0, "mine.py: unknown agent")
    assert (finding.verdict, finding.message) == (Verdict.FAILED, "mine.py: unknown agent")
    assert checks.check_catalogue(28, 10, None).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (models(), Verdict.WARNING),
        (models(base_url="http://localhost:11434/v1"), Verdict.OK),
        (models("anthropic"), Verdict.OK),
        (models("openai"), Verdict.FAILED),
        (models("openai", default="openai:gpt-5-mini"), Verdict.OK),
        (models("openai", default="anthropic:claude-sonnet"), Verdict.FAILED),
    ],
)
def test_models(found: Models, verdict: Verdict) -> None:
    assert checks.check_models(found).verdict is verdict


@pytest.mark.parametrize(
    ("others", "processes", "verdict"), [(57, 5, Verdict.OK), (57, 6, Verdict.WARNING), (97, 1, Verdict.WARNING)]
)
def test_connections_are_those_of_every_process_and_of_the_others(
    others: int, processes: int, verdict: Verdict
) -> None:
    finding = check_connections(Connections(room=97, others=others, ours=9, processes=processes, each=8))
    assert finding.verdict is verdict
    assert f"{others + processes * 8}" in finding.message
    assert (finding.remedy is not None and "max_connections" in finding.remedy) is (verdict is Verdict.WARNING)


def test_a_module_lies_in_the_folder_of_its_file_and_a_package_in_the_one_above() -> None:
    assert _folder("this") == _folder("json") == Path(json.__file__).resolve().parents[1]


def test_a_model_that_is_named_and_has_no_provider_is_a_fault() -> None:
    finding = checks.check_models(models(default="openai:gpt-5-mini"))
    assert (finding.verdict, "no provider for openai:gpt-5-mini" in finding.message) == (Verdict.FAILED, True)


def test_the_json_of_a_finding_keeps_its_documented_keys() -> None:
    document = _document(Finding("redis", Verdict.FAILED, "no answer", "Start it.", seconds=1.0))
    assert document == {"check": "redis", "verdict": "failed", "message": "no answer", "remedy": "Start it."}
