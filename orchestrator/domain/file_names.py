"""Names of files that a model, an author or a server chose, made safe to write on any system. Pure."""

import re
from collections.abc import Collection
from typing import Final

from orchestrator.domain.text import sound

LONGEST_PATH: Final = 240  # Of 255, so that a number can be added.
_MOST_BYTES: Final = 200  # Of one part; file systems take 255.
_UNNAMED: Final = "unnamed"
# Control characters, and those that change the direction of text, so that `gpj.exe` can look like `exe.jpg`.
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_EDGES: Final = re.compile(r"\A\s+|[\s.]+\Z")
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\.|\Z)")
# Some file systems pass over these characters: there, `<U+200C>.git` is `.git`.
_IGNORED: Final = "\u200b-\u200f\u2060-\u206f\ufeff"
_DOTTED: Final = re.compile(rf"\A[\s{_IGNORED}]*\.[.\s{_IGNORED}]*")
_SHORT_NAME: Final = re.compile(r"~(?=[0-9])")  # `git~1` is another name of `.git` on Windows
_INVISIBLE: Final = re.compile(f"[{_IGNORED}]")


def safe_path(name: str) -> str:
    """A relative path below any folder, whatever the name.

    It has no root, no drive, no `..`, and nothing that some file system refuses; letters of every language and spaces
    stay. At most 240 characters; a name that leaves nothing is `unnamed`.
    """
    parts = [_safe_part(part) for part in sound(name[: 4 * LONGEST_PATH]).replace("\\", "/").split("/")]
    kept = [part for part in parts if part]
    while len(kept) > 1 and len("/".join(kept)) > LONGEST_PATH:
        kept.pop(0)
    return "/".join(kept) or _UNNAMED


def harmless_path(name: str) -> str:
    """A safe path that no tool obeys unasked: what a program finds by its name there, it does not find.

    Version control, shells and editors run what lies in `.git`, `.envrc` or `.vscode`: a leading dot becomes `_`, in
    every part. git also takes any folder that holds a `HEAD` for a repository.
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
    """What two paths share that are one file where upper and lower case are the same."""
    return path.casefold()


def _safe_part(part: str) -> str:
    part = _EDGES.sub("", _FORBIDDEN.sub("_", _UNSEEN.sub("", part)))
    if _DEVICES.match(part):
        part = f"_{part}"
    return part if len(part.encode()) <= _MOST_BYTES else _shortened(part)


def _shortened(part: str) -> str:
    """The part with its suffix, in so many bytes as every file system takes."""
    stem, suffix = _split(part)
    if len(suffix.encode()) > _MOST_BYTES // 4:
        stem, suffix = part, ""
    room = _MOST_BYTES - len(suffix.encode())
    return _EDGES.sub("", stem.encode()[:room].decode(errors="ignore")) + suffix


def _split(file: str) -> tuple[str, str]:
    """Stem and suffix of a file's name: `a.tar` and `.gz`; `.github` has no suffix."""
    stem, dot, suffix = file.rpartition(".")
    return (stem, dot + suffix) if stem and suffix else (file, "")
