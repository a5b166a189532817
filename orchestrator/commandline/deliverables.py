"""Leaves a job's deliverables as files, never outside the folder asked for."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter

from orchestrator.commandline.exits import FAILED, Refused
from orchestrator.domain.commands import JobDeliverable

_DELIVERABLES: Final = TypeAdapter(list[JobDeliverable])
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def deliverables_of(output: dict[str, Any] | None) -> list[JobDeliverable]:
    """The files that a job's output consists of."""
    return _DELIVERABLES.validate_python((output or {}).get("deliverables", []))


def write(folder: Path, files: Iterable[JobDeliverable]) -> list[Path]:
    """Write every file and answer where each lies.

    Raises `Refused` (exit code 1) for a file whose content could not be read, or that cannot be written.
    """
    written: list[Path] = []
    for file in files:
        if file.content is None:
            raise Refused(f"the content of {file.path} is not available now; ask again later", FAILED)
        target = _unique(folder / safe_path(file.path), written)
        if not target.resolve().is_relative_to(folder.resolve()):
            raise Refused(f"{target} would lie outside {folder}: a link leads there", FAILED)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.content, encoding="utf-8")
        except OSError as fault:
            raise Refused(f"{target} cannot be written: {fault.strerror}", FAILED) from fault
        written.append(target)
    return written


def safe_path(name: str) -> PurePosixPath:
    """A relative path below the folder, whatever the name: no root, no drive, no `..`, no control characters."""
    parts = [_CONTROL.sub("", part).strip() for part in name.replace("\\", "/").split("/")]
    kept = [part.replace(":", "_") for part in parts if part not in ("", ".", "..")]
    return PurePosixPath(*kept) if kept else PurePosixPath("unnamed")


def _unique(target: Path, taken: list[Path]) -> Path:
    number, candidate = 2, target
    while candidate in taken:
        candidate = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return candidate
