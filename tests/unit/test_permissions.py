"""What a tier lets a job have, and that nobody but an administrator is without limits."""

from typing import Any

import pytest

from orchestrator.domain.access import ORDINARY, Principal, Scope
from orchestrator.domain.commands import JobConfig, JobInput
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.ids import JobKind
from orchestrator.domain.limits import TIERS, UNLIMITED_TIER, Tier, TierLimits, tier_limits
from orchestrator.domain.plans import Plan
from orchestrator.services.access.permissions import permitted
from orchestrator.settings import Settings
from workflows.starts import priority_of


def job(priority: str | None = None, **more: Any) -> JobInput:
    labels = {} if priority is None else {"priority": priority}
    kind = JobKind.WORKFLOW
    return JobInput(
        job_id="j",
        kind=kind,
        definition="d",
        name="d",
        owner="alice",
        input={},
        plan=Plan.model_construct(steps=()),
        labels=labels,
        **more,
    )


def caller(tier: Tier | None, *scopes: Scope) -> Principal:
    return Principal(id="alice", scopes=frozenset(scopes or ORDINARY), tier=tier)


@pytest.mark.parametrize("asked", ["high", "critical"])
@pytest.mark.parametrize("tier", [Tier.FREE, Tier.PRO, Tier.BUSINESS, Tier.PUBLIC])
def test_a_caller_does_not_jump_the_queue_and_the_label_keeps_the_word(tier: Tier, asked: str) -> None:
    started = permitted(job(asked), caller(tier), TIERS[tier])
    assert (priority_of(started).priority_key, started.labels) == (3, {"priority": asked})


@pytest.mark.parametrize(
    ("principal", "limits"),
    [
        (caller(Tier.ENTERPRISE), TIERS[Tier.ENTERPRISE]),
        (caller(None, Scope.ADMIN), UNLIMITED_TIER),
        (caller(Tier.FREE, Scope.ADMIN), TIERS[Tier.FREE]),
        (caller(Tier.FREE), TierLimits(high_priority=True)),
    ],
)
@pytest.mark.parametrize(("asked", "key"), [("critical", 1), ("high", 2), ("normal", 3), ("low", 4), (None, None)])
def test_a_tier_that_includes_it_and_administrators_have_the_priority_they_ask_for(
    principal: Principal, limits: TierLimits, asked: str | None, key: int | None
) -> None:
    assert priority_of(permitted(job(asked), principal, limits)).priority_key == key


def test_a_job_of_an_earlier_release_keeps_the_priority_of_its_label() -> None:
    assert priority_of(job("critical")).priority_key == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"config": JobConfig(model="openai:gpt-5-pro")}, "configuration"),
        ({"config": JobConfig(max_tokens=1_000_000)}, "configuration"),
        ({"webhook_url": "https://example.com/hook"}, "webhook_url"),
    ],
)
def test_strangers_choose_no_model_no_length_and_no_callback(more: dict[str, Any], field: str) -> None:
    with pytest.raises(Forbidden) as refused:
        permitted(job(**more), caller(Tier.PUBLIC), TIERS[Tier.PUBLIC])
    assert refused.value.details == {"field": field}
    for tier in set(Tier) - {Tier.PUBLIC}:
        assert permitted(job(**more), caller(tier), TIERS[tier]) == job(**more)


def test_nobody_but_an_administrator_is_without_a_tier() -> None:
    assert caller(None).tier is Tier.FREE
    assert Principal(id="nobody", scopes=frozenset()).tier is Tier.FREE
    assert caller(None, Scope.ADMIN).tier is None


def test_a_changed_tier_keeps_its_permissions_and_strangers_keep_every_limit() -> None:
    tiers = tier_limits({Tier.ENTERPRISE: TierLimits(concurrent_jobs=9), Tier.PUBLIC: TierLimits(concurrent_jobs=2)})
    assert tiers[Tier.ENTERPRISE] == TierLimits(concurrent_jobs=9, high_priority=True)
    assert tiers[Tier.PUBLIC] == TIERS[Tier.PUBLIC].model_copy(update={"concurrent_jobs": 2})
    opened = tier_limits({Tier.PUBLIC: TierLimits(monthly_tokens=None, overrides=True)})[Tier.PUBLIC]
    assert (opened.monthly_tokens, opened.overrides, opened.callbacks, opened.concurrent_jobs) == (None, True, False, 4)


def test_the_settings_say_what_a_tier_includes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_TIERS", '{"pro": {"concurrent_jobs": 5, "high_priority": true}}')
    assert Settings(_env_file=None).tier_limits()[Tier.PRO] == TierLimits(concurrent_jobs=5, high_priority=True)
