"""Large parts of messages in an S3-compatible bucket, for installations of many workers (decision 0013)."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from orchestrator.domain.errors import Unavailable
from orchestrator.storage.values import value_not_found


class ValueBucket:
    """Implements the port `ValueStore` in an object store, at `<prefix>/<job>/<key>.json`."""

    def __init__(self, url: str) -> None:
        """Region, endpoint and credentials come from the usual `AWS_*` variables.

        Raises `ValueError` for an invalid URL.
        """
        try:
            self._store: ObjectStore = from_url(
                url,
                # HTTPS, unless AWS_ENDPOINT_URL begins with http://.
                client_options={
                    "allow_http": True,
                    "timeout": timedelta(seconds=10),
                    "connect_timeout": timedelta(seconds=5),
                },
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
            )
        except BaseError as error:
            raise ValueError(f"invalid ORCHESTRATOR_VALUE_STORE_URL {url!r}: {error}") from error

    async def put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store texts by key; a key always has the same text. Raises `Unavailable`."""
        for key, text in bodies.items():
            with _faults():
                await obstore.put_async(self._store, _path(job_id, key), text.encode())

    async def get(self, job_id: str, keys: Collection[str]) -> dict[str, str]:
        """Return stored texts by key. Raises `NotFound`, `Unavailable`."""
        texts: dict[str, str] = {}
        for key in keys:
            with _faults():
                try:
                    response = await obstore.get_async(self._store, _path(job_id, key))
                except FileNotFoundError as error:
                    raise value_not_found(job_id, key) from error
                texts[key] = bytes(await response.bytes_async()).decode()
        return texts

    async def ping(self) -> None:
        """Check that the bucket answers. Raises `Unavailable`."""
        with _faults():
            try:
                await obstore.list(self._store, prefix="doctor", chunk_size=1).collect_async()
            except FileNotFoundError as error:
                raise _unavailable(error) from error

    async def forget(self, job_id: str) -> None:
        """Delete every text of a job. Raises `Unavailable`."""
        with _faults():
            objects = await obstore.list(self._store, prefix=_folder(job_id)).collect_async()
            await obstore.delete_async(self._store, [item["path"] for item in objects])


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    (sentence, *_) = str(error).splitlines() or [type(error).__name__]
    return Unavailable(
        f"The value store does not answer: {sentence[:300]}",
        remedy="Start the store, or correct ORCHESTRATOR_VALUE_STORE_URL and the AWS_* variables.",
    )


def _folder(job_id: str) -> str:
    return quote(job_id, safe="")


def _path(job_id: str, key: str) -> str:
    return f"{_folder(job_id)}/{key}.json"
