"""The checks of `orchestrator doctor`: facts in, findings out; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from orchestrator.commandline.doctor.collisions import ENVIRONMENT_OF_ITS_OWN
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding, Verdict
from orchestrator.engine.server_binary import MINIMUM_SERVER
from orchestrator.runtime.models import split_model_name
from orchestrator.services.secrets.installation import NAMESPACE, SECRET, another_key, another_namespace, is_one_of

MINIMUM_PYTHON: Final = (3, 11)
CLOCK_SKEW: Final = 5.0  # Seconds.
_LITTLE_ROOM: Final = 2**30
_NO_ROOM: Final = 50 * 2**20


class PortUse(StrEnum):
    """Who holds a port."""

    FREE = "free"
    OURS = "ours"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a command takes; `flag` chooses another. `asked` when the user named it, else it is the default."""

    number: int
    purpose: str
    flag: str
    use: PortUse
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """The data directory. `fault` says why it cannot be used; `free` are the bytes left on its disk.

    `shown` are what other users of the machine can read: the directory, or files of ours in it.
    """

    place: str
    exists: bool
    fault: str | None = None
    free: int = 0
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Index:
    """The job index's database. `current` is its schema version, `newest` ours, `known` all of ours.

    `exists` is False for a file that the first start will make; `fault` says why it cannot be read, and `remedy` what
    to do. `foreign` are the tables of another program, `marks` those of the installation. `ahead` is by how many
    seconds its clock is ahead of this machine's.
    """

    place: str
    exists: bool = True
    current: str | None = None
    newest: str | None = None
    known: frozenset[str] = frozenset()
    foreign: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    ahead: float | None = None
    fault: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """The secret key. `check_values`, its own and the fallback's, are none where the first start makes it.

    `shared` is an index of many processes.
    """

    source: str
    in_file: bool
    check_values: Sequence[str]
    shared: bool


@dataclass(frozen=True, slots=True)
class Models:
    """Which providers can be reached. `base_url` takes any model's name; the agents' own names come last.

    `fault` is what is wrong with the server at `base_url`.
    """

    providers: frozenset[str]
    base_url: str | None
    default_model: str | None
    agents_models: frozenset[str]
    fault: Unavailable | None = None


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
    return Finding("packages", Verdict.FAILED, "; ".join(collisions), ENVIRONMENT_OF_ITS_OWN)


def check_variables(misspelt: Mapping[str, str], not_read: Sequence[str] = ()) -> Finding:
    """No variable is misspelt, or in a file in which it does not count, and therefore read by nobody."""
    faults = [f"{name} in the file .env is not read" for name in not_read]
    faults += [f"{name} is no setting" for name in misspelt]
    if not faults:
        return Finding("settings", Verdict.OK, "valid; no variable is nearly the name of a setting")
    remedies = ["Set it in the environment of the process."] if not_read else []
    remedies += [f"Did you mean {', '.join(misspelt.values())}?"] if misspelt else []
    return Finding("settings", Verdict.WARNING, ", ".join(faults), " ".join(remedies))


def check_folder(folder: Folder) -> Finding:
    """The data directory can be written, has room, and is private."""
    name = "data directory"
    if folder.fault is not None:
        mend = "Name another with --data-dir or ORCHESTRATOR_DATA_DIR, or let this user write there."
        return Finding(name, Verdict.FAILED, f"{folder.place}: {folder.fault}", mend)
    if folder.free < _LITTLE_ROOM:
        told = f"{folder.place}: {folder.free // 2**20} MiB left on its disk"
        return Finding(name, Verdict.FAILED if folder.free < _NO_ROOM else Verdict.WARNING, told, "Free some space.")
    if folder.shown:
        told = f"other users can read {', '.join(folder.shown[:3])}"
        mend = f"The next start closes what is this user's own; else: chmod -R go= {folder.place}"
        return Finding(name, Verdict.WARNING, told, mend)
    return Finding(name, Verdict.OK, folder.place if folder.exists else f"{folder.place}: the first start makes it")


def check_port(port: Port) -> Finding:
    """A port is free, or held by this product."""
    name, what = f"port {port.number}", port.purpose
    if port.use is PortUse.OTHERS:
        verdict = Verdict.FAILED if port.asked else Verdict.WARNING
        return Finding(name, verdict, f"{what}: taken by another program", f"Choose another with {port.flag}.")
    return Finding(name, Verdict.OK, f"{what}: {'free' if port.use is PortUse.FREE else 'in use by this product'}")


def check_temporal(version: str | None, fault: Unavailable | None, address: str, port: Port | None) -> Finding:
    """Temporal answers, and is new enough. Without a configured address (`port`) a silent one is no fault."""
    if version is None:
        if port is None:
            told = fault.for_operators if fault else f"no answer at {address}"
            mend = fault.remedy if fault and fault.remedy else "Start that server, or correct TEMPORAL_ADDRESS."
            return Finding("temporal", Verdict.FAILED, told, mend)
        if port.use is PortUse.OTHERS:
            mend = f"Have `orchestrator dev` start it on another port with {port.flag}, or name it in TEMPORAL_ADDRESS."
            return Finding("temporal", Verdict.WARNING, f"another program answers at {address}", mend)
        return Finding("temporal", Verdict.WARNING, f"none at {address}", "`orchestrator dev` starts one.")
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if found < MINIMUM_SERVER:
        wanted = ".".join(map(str, MINIMUM_SERVER))
        return Finding("temporal", Verdict.FAILED, f"server {version} at {address}", f"Use {wanted} or newer.")
    return Finding("temporal", Verdict.OK, f"server {version} at {address}")


