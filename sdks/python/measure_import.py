"""Measures what `import devora` and a client cost over the interpreter, and writes it into the README.

python sdks/python/measure_import.py
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "devora"
RUNS = 9
STEPS = {
    "`import devora`": "import devora",
    "`from devora import DevoraClient`": "from devora import DevoraClient",
    "`from devora import AsyncDevoraClient`": "from devora import AsyncDevoraClient",
    "the first `DevoraClient(…)`": "from devora import DevoraClient; DevoraClient('key')",
}
# What is read of the kernel: the peak of `getrusage` counts the parent's memory before the program began.
PROBE = """
import time
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
memory()
before, started = memory(), time.process_time()
{statement}
seconds = time.process_time() - started
print(1000 * seconds, (memory() - before) / 1024)
"""
_FIGURES = re.compile(r"<!-- figures:.*?<!-- end -->", re.DOTALL)


def measure(statement: str) -> tuple[float, float]:
    """Median milliseconds of CPU and MiB of a statement in fresh interpreters."""
    command = [sys.executable, "-c", PROBE.format(statement=statement)]
    environment = {"PYTHONPATH": str(PACKAGE / "src")}
    runs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(RUNS)
    ]
    return statistics.median(float(run[0]) for run in runs), statistics.median(float(run[1]) for run in runs)


def table() -> str:
    """The figures as the README shows them."""
    lines = ["<!-- figures: python sdks/python/measure_import.py -->", "| over the interpreter | ms of CPU | MiB |"]
    lines.append("|---|---|---|")
    for name, statement in STEPS.items():
        milliseconds, mebibytes = measure(statement)
        lines.append(f"| {name} | {milliseconds:.0f} | {mebibytes:.1f} |")
    return "\n".join([*lines, "<!-- end -->"])


if __name__ == "__main__":
    page = PACKAGE / "README.md"
    page.write_text(_FIGURES.sub(lambda _: table(), page.read_text()))
