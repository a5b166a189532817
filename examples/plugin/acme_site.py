"""A substitute for Acme's web site, for tests and first tries: `python acme_site.py` serves it on port 8090."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class AcmeSite(ThreadingHTTPServer):
    """Stores one note per idempotency key, even if it is posted several times."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.notes: dict[str, dict[str, str]] = {}
        self.posts: list[str] = []
        self.faults: list[int] = []

    def answer(self, key: str, note: dict[str, str]) -> tuple[int, dict[str, str]]:
        """Status and body of the response to a post. The statuses in `faults` are returned first."""
        self.posts.append(key)
        if self.faults:
            return self.faults.pop(0), {}
        self.notes.setdefault(key, note)
        return 201, {"url": f"{self.url}/notes/{note['version']}"}


class _Handler(BaseHTTPRequestHandler):
    server: AcmeSite

    def do_POST(self) -> None:
        note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.answer(self.headers["Idempotency-Key"], note)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with AcmeSite(8090) as site:
        print(f"Acme's site: {site.url}", flush=True)
        site.serve_forever()
