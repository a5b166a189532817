"""What Temporal knows of a workflow class: its type, and its signals."""

from typing import Any

from temporalio import workflow


def workflow_type(workflow_class: type) -> str | None:
    """The name of the class in Temporal. None for the interpreter, and for a class that is not a workflow."""
    definition = workflow._Definition.from_class(workflow_class)  # noqa: SLF001 - the SDK has no public way
    return definition.name if definition else None


def returns_nothing(workflow_class: type) -> bool:
    """Whether the method that runs a class says by its annotation that it returns nothing."""
    definition = workflow._Definition.from_class(workflow_class)  # noqa: SLF001 - the SDK has no public way
    returns = getattr(definition.run_fn, "__annotations__", {}).get("return", ...) if definition else ...
    return returns in (None, "None", type(None))


def signals_of(workflow_class: type) -> dict[str, Any]:
    """The signals that a class declares with `@workflow.signal`: the type of the argument by name, None without one.

    Signals with several arguments, and a handler of any name, are left out: they have no one type.
    """
    definition = workflow._Definition.from_class(workflow_class)  # noqa: SLF001 - the SDK has no public way
    signals: dict[str, Any] = {}
    for name, signal in (definition.signals if definition else {}).items():
        types = signal.arg_types or []
        if name is not None and len(types) <= 1:
            signals[name] = types[0] if types else None
    return signals
