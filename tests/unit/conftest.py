"""What unit tests share: an HTTP server for notices."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.server.slow:
            time.sleep(5)
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.server.broken else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    """A real server, which keeps what it `got`; it can be `slow` or `broken`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.broken, server.slow = [], False, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
