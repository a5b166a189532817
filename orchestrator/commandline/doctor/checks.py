"""The checks of `orchestrator doctor`: pure functions from facts to findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from orchestrator.commandline.doctor.collisions import SEPARATE_ENVIRONMENT
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding, Verdict
from orchestrator.domain.model_choice import split_model_name
from orchestrator.engine.server_binary import MINIMUM_SERVER
from orchestrator.services.secrets.installation import NAMESPACE, SECRET, another_key, another_namespace, is_one_of

MINIMUM_PYTHON: Final = (3, 11)
CLOCK_SKEW: Final = 5.0  # Seconds.
_LOW_SPACE: Final = 2**30  # Bytes.
_NO_SPACE: Final = 50 * 2**20


class PortUse(StrEnum):
    """Which program holds a port."""

    FREE = "free"
    OURS = "ours"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a command takes. `flag` selects another one; `is_explicit`: it is not the default."""

    number: int
    purpose: str
    flag: str
    use: PortUse
    is_explicit: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """The data directory. `fault` says why it cannot be used; `free` is the number of free bytes on its disk.

    `readable_paths` are the paths that other users of the machine can read: the directory, or files in it.
    """

    place: str
    exists: bool
    fault: str | None = None
    free: int = 0
    readable_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """The job index's database. `current` is its version; `newest` and `known_versions` are those of this release.

    `exists` is False for a file that the first start will create; `fault` says why it cannot be read, and `remedy` what
    to do. `foreign` are tables of another program, `marks` the identity of the installation. `ahead` is the number of
    seconds by which its clock is ahead of this machine's.
    """

    place: str
    exists: bool = True
    current: str | None = None
    newest: str | None = None
    known_versions: frozenset[str] = frozenset()
    foreign: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    ahead: float | None = None
    fault: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """The secret key. `check_values` identify the key and its fallback; empty if the first start will create the key.

    `shared`: several machines can use the index.
    """

    source: str
    in_file: bool
    check_values: Sequence[str]
    shared: bool


@dataclass(frozen=True, slots=True)
class Models:
    """The configured model providers. The server at `base_url` takes every model name; `fault` is its error, if any.

    `agents_models` are the models that the agents name themselves.
    """

    providers: frozenset[str]
    base_url: str | None
    default_model: str | None
    agents_models: frozenset[str]
    fault: Unavailable | None = None


def check_python(version: Sequence[int]) -> Finding:
    """Checks that Python is new enough."""
    text = ".".join(map(str, version))
    if tuple(version[:2]) >= MINIMUM_PYTHON:
        return Finding("python", Verdict.OK, text)
    expected = ".".join(map(str, MINIMUM_PYTHON))
    return Finding("python", Verdict.FAILED, f"{text} is older than {expected}", f"Install Python {expected} or newer.")


def check_packages(collisions: Sequence[str]) -> Finding:
    """Checks that no other distribution installs a package of ours."""
    if not collisions:
        return Finding(
            "packages", Verdict.OK, "no other distribution installs orchestrator, activities, workflows or api"
        )
    return Finding("packages", Verdict.FAILED, "; ".join(collisions), SEPARATE_ENVIRONMENT)


def check_variables(misspelt: Mapping[str, str], not_read: Sequence[str] = ()) -> Finding:
    """Checks that no variable is misspelt, or set in a file from which it is not read."""
    faults = [f"{name} in the file .env is not read" for name in not_read]
    faults += [f"{name} is not a setting" for name in misspelt]
    if not faults:
        return Finding("settings", Verdict.OK, "valid; no variable looks like a misspelt setting")
    remedies = ["Set it in the environment of the process."] if not_read else []
    remedies += [f"Did you mean {', '.join(misspelt.values())}?"] if misspelt else []
    return Finding("settings", Verdict.WARNING, ", ".join(faults), " ".join(remedies))


def check_folder(folder: Folder) -> Finding:
    """Checks that the data directory is writable, private, and has free space."""
    name = "data directory"
    if folder.fault is not None:
        remedy = "Select another with --data-dir or ORCHESTRATOR_DATA_DIR, or let this user write to it."
        return Finding(name, Verdict.FAILED, f"{folder.place}: {folder.fault}", remedy)
    if folder.free < _LOW_SPACE:
        message = f"{folder.place}: {folder.free // 2**20} MiB free on its disk"
        return Finding(
            name, Verdict.FAILED if folder.free < _NO_SPACE else Verdict.WARNING, message, "Free some space."
        )
    if folder.readable_paths:
        message = f"other users can read {', '.join(folder.readable_paths[:3])}"
        remedy = f"The next start fixes the files of this user; for others: chmod -R go= {folder.place}"
        return Finding(name, Verdict.WARNING, message, remedy)
    return Finding(name, Verdict.OK, folder.place if folder.exists else f"{folder.place}: the first start creates it")


