"""The guide shows the files of the examples as they are, and messages as they are."""

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.domain.errors import CatalogueError
from orchestrator.engine.worker import check_in_sandbox
from orchestrator.plugins import build_catalogue, load_plugins

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
SHOWN_WHOLE = (EXAMPLE, ROOT / "examples" / "quickstart")
PAGES = ("authoring.md", "function-agents.md", "plans.md")
GUIDE = "\n".join((ROOT / "docs" / page).read_text() for page in PAGES)
BLOCKS = re.findall(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^\| `(\w+\.py)` \| .* \| `(.*)` \|$", GUIDE, re.MULTILINE)
ON_DISK = {
    path.relative_to(example).as_posix(): path
    for example in SHOWN_WHOLE
    for kind in ("*.py", "*.toml", "*.ini")
    for path in example.rglob(kind)
    if ".venv" not in path.parts
}


@pytest.mark.parametrize(("path", "text"), BLOCKS, ids=[path for path, _ in BLOCKS])
def test_a_file_is_shown_as_it_is(path: str, text: str) -> None:
    assert text == ON_DISK[path].read_text()


def test_every_file_is_shown_once() -> None:
    assert sorted(path for path, _ in BLOCKS) == sorted(ON_DISK)


@pytest.mark.parametrize("block", COMMANDS)
def test_commands_can_be_pasted_into_a_shell(block: str) -> None:
    subprocess.run(["bash", "-n"], input=block, text=True, check=True, capture_output=True)


@pytest.fixture
def mistaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], CatalogueError]]:
    """Makes one mistake in a copy of the example and gives the error that it meets."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(file: str, right: str, wrong: str) -> CatalogueError:
        shutil.copytree(EXAMPLE / "acme_agents", tmp_path / "acme_agents")
        path = tmp_path / "acme_agents" / file
        text = path.read_text()
        assert right in text
        path.write_text(text.replace(right, wrong, 1))
        importlib.invalidate_caches()
        with pytest.raises(CatalogueError) as caught:
            check_in_sandbox(build_catalogue(load_plugins(["acme_agents.plugin"])).code_workflows)
        return caught.value

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_agents"]:
        del sys.modules[name]


MISTAKES = [
    ("release.py", 'needs=("notes",)', 'needs=("note",)'),
    ("release.py", 'agents=("acme_release_writer",)', 'agents=("acme_release_writer",), needs=("publish",)'),
    ("release.py", 'needs=("notes",)', 'need=("notes",)'),
    ("release.py", 'id="acme_release"', 'id="Acme Release"'),
    ("release.py", '"technical_writer"', '"technical_writor"'),
    ("publisher.py", "    function=publish,\n", ""),
    ("release_writer.py", 'id="acme_release_writer"', 'id="technical_writer"'),
    ("embargo.py", 'defn(name="acme_embargo")', "defn"),
    ("embargo.py", "        code=True,\n", ""),
    ("embargo.py", "from pydantic import", "import httpx2\nfrom pydantic import"),
    ("plugin.py", "plugin = Plugin", "plug_in = Plugin"),
]


@pytest.mark.parametrize(("mistake", "row"), list(zip(MISTAKES, ROWS, strict=True)), ids=[one[1] for one in ROWS])
async def test_a_mistake_is_reported_as_the_guide_says(
    mistaken: Callable[[str, str, str], CatalogueError], mistake: tuple[str, str, str], row: tuple[str, str]
) -> None:
    error = mistaken(*mistake)
    file, message = row
    assert Path(error.details["source"]).name == file
    fault = re.sub(r"^line \d+: ", "", error.details["fault"])
    beginning, cut, end = message.partition("…")
    assert fault.startswith(beginning)
    assert cut or fault == message
    assert fault.endswith(end)
