"""Words that a reader has to read twice stay out of identifiers and prose."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
BANNED: Final = frozenset({"told", "tells", "mend", "mends", "mended", "anew", "whoever"})
# A local variable or an argument is a noun for what it holds. These words do not say what it is.
NOT_NOUNS: Final = frozenset(
    {"found", "given", "wanted", "known", "said", "seen", "kept", "asked", "shown", "made", "chosen", "held", "begun"}
)
NAMED_BY_NOUNS: Final = ("orchestrator/*.py", "workflows/*.py", "activities/*.py", "api/*.py", "sdks/python/*.py")
# The first quotes other people's documents; the second prints their lines; the third names the words.
QUOTING: Final = frozenset({"docs/requirements.md", "docs/conformance.md", "tests/architecture/test_words.py"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_QUOTED: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def _tracked(*patterns: str) -> list[str]:
    listing = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listing.stdout.splitlines() if path not in QUOTING]


def _python_words(source: str) -> Iterator[tuple[int, str]]:
    """The words of names, comments and texts. A text of one word is a stored name, such as that of an old field."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and token.string.strip("'\"") in BANNED:
            continue
        if token.type in (tokenize.NAME, tokenize.COMMENT, tokenize.STRING):
            for offset, line in enumerate(token.string.splitlines()):
                yield from ((token.start[0] + offset, word.lower()) for word in _WORD.findall(line))


def _prose_words(text: str) -> Iterator[tuple[int, str]]:
    plain = _QUOTED.sub(lambda quotation: "\n" * quotation.group().count("\n"), text)
    for number, line in enumerate(plain.splitlines(), start=1):
        yield from ((number, word.lower()) for word in _WORD.findall(line))


def _banned_words(path: str) -> list[str]:
    text = (ROOT / path).read_text()
    words = _python_words(text) if path.endswith(".py") else _prose_words(text)
    return [f"{path}:{line}: {word}" for line, word in words if word in BANNED]


def _stored_names(source: str) -> Iterator[tuple[int, str]]:
    """The names of variables and arguments. Annotated fields of classes are left out: some are names on the wire."""
    tree = ast.parse(source)
    fields = {
        statement.target
        for part in ast.walk(tree)
        if isinstance(part, ast.ClassDef)
        for statement in part.body
        if isinstance(statement, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if node not in fields:
                yield node.lineno, name
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name


@pytest.mark.parametrize("pattern", NAMED_BY_NOUNS)
def test_a_variable_is_named_by_a_noun(pattern: str) -> None:
    paths = _tracked(pattern)
    assert paths
    assert [
        f"{path}:{line}: {name}"
        for path in paths
        for line, name in _stored_names((ROOT / path).read_text())
        if name.strip("_") in NOT_NOUNS
    ] == []


def test_stored_names_are_variables_and_arguments_but_no_fields() -> None:
    source = """
class Row:
    kept: int

    def read(self, given, *, wanted):
        found: int = given.known
        for seen, _ in given:
            pass
        return [asked for asked in wanted]
"""
    assert sorted(name for _, name in _stored_names(source) if name in NOT_NOUNS) == [
        "asked",
        "found",
        "given",
        "seen",
        "wanted",
    ]


@pytest.mark.parametrize("pattern", ["*.py", "*.md", "*.toml", "*.yml", "*.html", "*.ts", "*.go"])
def test_no_file_uses_a_banned_word(pattern: str) -> None:
    assert [finding for path in _tracked(pattern) for finding in _banned_words(path)] == []


def test_a_banned_word_is_found_in_names_comments_and_prose() -> None:
    source = 'def who_tells(): # anew\n    """Mended."""\n'
    assert [word for _, word in _python_words(source) if word in BANNED] == ["tells", "anew", "mended"]
    assert [word for _, word in _prose_words("He told `told`\n```\ntold\n```\n") if word in BANNED] == ["told"]
