"""The book at an address of this machine, sent as a public server sends it: compressed, over lasting connections."""

from __future__ import annotations

import functools
import gzip
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

PACKED = {".css", ".html", ".ipynb", ".js", ".json", ".svg", ".txt", ".xml"}
"""Kinds of files that become smaller; pictures, fonts and archives are packed already."""


@functools.lru_cache(maxsize=256)
def pack(path: Path, changed: int) -> bytes:
    """A file's content, compressed; `changed` is when it last was (ns), so that a new content is packed anew."""
    return gzip.compress(path.read_bytes(), mtime=0)


class BookHandler(SimpleHTTPRequestHandler):
    """Files of a folder, compressed where the browser takes it."""

    protocol_version = "HTTP/1.1"

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        path = Path(self.translate_path(self.path))
        accepted = {part.partition(";")[0].strip() for part in self.headers.get("Accept-Encoding", "").split(",")}
        if path.suffix not in PACKED or "gzip" not in accepted or not path.is_file():
            return super().send_head()
        content = pack(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        return io.BytesIO(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for each request."""


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of this folder that is not yet running; port 0 picks a free one."""
    handler = functools.partial(BookHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True  # a connection that a browser keeps open must not keep this process
    return server


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port while the context lasts; gives the address, without a slash at its end."""
    with make_server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
