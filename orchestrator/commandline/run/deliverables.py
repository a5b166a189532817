"""Writes a job's deliverables as files. A model chose names and contents, so existing files are not touched."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from orchestrator.commandline.terminal.exits import FAILED, KEPT, OK, Refused, warn
from orchestrator.commandline.terminal.plain_text import one_line
from orchestrator.domain.commands import JobDeliverable
from orchestrator.domain.file_names import harmless_path, path_key, unique_path

_DELIVERABLES: Final = TypeAdapter(list[JobDeliverable])
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MODE: Final = 0o666  # less the umask; nothing is executable
_MAX_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Written:
    """The result: `files` were written, `renamed` holds (name, path) pairs, `existing` were not replaced."""

    files: list[Path] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)

    def report(self) -> int:
        """Print to standard error the renamed files and those that were not replaced. Returns the exit code."""
        for name, path in self.renamed[:_MAX_NAMED]:
            warn(f"{one_line(name)} was written as {one_line(path)}")
        for file in self.existing[:_MAX_NAMED]:
            warn(f"{one_line(str(file))} exists and was kept")
        if more := max(0, len(self.renamed) - _MAX_NAMED) + max(0, len(self.existing) - _MAX_NAMED):
            warn(f"… and {more} more")
        if self.existing:
            warn(f"{len(self.existing)} files were not written: pass --overwrite to replace them, or another folder")
        return KEPT if self.existing else OK


def deliverables_of(output: dict[str, Any] | None) -> list[JobDeliverable]:
    """The files of a job's output."""
    return _DELIVERABLES.validate_python((output or {}).get("deliverables", []))


def write(folder: Path, files: Iterable[JobDeliverable], *, overwrite: bool = False) -> Written:
    """Write every file below the folder; existing files are kept unless `overwrite`.

    Links below the folder are never followed, also if they appear meanwhile. Raises `Refused` (exit code 1) for a file
    whose content is not available, or that cannot be written.
    """
    written = Written()
    taken: set[str] = set()
    for file in files:
        if file.content is None:
            raise Refused(f"the content of {one_line(file.path)} is not available now: try again later", FAILED)
        path = unique_path(harmless_path(file.path), taken)
        taken.add(path_key(path))
        target = folder / path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _open_folder(folder, path.split("/")[:-1]) as directory:
                _write(directory, target.name, file.content.encode(), overwrite=overwrite)
        except FileExistsError:
            written.existing.append(target)
            continue
        except OSError as fault:
            raise Refused(f"cannot write {one_line(str(target))}: {_reason(fault)}", FAILED) from fault
        written.files.append(target)
        if path != file.path:
            written.renamed.append((file.path, path))
    return written


@contextlib.contextmanager
def _open_folder(folder: Path, parts: list[str]) -> Iterator[int]:
    """A descriptor of a folder below another; creates missing folders. An open folder cannot be replaced by a link."""
    directory = os.open(folder, _FOLDER)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):  # it exists as a folder; the next line refuses anything else
                os.mkdir(part, dir_fd=directory)
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = inner
        yield directory
    finally:
        os.close(directory)


def _write(directory: int, name: str, content: bytes, *, overwrite: bool) -> None:
    """Write a new file. It replaces an existing name, not its content: other hard links of that file stay unchanged."""
    draft = f".orchestrator-{secrets.token_hex(8)}" if overwrite else name
    descriptor = os.open(draft, _NEW_FILE, _MODE, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if overwrite:
            os.replace(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(draft, dir_fd=directory)
        raise


def _reason(fault: OSError) -> str:
    if isinstance(fault, NotADirectoryError) or fault.errno == errno.ELOOP:
        return "a file or a link is where a folder is needed"
    return fault.strerror or type(fault).__name__
