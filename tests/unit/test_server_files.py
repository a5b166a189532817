"""The server settings and search attributes that ship with the product."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.domain import names
from orchestrator.engine.server_files import dynamic_config, search_attributes


def test_the_settings_that_the_design_rests_on_are_there() -> None:
    settings = dynamic_config()
    for queue in ("transfer", "timer", "visibility", "outbound"):
        assert settings[f"history.{queue}ProcessorMaxPollRPS"] >= 1000
    assert settings["system.enableActivityEagerExecution"] is True
    assert settings["matching.enableFairness"] is True
    assert settings["system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute"] == 2


def test_a_lost_worker_is_reported_within_ten_seconds() -> None:
    settings = dynamic_config()
    poll, forget = settings["matching.longPollExpirationInterval"], settings["matching.PollerHistoryTTL"]
    assert int(str(poll).removesuffix("s")) < int(str(forget).removesuffix("s")) < 10


def test_a_setting_with_a_constraint_is_refused(tmp_path: Path) -> None:
    """The development server takes plain values only; a constraint must not be dropped in silence."""
    source = tmp_path / "dynamicconfig.yaml"
    source.write_text("limit.maxIDLength:\n  - value: 255\n    constraints: {namespace: other}\n")
    with pytest.raises(ValidationError):
        dynamic_config(source)


def test_every_attribute_that_jobs_are_started_with_is_registered() -> None:
    assert set(search_attributes()) == {names.ATTRIBUTE_KIND, names.ATTRIBUTE_DEFINITION, names.ATTRIBUTE_OWNER}
    assert set(search_attributes().values()) == {"Keyword"}
