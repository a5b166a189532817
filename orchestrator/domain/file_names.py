"""Makes file names of a model, an author or a server safe on every operating system. Pure."""

import re
from collections.abc import Collection
from typing import Final

from orchestrator.domain.text import sound

MAX_PATH_LENGTH: Final = 240  # Systems allow 255: there is room for a number.
_MAX_BYTES: Final = 200  # Of one part; file systems allow 255.
_UNNAMED: Final = "unnamed"
# Control characters, and those that change the direction of text, so that `gpj.exe` can look like `exe.jpg`.
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_EDGES: Final = re.compile(r"\A\s+|[\s.]+\Z")
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\.|\Z)")
# Some file systems ignore these characters: there, `<U+200C>.git` is `.git`.
_IGNORED: Final = "\u200b-\u200f\u2060-\u206f\ufeff"
_DOTTED: Final = re.compile(rf"\A[\s{_IGNORED}]*\.[.\s{_IGNORED}]*")
_SHORT_NAME: Final = re.compile(r"~(?=[0-9])")  # `git~1` is another name of `.git` on Windows
_INVISIBLE: Final = re.compile(f"[{_IGNORED}]")


def safe_path(name: str) -> str:
    """A relative path for any name, safe below any folder.

    It has no root, no drive, no `..`, and no character that a file system refuses; letters of every language and spaces
    stay. It has at most 240 characters; a name without a valid character becomes `unnamed`.
    """
    names = _safe_parts(name)
    while len(names) > 1 and len("/".join(names)) > MAX_PATH_LENGTH:
        names.pop(0)
    return "/".join(names) or _UNNAMED


def names_a_file(name: str) -> bool:
    """Whether a name has a valid character, so that two different files do not both become `unnamed`."""
    return bool(_safe_parts(name))


def harmless_path(name: str) -> str:
    """A safe path that no tool reads as its configuration.

    Version control, shells and editors run files such as `.git`, `.envrc` or `.vscode`: a leading dot becomes `_` in
    every part. git also treats every folder with a `HEAD` as a repository.
    """
    parts = [_SHORT_NAME.sub("_", _DOTTED.sub("_", part)) for part in safe_path(name).split("/")]
    if _INVISIBLE.sub("", parts[-1]).casefold() == "head":
        parts[-1] = f"_{parts[-1]}"
    return "/".join(parts)


def unique_path(path: str, taken: Collection[str]) -> str:
    """The path, with a number before its suffix if it is taken: `a.md`, `a-2.md`. `taken` holds `path_key`s."""
    folder, slash, file = path.rpartition("/")
    stem, suffix = _split(file)
    number, candidate = 2, path
    while path_key(candidate) in taken:
        candidate = f"{folder}{slash}{stem}-{number}{suffix}"
        number += 1
    return candidate


def path_key(path: str) -> str:
    """A key that is equal for paths that differ only in upper and lower case: some systems store them as one file."""
    return path.casefold()


def _safe_parts(name: str) -> list[str]:
    parts = (_safe_part(part) for part in sound(name[: 4 * MAX_PATH_LENGTH]).replace("\\", "/").split("/"))
    return [part for part in parts if part]


def _safe_part(part: str) -> str:
    part = _EDGES.sub("", _FORBIDDEN.sub("_", _UNSEEN.sub("", part)))
    if _DEVICES.match(part):
        part = f"_{part}"
    return part if len(part.encode()) <= _MAX_BYTES else _shortened(part)


def _shortened(part: str) -> str:
    """The part with its suffix, shortened to the bytes that every file system accepts."""
    stem, suffix = _split(part)
    if len(suffix.encode()) > _MAX_BYTES // 4:
        stem, suffix = part, ""
    room = _MAX_BYTES - len(suffix.encode())
    return _EDGES.sub("", stem.encode()[:room].decode(errors="ignore")) + suffix


def _split(file: str) -> tuple[str, str]:
    """Stem and suffix of a file's name: `a.tar` and `.gz`; `.github` has no suffix."""
    stem, dot, suffix = file.rpartition(".")
    return (stem, dot + suffix) if stem and suffix else (file, "")
