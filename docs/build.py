"""`make docs`: builds the site into build/site; ends with 1 for a broken link, an unlisted page or a foreign address.

Pages come with the files that they link to. The site fetches nothing when it is read: fonts are the reader's own, and
search is local.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = ROOT / "build" / "pages"
SITE: Final = ROOT / "build" / "site"
LINK: Final = re.compile(r"\]\(([^)\s:#]+)(?:#[^)\s]*)?\)")


def main() -> int:
    """Gather the pages, build, check."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = page.read_text()
        _copy(page)
        for link in LINK.findall(text):
            _copy((page.parent / link).resolve())
    zensical = str(Path(sys.executable).with_name("zensical"))
    code = subprocess.run([zensical, "build", "--strict"], cwd=ROOT, check=False).returncode  # noqa: S603
    faults = sorted({fault for page in SITE.rglob("*.html") for fault in faults_of(page)} | set(unlisted()))
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    if code or faults:
        return 1
    # Browsers let no page that is read from a file start the worker that searches.
    sys.stdout.write(f"Read it with: python3 -m http.server --directory {SITE.relative_to(ROOT)}\n")
    return 0


def _copy(file: Path) -> None:
    target = PAGES / file.relative_to(ROOT)
    if file.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def unlisted() -> Iterator[str]:
    """Pages that the navigation in zensical.toml does not have; decisions have a list of their own."""
    listed = (ROOT / "zensical.toml").read_text()
    for page in ROOT.glob("docs/*.md"):
        if f'"docs/{page.name}"' not in listed:
            yield f"docs/{page.name} is not in the navigation of zensical.toml"


def faults_of(page: Path) -> Iterator[str]:
    """What a built page refers to and its reader would not get without a network."""
    for tag, address in _addresses(page.read_text()):
        link = urlsplit(address)
        if link.scheme or link.netloc:
            if tag != "a":
                yield f"{page.relative_to(SITE)}: <{tag}> loads {address}"
        elif link.path and page.name != "404.html" and not (page.parent / unquote(link.path)).exists():
            yield f"{page.relative_to(SITE)}: {address} leads nowhere"


def _addresses(html: str) -> list[tuple[str, str]]:
    """Every tag with an address."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((tag, value) for name, value in attrs if name in {"href", "src"} and value)

    Reader().feed(html)
    return found


if __name__ == "__main__":
    sys.exit(main())
