"""A control API that answers what it is told to, on a Unix-domain socket, and remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Asked:
    method: str
    path: str
    body: Any


@attrs.frozen
class Answer:
    content: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def json(cls, document: Any, status: int = 200, kind: str = "application/json") -> Answer:
        return cls(json.dumps(document).encode(), status, kind)


class StubServer:
    """`answers` maps ``METHOD /path`` to what is answered. Use it as a context manager."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.client_address = ("", 0)
                super().handle_one_request()

            def do(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(content) if self.headers.get("Content-Type") == "application/json" else content
                stub.asked.append(Asked(self.command, self.path, body))
                answer = stub.answers.get(f"{self.command} {self.path.partition('?')[0]}", Answer.json({"title": "not there"}, 404))
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.kind, "Content-Length": str(len(answer.content)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, format: str, *arguments: Any) -> None:
                """Silent."""

        self._server = socketserver.ThreadingUnixStreamServer(str(socket), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> StubServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
