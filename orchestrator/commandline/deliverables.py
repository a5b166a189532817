"""Leaves a job's deliverables as files, never outside the folder asked for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from orchestrator.commandline.exits import FAILED, Refused
from orchestrator.domain.commands import JobDeliverable
from orchestrator.domain.file_names import path_key, safe_path, unique_path

_DELIVERABLES: Final = TypeAdapter(list[JobDeliverable])


def deliverables_of(output: dict[str, Any] | None) -> list[JobDeliverable]:
    """The files that a job's output consists of."""
    return _DELIVERABLES.validate_python((output or {}).get("deliverables", []))


def write(folder: Path, files: Iterable[JobDeliverable]) -> list[Path]:
    """Write every file and answer where each lies.

    Raises `Refused` (exit code 1) for a file whose content could not be read, or that cannot be written.
    """
    written: list[Path] = []
    taken: set[str] = set()
    for file in files:
        if file.content is None:
            raise Refused(f"the content of {file.path} is not available now; ask again later", FAILED)
        path = unique_path(safe_path(file.path), taken)
        taken.add(path_key(path))
        target = folder / path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise Refused(f"{target} would lie outside {folder}: a link leads there", FAILED)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content, encoding="utf-8")
        except OSError as fault:
            raise Refused(f"{target} cannot be written: {fault.strerror}", FAILED) from fault
        written.append(target)
    return written
