"""An application that listens over TLS, with a certificate authority of its own."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import trustme
from starlette.types import ASGIApp

from tests.running_server import run_server


@contextlib.contextmanager
def serve_tls(app: ASGIApp, folder: Path) -> Iterator[str]:
    """Run an application until the block ends; yield its host and port. The authority is in `folder`/ca.pem."""
    authority = trustme.CA()
    leaf, chain = authority.issue_cert("127.0.0.1"), folder / "leaf.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(str(chain))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    close = [("Connection", "close")]  # otherwise the server's shutdown waits for the client's kept-alive connections
    with run_server(app, [listener], ssl_certfile=str(chain), headers=close):
        yield f"127.0.0.1:{listener.getsockname()[1]}"
