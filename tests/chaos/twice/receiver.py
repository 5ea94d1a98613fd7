"""An HTTP receiver on this machine that keeps every alert and every event that is posted to it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Accepts every call.

    Attributes:
        alerts: Title and body of each alert, in the order of arrival.
        events: Id of each event, in the order of arrival.
    """

    def __init__(self) -> None:
        self.alerts: list[tuple[str, str]] = []
        self.events: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path.startswith("/alerts"):
                    receiver.alerts.append((body["title"], body["message"]))
                else:
                    receiver.events.append(self.headers["webhook-id"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
