"""Our four import names are common words: tells when another distribution brings one of them too (style §3.2)."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

DISTRIBUTION: Final = "orchestrator"
ENVIRONMENT_OF_ITS_OWN: Final = "Install orchestrator into an environment of its own."
PACKAGES: Final = ("orchestrator", "activities", "workflows", "api")
_LISTED: Final = re.compile(rf"^({'|'.join(PACKAGES)})(?=/|\.py,|\s|$)", re.MULTILINE)


def collisions(owners: Mapping[str, Sequence[str]], places: Mapping[str, Path | None]) -> list[str]:
    """What is wrong, a sentence each.

    `owners` maps import names to the distributions that bring them, `places` our packages to the folders in which
    Python finds them: all four must lie side by side.
    """
    found = [
        f"the package `{name}` is also brought by {', '.join(others)}"
        for name in PACKAGES
        if (others := sorted({owner for owner in owners.get(name, ()) if owner.lower() != DISTRIBUTION}))
    ]
    home = places[DISTRIBUTION]
    return found + [
        f"the package `{name}` is found in {places[name] or 'no folder'}, not in {home}"
        for name in PACKAGES
        if places[name] != home
    ]


def installed_collisions() -> list[str]:
    """The collisions of this environment."""
    return collisions(_owners(), {name: _folder(name) for name in PACKAGES})


def _owners() -> dict[str, list[str]]:
    """The installed distributions that bring a package of one of our names, by that name.

    `packages_distributions` of the standard library looks at every file of each: half a second at every start.
    """
    owners = defaultdict(list)
    for distribution in distributions():
        listed = f"{distribution.read_text('RECORD') or ''}\n{distribution.read_text('top_level.txt') or ''}"
        for package in set(_LISTED.findall(listed)):
            owners[package].append(distribution.metadata["Name"])
    return owners


def refuse_collisions() -> None:
    """Raises `Refused` when another distribution brings one of our packages: it would run in place of ours."""
    found = installed_collisions()
    if found:
        raise Refused(f"{'; '.join(found)}. {ENVIRONMENT_OF_ITS_OWN}", code=1)


def refuse_shadows() -> None:
    """Raises `Refused` when Python finds a package of the author's in place of ours.

    Called before anything of ours is imported that could find it: the import would fail with a traceback.
    """
    found = collisions({}, {name: _folder(name) for name in PACKAGES})
    if found:
        raise Refused(
            f"{'; '.join(found)}. These names are orchestrator's own: rename that package, for example to "
            "`acme_workflows`, or keep its folder out of PYTHONPATH and the working directory.",
            code=1,
        )


def _folder(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin).resolve()
    return origin.parents[1] if spec.submodule_search_locations else origin.parent