def check_port(port: Port) -> Finding:
    """Checks that a port is free or held by this product."""
    name, what = f"port {port.number}", port.purpose
    if port.use is PortUse.OTHERS:
        verdict = Verdict.FAILED if port.is_explicit else Verdict.WARNING
        return Finding(name, verdict, f"{what}: taken by another program", f"Choose another with {port.flag}.")
    return Finding(name, Verdict.OK, f"{what}: {'free' if port.use is PortUse.FREE else 'in use by this product'}")


def check_temporal(version: str | None, fault: Unavailable | None, address: str, port: Port | None) -> Finding:
    """Checks that Temporal answers and is new enough. With `port` no address is configured: that is a warning."""
    if version is None:
        if port is None:
            message = fault.for_operators if fault else f"no answer at {address}"
            remedy = fault.remedy if fault and fault.remedy else "Start the server, or correct TEMPORAL_ADDRESS."
            return Finding("temporal", Verdict.FAILED, message, remedy)
        if port.use is PortUse.OTHERS:
            remedy = f"Select another port for `orchestrator dev` with {port.flag}, or set TEMPORAL_ADDRESS."
            return Finding("temporal", Verdict.WARNING, f"another program answers at {address}", remedy)
        return Finding("temporal", Verdict.WARNING, f"no server at {address}", "`orchestrator dev` starts one.")
    release = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if release < MINIMUM_SERVER:
        expected = ".".join(map(str, MINIMUM_SERVER))
        return Finding("temporal", Verdict.FAILED, f"server {version} at {address}", f"Use {expected} or newer.")
    return Finding("temporal", Verdict.OK, f"server {version} at {address}")


def check_namespace(name: str, namespace_id: str, index: Index) -> Finding:
    """Checks that the jobs of the index are in this namespace."""
    if index.marks.get(NAMESPACE, namespace_id) != namespace_id:
        return refused("namespace", another_namespace(index.place, index.marks, namespace_id, name))
    return Finding("namespace", Verdict.OK, f"{name} (id {namespace_id})")


def refused(check: str, fault: Unavailable) -> Finding:
    """The finding for an error with which a process would refuse to start."""
    return Finding(check, Verdict.FAILED, fault.cause or fault.message, fault.remedy)


def check_attributes(actual: Mapping[str, str], expected: Mapping[str, str]) -> Finding:
    """Checks that the search attributes are registered with the right types."""
    mismatches = sorted(name for name, kind in expected.items() if actual.get(name, kind) != kind)
    if mismatches:
        message = ", ".join(f"{name} is {actual[name]}, not {expected[name]}" for name in mismatches)
        return Finding("search attributes", Verdict.FAILED, message, "Use a separate namespace (TEMPORAL_NAMESPACE).")
    missing = sorted(set(expected) - set(actual))
    if missing:
        message = f"not registered: {', '.join(missing)}"
        return Finding("search attributes", Verdict.WARNING, message, "The next start of a worker registers them.")
    return Finding("search attributes", Verdict.OK, ", ".join(sorted(expected)))


def check_retention(actual: timedelta, days: int) -> Finding:
    """Checks that Temporal keeps closed jobs for the configured number of days."""
    if actual == timedelta(days=days):
        return Finding("retention", Verdict.OK, f"{days} days")
    message = f"{actual.total_seconds() / 86400:g} days; the settings say {days}"
    return Finding("retention", Verdict.WARNING, message, "The next start of a worker sets it.")


def check_worker(pollers: frozenset[str], task_queue: str) -> Finding:
    """Checks that a worker polls the task queue."""
    if pollers:
        return Finding("worker", Verdict.OK, f"{len(pollers)} on task queue {task_queue}: {', '.join(sorted(pollers))}")
    message = f"no worker polls task queue {task_queue}: jobs wait"
    return Finding("worker", Verdict.WARNING, message, "Start one with `orchestrator worker` or `orchestrator dev`.")


def check_index(index: Index) -> Finding:
    """Checks that the job index opens and that its schema is current."""
    name = "database"
    if index.fault is not None:
        remedy = index.remedy or "Start the database, or correct ORCHESTRATOR_DATABASE_URL."
        return Finding(name, Verdict.FAILED, f"{index.place}: {index.fault}", remedy)
    if not index.exists:
        return Finding(name, Verdict.OK, f"{index.place}: does not exist yet; the first start creates it")
    if index.foreign:
        message = f"{index.place}: has tables of another program ({', '.join(index.foreign[:3])})"
        return Finding(name, Verdict.FAILED, message, "Name a separate database in ORCHESTRATOR_DATABASE_URL.")
    if index.current == index.newest:
        return Finding(name, Verdict.OK, f"{index.place}: schema {index.current}")
    if index.current is not None and index.current not in index.known_versions:
        message = f"{index.place}: schema {index.current} is newer than this version of orchestrator"
        return Finding(name, Verdict.FAILED, message, "Use the version that created it, or a newer one.")
    message = f"{index.place}: schema {index.current or 'none'}, newest {index.newest}"
    return Finding(name, Verdict.WARNING, message, "The next start migrates it.")


