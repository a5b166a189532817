"""A local server that speaks as much of the S3 protocol as the value store uses, signatures unchecked."""

import asyncio
import re
import socket
from html import escape
from typing import Self
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Bucket:
    """Keeps objects by path; `away` answers 503 to all."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False
        self.denied = False
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        self._listener = listener
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        routes = [Route("/{bucket}/{path:path}", self._object, methods=["GET", "PUT", "DELETE", "POST"])]
        routes.append(Route("/{bucket}", self._bucket, methods=["GET", "POST"]))
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        return self  # The listening socket holds connections until the server runs.

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving

    def _refused(self) -> Response | None:
        if self.away:
            return Response("<Error><Code>SlowDown</Code></Error>", 503)
        return Response("<Error><Code>AccessDenied</Code></Error>", 403) if self.denied else None

    async def _object(self, request: Request) -> Response:
        if (refused := self._refused()) is not None:
            return refused
        path = unquote(request.path_params["path"])
        if not path:
            return await self._bucket(request)
        match request.method:
            case "PUT":
                self.objects[path] = await request.body()
            case "DELETE":
                self.objects.pop(path, None)
                return Response(status_code=204)
            case _ if path not in self.objects:
                return Response("<Error><Code>NoSuchKey</Code></Error>", 404)
            case _:
                headers = {"ETag": '"x"', "Last-Modified": "Thu, 26 Nov 2026 10:00:00 GMT"}
                return Response(self.objects[path], headers=headers)
        return Response(headers={"ETag": '"x"'})

    async def _bucket(self, request: Request) -> Response:
        if (refused := self._refused()) is not None:
            return refused
        if request.method == "POST":  # ?delete
            paths = re.findall(r"<Key>(.*?)</Key>", (await request.body()).decode())
            for path in paths:
                self.objects.pop(path, None)
            deleted = "".join(f"<Deleted><Key>{escape(path)}</Key></Deleted>" for path in paths)
            return Response(f"<DeleteResult {_SPACE}>{deleted}</DeleteResult>", media_type="application/xml")
        prefix = request.query_params.get("prefix", "")
        found = "".join(
            f"<Contents><Key>{escape(path)}</Key><LastModified>2026-11-26T10:00:00.000Z</LastModified>"
            f'<ETag>"x"</ETag><Size>{len(body)}</Size></Contents>'
            for path, body in self.objects.items()
            if path.startswith(prefix)
        )
        listed = f"<ListBucketResult {_SPACE}><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        return Response(listed, media_type="application/xml")
