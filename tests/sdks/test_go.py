"""The Go library: its own tests, and the code of its pages in an empty module against a real server."""

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.ledger import ledger
from tests.sdks.go_toolchain import MODULE, ROOT, missing_go, run
from tests.sdks.runners import need

README = MODULE / "README.md"
GUIDE = ROOT / "docs" / "go.md"
NewKey = Callable[..., Awaitable[str]]
_BLOCK = re.compile(r"^```go\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IMPORTS = {
    "errors.": "errors",
    "fmt.": "fmt",
    "io.": "io",
    "http.": "net/http",
    "os.": "os",
    "time.": "time",
}
# As the native document prints it.
PRINTED = """\
package main

import (
    "context"
    "fmt"
    "github.com/devora/sdk-go"
)

func main() {
    client := devora.NewClient("YOUR_API_KEY")

    // Execute agent
    result, err := client.Agents.Execute(context.Background(), &devora.AgentExecuteRequest{
        AgentID: "product_manager",
        Input: map[string]interface{}{
            "task_type": "prd",
            "context":   "Application de livraison",
        },
    })

    if err != nil {
        panic(err)
    }

    fmt.Println(result.Output)
    fmt.Printf("Tokens: %d\\n", result.Metrics.TotalTokens)
}
"""


@pytest.fixture(autouse=True)
def go() -> None:
    need(missing_go())


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """An empty project that uses the library."""
    (tmp_path / "go.mod").write_text(
        "module example.com/project\n\ngo 1.23\n\n"
        "require github.com/devora/sdk-go v1.0.0\n\n"
        f"replace github.com/devora/sdk-go => {MODULE}\n"
    )
    return tmp_path


async def test_the_code_is_formatted_and_sound() -> None:
    assert await run("gofmt", "-l", ".") == ""
    await run("go", "vet", "./...")


async def test_the_module_needs_nothing_else() -> None:
    assert (await run("go", "list", "-m", "all")).split() == ["github.com/devora/sdk-go"]


@ledger("D-089")
async def test_its_own_tests_and_its_types_against_the_document(server: str, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    async with httpx2.AsyncClient(base_url=server, timeout=60) as http:
        document.write_bytes((await http.get("/openapi.json")).raise_for_status().content)
    race = ["-race"] if (await run("go", "env", "CGO_ENABLED")).strip() == "1" else []
    output = await run("go", "test", "-v", *race, "./...", DEVORA_TEST_OPENAPI=str(document))
    assert "--- PASS: TestDocument " in output
    assert "--- SKIP" not in output


@ledger("D-087", "D-088")
async def test_the_printed_program(module: Path, server: str, new_key: NewKey) -> None:
    (module / "main.go").write_text(PRINTED.replace("YOUR_API_KEY", await new_key()))
    output = await run("go", "run", ".", cwd=module, DEVORA_BASE_URL=f"{server}/v1")
    text, tokens = output.rsplit("Tokens: ", 1)
    assert text.startswith("#")
    assert int(tokens) > 0


@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
async def test_the_code_of_a_page(page: Path, module: Path, server: str, new_key: NewKey) -> None:
    programs, key = 0, await new_key()
    for number, block in enumerate(whole_programs(page)):
        folder = module / f"program{number}"
        folder.mkdir()
        (folder / "main.go").write_text(block.replace("YOUR_API_KEY", key))
        programs += 1
    parts = list(fragments(page))
    (module / "parts").mkdir()
    (module / "parts" / "main.go").write_text(as_program(parts))
    reached = {"DEVORA_BASE_URL": server, "DEVORA_API_KEY": key, "WEBHOOK_SECRET": "one of ours"}
    for number in range(programs):
        assert "Tokens: " in await run("go", "run", f"./program{number}", cwd=module, **reached)
    output = await run("go", "run", "./parts", cwd=module, **reached)
    assert output.count("part done") == len(parts)


@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
async def test_the_code_of_a_page_is_formatted(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate([*whole_programs(page), *fragments(page)]):
        file = tmp_path / f"{number}.go"
        file.write_text(block)
        assert await run("sh", "-c", 'gofmt -d < "$0"', str(file)) == ""  # parts of programs are read from there only


def test_the_version_is_that_of_the_changelog() -> None:
    version = re.search(r'Version = "([^"]+)"', (MODULE / "version.go").read_text())
    assert version is not None
    assert f"## [{version[1]}]" in (MODULE / "CHANGELOG.md").read_text()


def whole_programs(page: Path) -> Iterator[str]:
    return (block for block in _BLOCK.findall(page.read_text()) if block.startswith("package main"))


def fragments(page: Path) -> Iterator[str]:
    return (block for block in _BLOCK.findall(page.read_text()) if not block.startswith("package main"))


def as_program(parts: list[str]) -> str:
    """Return one program that runs all parts of a page. A part that uses `jobID` gets a new job: a short one if it
    reads events, otherwise one that runs until it is cancelled."""
    body = "".join(f"func part{number}() error {{\n{part}return nil\n}}\n\n" for number, part in enumerate(parts))
    calls = ""
    for number, part in enumerate(parts):
        if "jobID" in part:
            agent = "t_echo" if "Stream" in part else "t_slow"
            calls += f'jobID = start("{agent}")\n'
        calls += f'must(part{number}())\nprintln("part done")\n'
    imports = "".join(f'"{path}"\n' for use, path in _IMPORTS.items() if use in body)
    return f"""package main

import (
"context"
{imports}
"github.com/devora/sdk-go"
)

var (
	ctx    = context.Background()
	client = devora.NewClient("")
	jobID  string
)

{body}
func start(agent string) string {{
	job, err := client.Agents.Start(ctx, &devora.AgentExecuteRequest{{AgentID: agent}})
	must(err)
	return job.ID
}}

func must(err error) {{
	if err != nil {{
		panic(err)
	}}
}}

func main() {{
{calls}}}
"""
