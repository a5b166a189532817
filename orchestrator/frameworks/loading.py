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
    """The adapter for a framework: what `where` (`module:attribute`) names, else the entry point of that name.

    Raises `CatalogueError` when there is none, it cannot be imported, or it is no adapter for this framework.
    """
    if not re.fullmatch(FRAMEWORK_PATTERN, framework):
        raise CatalogueError(framework, f"is no framework's name: it does not match {FRAMEWORK_PATTERN}")
    where = where or _installed(framework)
    module, colon, attribute = where.partition(":")
    if not (module and colon and attribute):
        raise CatalogueError(where, "does not name an adapter as module:attribute")
    try:
        found = getattr(import_module(module), attribute, None)
    except CatalogueError:
        raise
    except (ImportError, SyntaxError) as error:
        raise CatalogueError(where, f"cannot be imported: {error}{_remedy(framework, module)}") from error
    except Exception as error:  # the edge to an author's code, which can raise anything
        raise CatalogueError(where, import_fault(error)) from error
    return _checked(framework, where, found)


def _installed(framework: str) -> str:
    points = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if framework not in points:
        known = ", ".join(sorted(points)) or "none"
        fault = f"no installed package has its adapter (there are: {known}); name one with --adapter MODULE:ATTRIBUTE"
        raise CatalogueError(framework, fault)
    return points[framework].value


def _remedy(framework: str, module: str) -> str:
    """What to install, for an adapter that comes with the product but without its framework."""
    return f"; install orchestrator[{framework}]" if module.startswith(f"{__package__}.") else ""


def _checked(framework: str, where: str, found: Any) -> FrameworkAdapter:
    if isinstance(found, type) or not callable(getattr(found, "run", None)):
        raise CatalogueError(where, "is no framework adapter: an object with a name and a coroutine method run")
    if getattr(found, "name", None) != framework:
        raise CatalogueError(where, f"is the adapter of {getattr(found, 'name', None)!r}, not of {framework!r}")
    adapter: FrameworkAdapter = found
    return adapter
