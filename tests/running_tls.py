"""An application that listens over TLS, with a certificate authority of its own."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import trustme
import uvicorn
from starlette.types import ASGIApp


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
    config = uvicorn.Config(app, log_level="warning", access_log=False, ssl_certfile=str(chain), headers=close)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()
