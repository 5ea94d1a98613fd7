"""A real PgBouncer before a database server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.postgres import Postgres
from local.processes import find_free_port
from local.server_user import find_server_ids, is_root
from tests.conftest import PASSWORDS, Database

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer: apt install pgbouncer")


@dataclass(frozen=True)
class Pooled(Database):
    """A database whose roles connect through a pool; the test itself connects directly."""

    port: int = 0

    def url(self, role: str = "tributary_load") -> str:
        return f"postgresql://{role}:{PASSWORDS[role]}@127.0.0.1:{self.port}/{self.admin_url.rsplit('/', 1)[1]}"


@contextmanager
def run_pgbouncer(postgres: Postgres, mode: str, size: int = 5, **settings: str) -> Iterator[int]:
    """Run PgBouncer until the block ends; yield its port. Root runs it as another user, because it refuses to run as root."""
    assert PROGRAM is not None
    port = find_free_port()
    user, group = find_server_ids()
    with tempfile.TemporaryDirectory(prefix="tributary-pgbouncer-") as name:
        folder = Path(name)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text("".join(f'"{role}" "{password}"\n' for role, password in PASSWORDS.items()))
        lines = {
            "listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "", "auth_type": "plain", "auth_file": users,
            "pool_mode": mode, "default_pool_size": size, "max_client_conn": 200, "logfile": folder / "log", **settings,
        }  # fmt: skip
        text = "".join(f"{setting} = {value}\n" for setting, value in lines.items())
        config.write_text(f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n{text}")
        as_user = {"user": user, "group": group, "extra_groups": []} if is_root() else {}
        for path in (folder, users, config):
            os.chown(path, user, group)
        with subprocess.Popen([PROGRAM, "--quiet", str(config)], cwd="/", **as_user) as process:  # type: ignore[call-overload]
            try:
                _wait(port, process)
                yield port
            finally:
                process.kill()  # at SIGTERM it waits for its clients


def pool(database: Database, port: int) -> Pooled:
    """Return a database as its roles reach it through a pool."""
    return Pooled(database.admin_url, port)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise AssertionError("PgBouncer does not answer")
