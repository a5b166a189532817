"""The checks of `orchestrator doctor`: facts in, findings out; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from orchestrator.engine.inspection import ServerState
from orchestrator.engine.server_binary import MINIMUM_SERVER
from orchestrator.runtime.models import split_model_name

MINIMUM_PYTHON: Final = (3, 11)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `mend` says what to do about it."""

    check: str
    verdict: Verdict
    message: str
    mend: str | None = None


class PortUse(StrEnum):
    """Who holds a port."""

    FREE = "free"
    OURS = "ours"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a command takes by default; `flag` chooses another."""

    number: int
    purpose: str
    flag: str
    use: PortUse


@dataclass(frozen=True, slots=True)
class Index:
    """The job index's database. `current` is its schema version, `newest` ours, `known` all of ours.

    `exists` is False for a file that the first start will make; `fault` says why it cannot be read.
    """

    place: str
    exists: bool = True
    current: str | None = None
    newest: str | None = None
    known: frozenset[str] = frozenset()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """Which providers can be reached. `base_url` takes any model's name; the agents' own names come last."""

    providers: frozenset[str]
    base_url: str | None
    default_model: str | None
    agents_models: frozenset[str]


def check_python(version: Sequence[int]) -> Finding:
    """Python is new enough."""
    text = ".".join(map(str, version))
    if tuple(version[:2]) >= MINIMUM_PYTHON:
        return Finding("python", Verdict.OK, text)
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    return Finding("python", Verdict.FAILED, f"{text} is older than {wanted}", f"Install Python {wanted} or newer.")


def check_packages(collisions: Sequence[str]) -> Finding:
    """No other distribution brings one of our packages."""
    if not collisions:
        return Finding("packages", Verdict.OK, "nobody else brings orchestrator, activities, workflows or api")
    mend = "Install orchestrator into an environment of its own."
    return Finding("packages", Verdict.FAILED, "; ".join(collisions), mend)


def check_port(port: Port) -> Finding:
    """A default port is free, or held by this product."""
    name, what = f"port {port.number}", port.purpose
    if port.use is PortUse.OTHERS:
        return Finding(name, Verdict.WARNING, f"{what}: taken by another program", f"Choose another with {port.flag}.")
    return Finding(name, Verdict.OK, f"{what}: {'free' if port.use is PortUse.FREE else 'in use by this product'}")


def check_temporal(server: ServerState | None, fault: str | None, address: str, *, configured: bool) -> Finding:
    """Temporal answers, and is new enough. Without a configured address a silent one is no fault: `dev` starts it."""
    if server is None:
        if configured:
            told = fault or f"no answer at {address}"
            return Finding("temporal", Verdict.FAILED, told, "Start that server, or correct TEMPORAL_ADDRESS.")
        return Finding("temporal", Verdict.WARNING, f"none at {address}", "`orchestrator dev` starts one.")
    found = tuple(int(part) for part in server.version.split(".")[:2] if part.isdigit())
    if found < MINIMUM_SERVER:
        wanted = ".".join(map(str, MINIMUM_SERVER))
        return Finding("temporal", Verdict.FAILED, f"server {server.version} at {address}", f"Use {wanted} or newer.")
    return Finding("temporal", Verdict.OK, f"server {server.version} at {address}")


def check_attributes(found: Mapping[str, str], wanted: Mapping[str, str]) -> Finding:
    """The search attributes are registered, with our types."""
    wrong = sorted(name for name, kind in wanted.items() if found.get(name, kind) != kind)
    if wrong:
        told = ", ".join(f"{name} is {found[name]}, not {wanted[name]}" for name in wrong)
        return Finding("search attributes", Verdict.FAILED, told, "Use a namespace of its own (TEMPORAL_NAMESPACE).")
    missing = sorted(set(wanted) - set(found))
    if missing:
        told = f"not registered: {', '.join(missing)}"
        return Finding("search attributes", Verdict.WARNING, told, "The next start of a worker registers them.")
    return Finding("search attributes", Verdict.OK, ", ".join(sorted(wanted)))


def check_retention(found: timedelta, wanted_days: int) -> Finding:
    """Temporal keeps closed jobs as long as the settings say."""
    if found == timedelta(days=wanted_days):
        return Finding("retention", Verdict.OK, f"{wanted_days} days")
    told = f"{found.total_seconds() / 86400:g} days; the settings say {wanted_days}"
    return Finding("retention", Verdict.WARNING, told, "The next start of a worker sets it.")


def check_worker(pollers: frozenset[str], task_queue: str) -> Finding:
    """Somebody does the work."""
    if pollers:
        return Finding("worker", Verdict.OK, f"{len(pollers)} on task queue {task_queue}: {', '.join(sorted(pollers))}")
    told = f"none polls task queue {task_queue}: jobs wait"
    return Finding("worker", Verdict.WARNING, told, "Start one with `orchestrator worker` or `orchestrator dev`.")


def check_index(index: Index) -> Finding:
    """The job index opens, and its schema is ours."""
    if index.fault is not None:
        told = f"{index.place}: {index.fault}"
        return Finding("database", Verdict.FAILED, told, "Start the database, or correct ORCHESTRATOR_DATABASE_URL.")
    if not index.exists:
        return Finding("database", Verdict.OK, f"{index.place}: not there yet; the first start makes it")
    if index.current == index.newest:
        return Finding("database", Verdict.OK, f"{index.place}: schema {index.current}")
    if index.current is not None and index.current not in index.known:
        told = f"{index.place}: schema {index.current} is newer than this version of orchestrator"
        return Finding("database", Verdict.FAILED, told, "Use the version that made it, or a newer one.")
    told = f"{index.place}: schema {index.current or 'none'}, newest {index.newest}"
    return Finding("database", Verdict.WARNING, told, "The next start brings it up to date.")


def check_catalogue(agents: int, workflows: int, fault: str | None) -> Finding:
    """Plugins import, and what they bring is valid."""
    if fault is not None:
        return Finding("catalogue", Verdict.FAILED, fault, "Mend the plugin, or take it out of ORCHESTRATOR_PLUGINS.")
    return Finding("catalogue", Verdict.OK, f"{agents} agents, {workflows} workflows")


def check_models(models: Models) -> Finding:
    """The models that agents name belong to a provider that is configured."""
    if models.base_url:
        return Finding("models", Verdict.OK, f"OpenAI-compatible endpoint {models.base_url}")
    if not models.providers:
        mend = "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL."
        return Finding("models", Verdict.WARNING, "no provider: agents answer with offline drafts", mend)
    names = {models.default_model} if models.default_model else models.agents_models
    without = sorted(name for name in names if split_model_name(name)[0] not in models.providers)
    told = f"configured: {', '.join(sorted(models.providers))}"
    if without:
        mend = "Set ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider."
        return Finding("models", Verdict.FAILED, f"{told}; no provider for {', '.join(without)}", mend)
    return Finding("models", Verdict.OK, f"{told}; {models.default_model or 'each agent its own model'}")