def check_key(key: Key, index: Index) -> Finding:
    """Checks that the index belongs to the secret key, and that all processes share the key."""
    name = "secret key"
    mark = index.marks.get(SECRET)
    if key.check_values and mark is not None and not is_one_of(mark, key.check_values):
        return refused(name, another_key(index.place, key.source))
    if not key.check_values and mark is not None:
        message = f"there is none at {key.source}, but the index {index.place} belongs to one"
        return Finding(
            name, Verdict.FAILED, message, "Set ORCHESTRATOR_SECRET_KEY to the value of the other processes."
        )
    if len(key.check_values) > 1:
        message = f"{key.source}, and a fallback: the secret key is being exchanged"
        remedy = "Run `orchestrator secrets rotate` for the next step; docs/operating.md lists all steps."
        return Finding(name, Verdict.WARNING, message, remedy)
    if key.in_file and key.shared:
        message = f"stored in {key.source}: processes with another data directory use another key"
        return Finding(
            name, Verdict.WARNING, message, "Set ORCHESTRATOR_SECRET_KEY to the same value for every process."
        )
    return Finding(name, Verdict.OK, key.source if key.check_values else f"{key.source}: the first start creates it")


def check_admin(place: str | None, *, scaled: bool) -> Finding:
    """Checks that there is an admin key. `place` is where it is set, or None."""
    if place is not None:
        return Finding("admin key", Verdict.OK, place)
    if scaled:
        remedy = "Set ORCHESTRATOR_ADMIN_API_KEY for every API process."
        return Finding("admin key", Verdict.WARNING, "none: this installation cannot be managed", remedy)
    return Finding("admin key", Verdict.OK, "none yet: `orchestrator dev` creates one")


def check_public_sessions(public: bool | None) -> Finding:
    """Checks that nobody starts sessions without a key, unless a setting allows it on one machine."""
    name = "public sessions"
    if public:
        remedy = "Unset ORCHESTRATOR_PUBLIC_SESSIONS, or let only trusted users reach the API."
        return Finding(
            name, Verdict.WARNING, "everybody who can reach the API can start sessions without a key", remedy
        )
    where = "off" if public is False else "only `orchestrator dev` on a loopback address allows them without a key"
    return Finding(name, Verdict.OK, where)


def check_clock(ahead: float, whose: str) -> Finding:
    """Checks that two clocks agree: tokens, signatures and limits depend on the time."""
    message = f"the clock of {whose} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) > CLOCK_SKEW:
        remedy = "Synchronise both clocks with a time server: otherwise tokens and webhook signatures are refused."
        return Finding("clock", Verdict.FAILED, message, remedy)
    return Finding("clock", Verdict.OK, message)


def check_catalogue(agents: int, workflows: int, fault: str | None, warnings: Sequence[str] = ()) -> Finding:
    """Checks that plugins import, that their catalogue is valid, and that texts of others cannot make an agent act."""
    if fault is not None:
        return Finding("catalogue", Verdict.FAILED, fault, "Fix the plugin, or remove it from ORCHESTRATOR_PLUGINS.")
    if warnings:
        remedy = "Let a person say yes before the outward tool: Tool(…, ask_before=True)."
        return Finding("catalogue", Verdict.WARNING, "; ".join(warnings), remedy)
    return Finding("catalogue", Verdict.OK, f"{agents} agents, {workflows} workflows")


def check_models(models: Models) -> Finding:
    """Checks that each agent's model belongs to a configured provider, and that the model server answers."""
    if models.base_url:
        if models.fault is not None:
            return refused("models", models.fault)
        return Finding("models", Verdict.OK, f"OpenAI-compatible endpoint {models.base_url}")
    if not models.providers:
        remedy = "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL."
        if models.default_model:
            message = f"no provider for {models.default_model}: agents would answer with offline drafts"
            return Finding("models", Verdict.FAILED, message, remedy)
        return Finding("models", Verdict.WARNING, "no provider: agents answer with offline drafts", remedy)
    names = {models.default_model} if models.default_model else models.agents_models
    unserved = sorted(name for name in names if split_model_name(name)[0] not in models.providers)
    message = f"configured: {', '.join(sorted(models.providers))}"
    if unserved:
        remedy = "Set ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider."
        return Finding("models", Verdict.FAILED, f"{message}; no provider for {', '.join(unserved)}", remedy)
    return Finding("models", Verdict.OK, f"{message}; {models.default_model or 'each agent its own model'}")
