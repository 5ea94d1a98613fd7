"""Scanners for malware: a real clamd that knows one signature, of the EICAR test file; and the file, which no scanner of this repository should find; a server of the test's own."""

from __future__ import annotations

import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.pipeline.malware import Scanner

EICAR = b"".join((b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-", b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"))
MOST_BYTES = 1 << 20


@contextmanager
def run_clamd(folder: Path) -> Iterator[str]:
    """Run clamd until the block ends; yield the path of its socket. It accepts documents of 1 MB."""
    (folder / "signatures").mkdir()
    (folder / "signatures" / "test.ndb").write_text(f"Eicar-Test:0:*:{EICAR.hex()}\n")
    path = folder / "clamd.sock"
    settings = {
        "LocalSocket": path, "DatabaseDirectory": folder / "signatures", "Foreground": "yes", "StreamMaxLength": MOST_BYTES,
        "TemporaryDirectory": folder, "LogFile": folder / "clamd.log", "MaxThreads": 1,
    }  # fmt: skip
    (folder / "clamd.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with subprocess.Popen(["clamd", "--config-file", str(folder / "clamd.conf")], stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 60
            while not path.exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            assert path.exists(), (folder / "clamd.log").read_text()
            yield str(path)
        finally:
            process.kill()


@contextmanager
def serve_scanner(handler: type[socketserver.StreamRequestHandler]) -> Iterator[Scanner]:
    """Serve connections to a scanner of the test's own until the block ends."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Scanner("127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()