def check_namespace(name: str, namespace_id: str, index: Index) -> Finding:
    """The namespace is the one in which the jobs of the index are."""
    if index.marks.get(NAMESPACE, namespace_id) != namespace_id:
        return refused("namespace", another_namespace(index.place, index.marks, namespace_id, name))
    return Finding("namespace", Verdict.OK, f"{name} (id {namespace_id})")


def refused(check: str, fault: Unavailable) -> Finding:
    """What a process would refuse to start for."""
    return Finding(check, Verdict.FAILED, fault.cause or fault.message, fault.remedy)


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
    name = "database"
    if index.fault is not None:
        mend = index.remedy or "Start the database, or correct ORCHESTRATOR_DATABASE_URL."
        return Finding(name, Verdict.FAILED, f"{index.place}: {index.fault}", mend)
    if not index.exists:
        return Finding(name, Verdict.OK, f"{index.place}: not there yet; the first start makes it")
    if index.foreign:
        told = f"{index.place}: belongs to another program, which has tables there ({', '.join(index.foreign[:3])})"
        return Finding(name, Verdict.FAILED, told, "Name a database of its own in ORCHESTRATOR_DATABASE_URL.")
    if index.current == index.newest:
        return Finding(name, Verdict.OK, f"{index.place}: schema {index.current}")
    if index.current is not None and index.current not in index.known:
        told = f"{index.place}: schema {index.current} is newer than this version of orchestrator"
        return Finding(name, Verdict.FAILED, told, "Use the version that made it, or a newer one.")
    told = f"{index.place}: schema {index.current or 'none'}, newest {index.newest}"
    return Finding(name, Verdict.WARNING, told, "The next start brings it up to date.")


def check_key(key: Key, index: Index) -> Finding:
    """The secret key is that of the index, and shared by all processes."""
    name = "secret key"
    mark = index.marks.get(SECRET)
    if key.check_values and mark is not None and not is_one_of(mark, key.check_values):
        return refused(name, another_key(index.place, key.source))
    if not key.check_values and mark is not None:
        told = f"none at {key.source}, and the index {index.place} has one"
        return Finding(name, Verdict.FAILED, told, "Set ORCHESTRATOR_SECRET_KEY as for the other processes.")
    if len(key.check_values) > 1:
        told = f"{key.source}, and a fallback: the secret key is being exchanged"
        mend = "`orchestrator secrets rotate` says what comes next; docs/operating.md has the steps."
        return Finding(name, Verdict.WARNING, told, mend)
    if key.in_file and key.shared:
        told = f"kept in {key.source}: a process with another data directory would have another one"
        return Finding(name, Verdict.WARNING, told, "Set ORCHESTRATOR_SECRET_KEY to the same text for every process.")
    return Finding(name, Verdict.OK, key.source if key.check_values else f"{key.source}: the first start makes it")


def check_admin(place: str | None, *, scaled: bool) -> Finding:
    """Somebody can call. `place` says where the bootstrap key is from."""
    if place is not None:
        return Finding("admin key", Verdict.OK, place)
    if scaled:
        mend = "Set ORCHESTRATOR_ADMIN_API_KEY for every API process."
        return Finding("admin key", Verdict.WARNING, "none: nobody can manage this installation", mend)
    return Finding("admin key", Verdict.OK, "none yet: `orchestrator dev` makes one")


def check_public_sessions(public: bool | None) -> Finding:
    """Strangers start no jobs, or somebody chose that they may."""
    name = "public sessions"
    if public:
        mend = "Unset ORCHESTRATOR_PUBLIC_SESSIONS, or let only people you trust reach the API."
        return Finding(name, Verdict.WARNING, "anybody who reaches the API starts sessions without a key", mend)
    where = "off" if public is False else "only `orchestrator dev` on a loopback address starts them without a key"
    return Finding(name, Verdict.OK, where)


def check_clock(ahead: float, whose: str) -> Finding:
    """Two machines agree on the time: tokens, signatures and limits are computed from it."""
    told = f"that of {whose} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) > CLOCK_SKEW:
        mend = "Set both clocks by a time server: tokens and webhook signatures would be refused."
        return Finding("clock", Verdict.FAILED, told, mend)
    return Finding("clock", Verdict.OK, told)


def check_catalogue(agents: int, workflows: int, fault: str | None) -> Finding:
    """Plugins import, and what they bring is valid."""
    if fault is not None:
        return Finding("catalogue", Verdict.FAILED, fault, "Mend the plugin, or take it out of ORCHESTRATOR_PLUGINS.")
    return Finding("catalogue", Verdict.OK, f"{agents} agents, {workflows} workflows")


def check_models(models: Models) -> Finding:
    """The models that agents name belong to a provider that is configured, and its server answers."""
    if models.base_url:
        if models.fault is not None:
            return refused("models", models.fault)
        return Finding("models", Verdict.OK, f"OpenAI-compatible endpoint {models.base_url}")
    if not models.providers:
        mend = "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or ORCHESTRATOR_LLM_BASE_URL."
        if models.default_model:
            told = f"no provider for {models.default_model}: agents would answer with offline drafts"
            return Finding("models", Verdict.FAILED, told, mend)
        return Finding("models", Verdict.WARNING, "no provider: agents answer with offline drafts", mend)
    names = {models.default_model} if models.default_model else models.agents_models
    without = sorted(name for name in names if split_model_name(name)[0] not in models.providers)
    told = f"configured: {', '.join(sorted(models.providers))}"
    if without:
        mend = "Set ORCHESTRATOR_DEFAULT_MODEL to a model of a configured provider."
        return Finding("models", Verdict.FAILED, f"{told}; no provider for {', '.join(without)}", mend)
    return Finding("models", Verdict.OK, f"{told}; {models.default_model or 'each agent its own model'}")
