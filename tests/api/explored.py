"""Requests that schemathesis makes up from a document, against a running API."""

from collections.abc import Mapping
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from tests.api.conftest import ADMIN

# What a request that follows its schema may be answered, whatever the operation.
ACCEPTED = ["2xx", "401", "403", "404", "503"]
_PROBABILITY = 0.6


def faults(
    document: dict[str, Any],
    url: str,
    operation: tuple[str, str],
    *,
    examples: int,
    known: dict[str, list[str]],
    checks: dict[str, Any],
    headers: Mapping[str, str] = ADMIN,
) -> list[str]:
    """What schemathesis finds wrong with one operation (method and path), as text.

    `known` holds values for parameters, by place and name (`path.id`): more than half of the requests use them.
    `checks` sets schemathesis's checks up.
    """
    method, path = operation
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": url,
            "headers": dict(headers),
            "request-timeout": 30,
            "continue-on-failure": True,
            "dictionaries": {name.replace(".", "_"): {"values": values} for name, values in known.items()},
            "parameters": {name: {"dictionary": name.replace(".", "_"), "probability": _PROBABILITY} for name in known},
            "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
            "checks": checks,
            "phases": {"stateful": {"enabled": False}},
            "warnings": False,
        }
    )
    schema = schemathesis.openapi.from_dict(document, config=config).include(method=method, path=path)
    found, tried = [], 0
    for event in from_schema(schema).execute():
        match event:
            case events.NonFatalError() | events.FatalError():
                found.append(repr(event))
            case events.ScenarioFinished():
                tried += len(event.recorder.interactions)
                for outcomes in event.recorder.checks.values():
                    found += [
                        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                        for check in outcomes
                        if check.status is Status.FAILURE
                    ]
    assert tried > 1, "nothing was tried"
    return found
