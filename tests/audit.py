"""`make audit`: known vulnerabilities in the locked dependencies, less the exceptions of `pyproject.toml`.

An exception names a vulnerability, says why it does no harm here, and ends on a day:
`[[tool.audit.exceptions]]` with `id`, `reason` and `until`.
"""

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[1]
_MAX_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Excepted:
    """A vulnerability that is known, and does no harm here until it is looked at again."""

    id: str
    reason: str
    until: date


def exceptions(pyproject: str) -> list[Excepted]:
    """The exceptions of a `pyproject.toml`. Raises `TypeError` for one without a reason or an end."""
    given = tomllib.loads(pyproject).get("tool", {}).get("audit", {}).get("exceptions", [])
    return [Excepted(**one) for one in given]


def verdict(found: list[dict[str, Any]], excepted: list[Excepted], today: date) -> tuple[list[str], bool]:
    """What pip-audit found, in lines, and whether all is well."""
    lines, sound = [], True
    valid = {one.id: one for one in excepted if one.until >= today}
    for one in excepted:
        if one.id not in valid:
            lines.append(f"the exception for {one.id} ended on {one.until}: upgrade, or look at it again")
            sound = False
    for package in found:
        for fault in package.get("vulns", []):
            ids = {fault["id"], *fault.get("aliases", [])}
            name = f"{package['name']} {package['version']}: {fault['id']}"
            if known := next((valid[one] for one in ids if one in valid), None):
                lines.append(f"{name} is excepted until {known.until}: {known.reason}")
                continue
            fixed = ", ".join(fault.get("fix_versions", [])) or "no release yet"
            lines.append(f"{name}, fixed in {fixed}")
            sound = False
    unknown = [package["name"] for package in found if "skip_reason" in package]
    if unknown:
        named = ", ".join(unknown[:_MAX_NAMED]) + (" …" if len(unknown) > _MAX_NAMED else "")
        lines.append(f"{len(unknown)} of {len(found)} packages are not known to the package index: {named}")
        sound = False
    return [*lines, f"{len(found) - len(unknown)} of {len(found)} packages were looked up"], sound


def main(requirements: str) -> int:
    """Audit a list of locked requirements; 0 when nothing is wrong."""
    command = [str(Path(sys.executable).parent / "pip-audit"), "--disable-pip", "--require-hashes"]
    command += ["--requirement", requirements, "--format", "json", "--progress-spinner", "off"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout.strip():
        sys.stderr.write(ran.stderr)
        return 1
    excepted = exceptions((_ROOT / "pyproject.toml").read_text())
    lines, sound = verdict(json.loads(ran.stdout)["dependencies"], excepted, datetime.now(UTC).date())
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
