"""Two ways to back up a server and restore it to a time: with pgBackRest as in production, and with PostgreSQL's own tools.

The second needs nothing but the test's PostgreSQL, so it runs everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from include.errors import TargetUnavailable
from include.recovery.pgbackrest import PgBackRest
from local.postgres import Postgres, _find_binaries
from local.server_user import find_server_ids, is_root, make_own_folder

ROOT = Path(__file__).parents[2]
KEY = "only-for-tests"
"""Encrypts the backups of pgBackRest."""


class Archive(ABC):
    """The backups and the archived WAL of one server, in a folder that the server's user can reach."""

    archive_command: str

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.folder, self._url = server, folder, server.url("postgres")
        for each in (folder, folder / "repository"):
            make_own_folder(each)
        self._configure()
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("alter system set archive_mode = on")
            connection.execute(f"alter system set archive_command = '{self.archive_command}'")
        server.stop()
        Postgres.start(server.data_dir, server.port)

    @abstractmethod
    def _configure(self) -> None:
        """Prepare what the archive command needs."""

    @abstractmethod
    def back_up(self) -> str:
        """Take a backup with a fingerprint; return what `list_backups` returns."""

    @abstractmethod
    def list_backups(self) -> str:
        """Return what `pgbackrest info --output=json` prints."""

    @abstractmethod
    def restore(self, cluster: Path, to: str | None = None) -> None:
        """Restore files and recovery settings into the empty folder of a cluster."""

    def switch_wal(self) -> None:
        """Let the server archive all that was committed, and wait for it."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            [name] = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone() or [""]
            archived = "select coalesce(last_archived_wal >= %s, false) from pg_stat_archiver"
            wait_until(lambda: connection.execute(archived, [name]).fetchone() == (True,))

    def start_restored(self, data_dir: Path, to: str | None = None) -> Postgres:
        """Restore into a new server's folder, start it, and wait until it has recovered to that time; else to the end of the archive."""
        data_dir.mkdir()
        data_dir.chmod(0o711)
        shutil.copy(self.folder / "passwords.json", data_dir)
        make_own_folder(data_dir / "cluster")
        self.restore(data_dir / "cluster", to)
        restored = Postgres.start(data_dir)
        with psycopg.connect(restored.url("postgres"), autocommit=True) as connection:
            wait_until(lambda: connection.execute("select pg_is_in_recovery()").fetchone() == (False,))
        return restored

    def keep_passwords(self) -> None:
        """Keep the firm's secrets apart from the server, as a firm must."""
        shutil.copy(self.server.data_dir / "passwords.json", self.folder)

    def fingerprint(self) -> str:
        """Return the database's fingerprint, as docker/backup.sh takes it."""
        with psycopg.connect(self.server.url("tributary")) as connection:
            return json.dumps((connection.execute("select control.fingerprint()").fetchone() or [None])[0])

    def run(self, *command: str | Path) -> str:
        """Run a program as the server's user."""
        user, group = find_server_ids() if is_root() else (None, None)
        password = urlsplit(self._url).password or ""
        login = {"PGHOST": "127.0.0.1", "PGPASSWORD": password, "PGPORT": str(self.server.port)}
        done = subprocess.run(
            list(map(str, command)), cwd="/", user=user, group=group, extra_groups=[] if is_root() else None, text=True,
            env={"PATH": os.defpath, "LC_ALL": "C"} | login, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise TargetUnavailable(f"{done.stdout}\n{done.stderr}")
        return done.stdout


class OwnTools(Archive):
    """PostgreSQL's own pg_basebackup, and an archive command that copies. (The wheel's pg_verifybackup crashes.)"""

    @property
    def archive_command(self) -> str:  # type: ignore[override]
        return f"test ! -f {self.folder}/repository/%f && cp %p {self.folder}/repository/%f"

    def _configure(self) -> None:
        """The archive command needs no settings."""

    def back_up(self) -> str:
        fingerprint, target = self.fingerprint(), self.folder / "backup"
        program = _find_binaries() / "pg_basebackup"
        self.run(program, "--username=postgres", f"--pgdata={target}", "--checkpoint=fast", "--wal-method=none")
        self._backups = json.dumps([{"backup": [{"annotation": {"fingerprint": fingerprint}}]}])
        return self._backups

    def list_backups(self) -> str:
        return self._backups

    def restore(self, cluster: Path, to: str | None = None) -> None:
        self.run("cp", "-a", f"{self.folder}/backup/.", cluster)
        settings = {
            "restore_command": f"cp {self.folder}/repository/%f %p",
            "archive_mode": "off",
        }
        if to:
            settings |= {"recovery_target_time": to, "recovery_target_action": "promote"}
        with (cluster / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.run("touch", cluster / "recovery.signal")


class WithPgBackRest(Archive):
    """pgBackRest with production's settings."""

    @property
    def archive_command(self) -> str:  # type: ignore[override]
        return f"{self._command} archive-push %p"

    @property
    def _command(self) -> str:
        return f"{self._program} --config={self.folder}/pgbackrest.conf --stanza=tributary"

    def _configure(self) -> None:
        self._program = shutil.which("pgbackrest") or pytest.skip("pgbackrest is not here: apt-get install pgbackrest")
        text = (ROOT / "docker" / "pgbackrest.conf").read_text()
        for ours, here in {
            "repo1-path=/var/lib/pgbackrest": f"repo1-path={self.folder}/repository\nrepo1-cipher-pass={KEY}",
            "pg1-path=/var/lib/postgresql/18/docker": f"pg1-path={self.server.data_dir.resolve()}/cluster\npg1-port={self.server.port}",
            "lock-path=/tmp/pgbackrest\nspool-path=/tmp/pgbackrest_spool": f"lock-path={self.folder}/lock\nspool-path={self.folder}/spool",
        }.items():
            assert text.count(ours) == 1
            text = text.replace(ours, here)
        (self.folder / "pgbackrest.conf").write_text(text)

    def back_up(self) -> str:
        self._run("stanza-create")
        self._run("check")
        self._run("backup", "--type=full")
        self._run("backup", "--type=incr", f"--annotation=fingerprint={self.fingerprint()}")
        self._run("verify")
        return self.list_backups()

    def list_backups(self) -> str:
        return self._backups.list_backups()

    def restore(self, cluster: Path, to: str | None = None) -> None:
        self._backups.restore(cluster, to)

    @property
    def _backups(self) -> PgBackRest:
        return PgBackRest(tuple(self._command.split()), self.run)

    def _run(self, *arguments: str) -> str:
        return self.run(*self._command.split(), *arguments)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait up to a minute until a condition holds."""
    last = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < last, "the condition was not met within a minute"
        time.sleep(0.1)
