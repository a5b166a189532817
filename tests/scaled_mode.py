"""Does what `docs/scaled-mode.md` says, as its machine would: files, lines, units, and a supervisor for them."""

import asyncio
import configparser
import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaled-mode.md"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`(/etc/\S+)`[^\n]*:\n\n\Z", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """`files` by path; `lines` are the blocks that a shell runs, in order; `units` that the page starts."""

    files: dict[str, str]
    lines: list[str]
    units: list[str]


def page() -> Page:
    """The page's own blocks: `ini` after a path is a file, `sh` is run; of `console` only what systemd starts."""
    text = PAGE.read_text()
    files, lines, units = {}, [], []
    for block in _BLOCK.finditer(text):
        language, content = block.groups()
        before = text[: block.start()]
        path = _FILE.search(before[before.rindex("\n\n", 0, -2) :].lstrip("\n"))
        if language == "ini":
            assert path is not None, content
            files[path[1]] = content
        elif language == "sh":
            lines.append(content)
        else:
            units += re.findall(r"(?:temporal|orchestrator)-\S+(?=[ \n])", "".join(_enabled(content)))
    return Page(files, lines, units)


def _enabled(content: str) -> list[str]:
    return [f"{line} \n" for line in content.splitlines() if line.startswith("systemctl enable")]


def variables(content: str) -> dict[str, str]:
    """An environment file, as systemd reads it."""
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def unit(content: str) -> configparser.ConfigParser:
    """A unit file."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(content)
    return parser


@dataclass
class Supervisor:
    """What systemd does with the page's units: runs them, and starts again what ends. `moved` maps the page's paths and
    values to those of the test."""

    page: Page
    moved: dict[str, str]
    folder: Path
    starts: dict[str, int] = field(default_factory=dict)
    _processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _keeping: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """A text of the page with the test's own places."""
        places = "|".join(re.escape(theirs) for theirs in self.moved)
        return re.sub(places, lambda found: self.moved[found[0]], text)

    def install(self) -> None:
        """Write the page's files."""
        for path, content in self.page.files.items():
            place = Path(self.here(path))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(self.here(content))

    async def run(self, lines: str) -> str:
        """Run a block of lines in a shell of its own; its output. Fails when it does."""
        shell = await asyncio.create_subprocess_exec(
            "sh", "-e", "-c", self.here(lines), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await shell.communicate()
        assert shell.returncode == 0, f"{self.here(lines)}\n{output.decode()}"
        return output.decode()

    def enable(self, name: str) -> None:
        """Start a unit, and keep it going."""
        self._keeping[name] = asyncio.create_task(self._keep(name), name=name)

    async def kill(self, name: str) -> int:
        """Kill a unit's process without warning; its process id."""
        process = self._processes[name]
        process.kill()
        await process.wait()
        return process.pid

    async def stop(self) -> None:
        """Stop every unit."""
        for task in self._keeping.values():
            task.cancel()
        await asyncio.gather(*self._keeping.values(), return_exceptions=True)
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    def log(self, name: str) -> str:
        """The end of what a unit wrote."""
        return "\n".join((self.folder / f"{name}.log").read_text().splitlines()[-30:])

    async def _keep(self, name: str) -> None:
        template, _, instance = name.partition("@")
        path = f"/etc/systemd/system/{template}{'@' if instance else ''}.service"
        service = unit(self.page.files[path])["Service"]
        assert service["Restart"] == "always"
        environment = variables(Path(self.here(service["EnvironmentFile"])).read_text())
        command = self.here(service["ExecStart"].replace("%i", instance)).split()
        own = {key: value for key, value in os.environ.items() if not key.startswith(("ORCHESTRATOR_", "TEMPORAL_"))}
        while True:
            self.starts[name] = self.starts.get(name, 0) + 1
            with (self.folder / f"{name}.log").open("ab") as output:
                self._processes[name] = process = await asyncio.create_subprocess_exec(
                    *command,
                    stdout=output,
                    stderr=output,
                    env={**own, **environment},
                    cwd=self.here(service.get("WorkingDirectory", str(self.folder))),
                )
            await process.wait()
            await asyncio.sleep(float(service["RestartSec"]))
