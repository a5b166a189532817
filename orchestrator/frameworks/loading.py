"""Finds the adapter of a framework: an installed package's entry point, or `module:attribute`."""

import re
from importlib.metadata import entry_points
from typing import Any, Final

from orchestrator.author_modules import import_fault, import_module
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.frameworks import FRAMEWORK_PATTERN
from orchestrator.frameworks import FrameworkAdapter

ENTRY_POINT_GROUP: Final = "orchestrator.frameworks"


def load_adapter(framework: str, where: str | None = None) -> FrameworkAdapter:
    """The adapter for a framework: the one that `where` (`module:attribute`) names, else the entry point of that name.

    Raises `CatalogueError` if there is none, it cannot be imported, or it is not an adapter for this framework.
    """
    if not re.fullmatch(FRAMEWORK_PATTERN, framework):
        raise CatalogueError(framework, f"is not a valid name of a framework: expected {FRAMEWORK_PATTERN}")
    where = where or _installed(framework)
    module, colon, attribute = where.partition(":")
    if not (module and colon and attribute):
        raise CatalogueError(where, "does not name an adapter as module:attribute")
    try:
        adapter = getattr(import_module(module), attribute, None)
    except CatalogueError:
        raise
    except (ImportError, SyntaxError) as error:
        raise CatalogueError(where, f"cannot be imported: {error}{_remedy(framework, module)}") from error
    except Exception as error:  # the edge to author code, which can raise anything
        raise CatalogueError(where, import_fault(error)) from error
    return _checked(framework, where, adapter)


def _installed(framework: str) -> str:
    points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if framework not in points:
        names = ", ".join(sorted(points)) or "none"
        fault = f"no installed package has its adapter (installed: {names}); name one with --adapter MODULE:ATTRIBUTE"
        raise CatalogueError(framework, fault)
    return points[framework].value


def _remedy(framework: str, module: str) -> str:
    """The package extra to install, for an adapter of the product whose framework is missing."""
    return f"; install orchestrator[{framework}]" if module.startswith(f"{__package__}.") else ""


def _checked(framework: str, where: str, candidate: Any) -> FrameworkAdapter:
    if isinstance(candidate, type) or not callable(getattr(candidate, "run", None)):
        raise CatalogueError(
            where, "is not a framework adapter: expected an object with a name and a coroutine method run"
        )
    if getattr(candidate, "name", None) != framework:
        raise CatalogueError(where, f"is the adapter of {getattr(candidate, 'name', None)!r}, not of {framework!r}")
    adapter: FrameworkAdapter = candidate
    return adapter
