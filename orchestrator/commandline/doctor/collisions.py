"""Finds other distributions and folders with one of our four import names, which are common words."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

DISTRIBUTION: Final = "orchestrator"
SEPARATE_ENVIRONMENT: Final = "Install orchestrator into a separate environment."
PACKAGES: Final = ("orchestrator", "activities", "workflows", "api")
_LISTED: Final = re.compile(rf"^({'|'.join(PACKAGES)})(?=/|\.py,|\s|$)", re.MULTILINE)


def collisions(owners: Mapping[str, Sequence[str]], places: Mapping[str, Path | None]) -> list[str]:
    """The collisions, one sentence each.

    `owners` maps import names to the distributions that install them. `places` maps our packages to the folders in
    which Python finds them: all four must be in one folder.
    """
    duplicates = [
        f"the package `{name}` is also installed by {', '.join(others)}"
        for name in PACKAGES
        if (others := sorted({owner for owner in owners.get(name, ()) if owner.lower() != DISTRIBUTION}))
    ]
    home = places[DISTRIBUTION]
    return duplicates + [
        f"Python finds the package `{name}` in {places[name] or 'no folder'}, not in {home}"
        for name in PACKAGES
        if places[name] != home
    ]


def installed_collisions() -> list[str]:
    """The collisions of this environment."""
    return collisions(_owners(), {name: _folder(name) for name in PACKAGES})


def _owners() -> dict[str, list[str]]:
    """The installed distributions with a package of one of our names, by that name.

    `packages_distributions` of the standard library reads every file: that takes half a second at every start.
    """
    owners = defaultdict(list)
    for distribution in distributions():
        listed = f"{distribution.read_text('RECORD') or ''}\n{distribution.read_text('top_level.txt') or ''}"
        for package in set(_LISTED.findall(listed)):
            owners[package].append(distribution.metadata["Name"])
    return owners


def refuse_collisions() -> None:
    """Raises `Refused` if another distribution installs one of our packages: it could run in place of ours."""
    errors = installed_collisions()
    if errors:
        raise Refused(f"{'; '.join(errors)}. {SEPARATE_ENVIRONMENT}", code=1)


def refuse_shadows() -> None:
    """Raises `Refused` if Python finds an author's package in place of ours.

    Call it before the imports that could find that package: they would fail with a traceback.
    """
    errors = collisions({}, {name: _folder(name) for name in PACKAGES})
    if errors:
        raise Refused(
            f"{'; '.join(errors)}. These names are reserved by orchestrator: rename that package, for example to "
            "`acme_workflows`, or keep its folder out of PYTHONPATH and the working directory.",
            code=1,
        )


def _folder(name: str) -> Path | None:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin).resolve()
    return origin.parents[1] if spec.submodule_search_locations else origin.parent
