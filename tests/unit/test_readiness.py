"""How the parts that are not needed are reported."""

from typing import Any, cast

import pytest

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.services.reports.readiness import Readiness
from orchestrator.storage.work import ProviderOutcomes
from tests.ledger import ledger

NOTHING = cast("Any", None)


async def models(found: ProviderOutcomes | Unavailable | None) -> Finding:
    """The readiness of models' providers with these recent calls; None if none is configured."""

    async def cache() -> None: ...

    async def asked() -> ProviderOutcomes:
        if isinstance(found, ProviderOutcomes):
            return found
        raise found or AssertionError

    readiness = Readiness(NOTHING, NOTHING, task_queue="", cache=cache, models=None if found is None else asked)
    return next(finding for finding in await readiness.further() if finding.check == "models")


@ledger("O-045", "A-026", "S-018")
@pytest.mark.parametrize(
    ("found", "ok", "message"),
    [
        (None, False, "no provider is configured here: answers are drafted offline"),
        (ProviderOutcomes(0, 0), True, "a provider is configured; no call used it in the last 5 minutes"),
        (ProviderOutcomes(3, 1), True, "the provider answered 3 of the 4 calls of the last 5 minutes"),
        (ProviderOutcomes(0, 2), False, "the provider answered 0 of the 2 calls of the last 5 minutes"),
        (
            Unavailable("The job index does not answer."),
            False,
            "the health of the provider is not known: The job index",
        ),
    ],
)
async def test_a_provider_is_judged_by_the_calls_that_asked_it(
    found: ProviderOutcomes | Unavailable | None, ok: bool, message: str
) -> None:
    check = await models(found)
    assert (check.ok, check.seconds) == (ok, None)
    assert check.message.startswith(message)
