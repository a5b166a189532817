"""Downloads Temporal's released server and compares it with the SHA-256 pinned here."""

import asyncio
import hashlib
import platform
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TextIO

import httpx2

from orchestrator.domain.errors import Unavailable

CLI_VERSION: Final = "1.8.2"
RELEASES: Final = "https://github.com/temporalio/cli/releases/download"
# From the release's checksums.txt. A new CLI_VERSION needs new checksums, and the same version in go.mod.
CHECKSUMS: Final = {
    "darwin_amd64": "489d7f5420cae02b559774ac23df035141954c33a51dba96f5759a0ddccdf1b6",
    "darwin_arm64": "dacdc3587682c04cf27e67c8878ca2d755230b6ad63c0c6ebddd7348ae90ed94",
    "linux_amd64": "d8421bda989e6514b4bdb4d63a9012a8a05a806892e881a5aad8510496349a94",
    "linux_arm64": "83600a8fac6e3da54093e5da6918d399f501532b9f1172235603f9606f4ac6e4",
}
CONNECT_SECONDS: Final = 15.0

_READ_SECONDS: Final = 30.0
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_MEGABYTE: Final = 1_000_000
_SIZE_LIMIT: Final = 300 * _MEGABYTE  # The archive of 1.8.2 has about 50 MB.


async def download(target: Path, out: TextIO) -> None:
    """Download the released executable to `target`. Progress goes to `out`.

    Raises `Unavailable` if there is no release for this machine, no response within 15 s, a broken download or a wrong
    checksum.
    """
    machine = _machine()
    checksum = CHECKSUMS.get(machine)
    if checksum is None:
        raise Unavailable(f"Temporal has no release for {machine}")
    url = f"{RELEASES}/v{CLI_VERSION}/temporal_cli_{CLI_VERSION}_{machine}.tar.gz"
    archive = target.with_name("temporal.tar.gz")
    try:
        actual = await _fetch(url, archive, out)
        # The archive is read only after the checksum has shown that it is Temporal's.
        if actual != checksum:
            raise Unavailable(f"{url} has the SHA-256 {actual}, expected {checksum}; the download was deleted")
        await asyncio.to_thread(_extract, archive, target)
    except (httpx2.HTTPError, OSError) as error:  # OSError: for example a full disk.
        raise Unavailable(f"{url}: {str(error) or type(error).__name__}") from error
    finally:
        archive.unlink(missing_ok=True)


def _machine() -> str:
    """Operating system and processor, as in the file names of the release."""
    processor = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(processor, processor)}"


async def _fetch(url: str, archive: Path, out: TextIO) -> str:
    """Write the response to a file and return its SHA-256."""
    out.write(f"Downloading Temporal's server {CLI_VERSION} from {url}\n")
    digest = hashlib.sha256()
    received = reported = 0
    async with _response(url) as response:
        total = int(response.headers.get("Content-Length", 0))
        with archive.open("wb") as file:
            async for chunk in response.aiter_bytes():
                digest.update(chunk)
                file.write(chunk)
                received += len(chunk)
                if received > _SIZE_LIMIT:
                    raise Unavailable(f"{url} is larger than {_SIZE_LIMIT // _MEGABYTE} MB; the download was deleted")
                if out.isatty() and received - reported >= _MEGABYTE:
                    reported = received
                    out.write(f"\r{received // _MEGABYTE} of {total // _MEGABYTE} MB")
                    out.flush()
    if reported:
        out.write("\n")
    return digest.hexdigest()


@asynccontextmanager
async def _response(url: str) -> AsyncIterator[httpx2.Response]:
    """A successful response with an unread body. It must begin within 15 s, including all redirects."""
    async with httpx2.AsyncClient(timeout=_READ_SECONDS, follow_redirects=True) as client:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                response = await client.send(client.build_request("GET", url), stream=True)
        except TimeoutError as error:
            raise Unavailable(f"{url} did not answer within {CONNECT_SECONDS:.0f} s") from error
        try:
            if response.status_code != httpx2.codes.OK:
                raise Unavailable(f"{url} answered {response.status_code}")
            yield response
        finally:
            await response.aclose()


def _extract(archive: Path, target: Path) -> None:
    partial = target.with_name("temporal.partial")
    with tarfile.open(archive) as files, partial.open("wb") as file:
        member = files.extractfile("temporal")
        if member is None:
            raise Unavailable(f"{archive} has no file `temporal`")
        shutil.copyfileobj(member, file)
    partial.chmod(0o755)
    partial.replace(target)
