"""A restore drill: restore the newest backup into a scratch server, run the checks of a restored database, and delete the server.

The scratch server listens only on a Unix socket, in a folder that only its own user can enter. It archives nothing.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import sqlalchemy as sa

from include.errors import TargetUnavailable
from include.keys.keyring import Keyring
from include.recovery import check
from include.recovery.pgbackrest import Run, run_program
from include.warehouse import schema

_PREFIX = "drill-"
_INSTALLED = Path("/usr/lib/postgresql")
# Recovery must not depend on settings of the production server, such as its number of connections.
_SETTINGS = "-c listen_addresses='' -c port=5432 -c hot_standby=off -c archive_mode=off -c ssl=off -c timezone=UTC -c lock_timeout=1min -c shared_buffers=128MB -c shared_preload_libraries=''"
_RECOVERED_TO = sa.text("select pg_last_xact_replay_timestamp()")
_RECORD = sa.text("""
insert into control.recovery_drill (run_id, started_at, known_at, recovered_to, rpo_seconds, rto_seconds, problems)
values (:run_id, :started_at, :known_at, :recovered_to, :rpo_seconds, :rto_seconds, :problems)
on conflict (run_id) do nothing
""")


class Backups(Protocol):
    """The backups of one server; see `include.recovery.pgbackrest`."""

    def list_backups(self) -> str:
        """Return the backups with their annotations, as `pgbackrest info --output=json` does."""

    def restore(self, cluster: Path, to: str | None = None) -> None:
        """Restore the newest backup into an empty folder, to a time or to the last transaction in the archive."""


@dataclass(frozen=True, slots=True)
class Drill:
    """Result of a drill.

    Attributes:
        started_at: When the drill started.
        known_at: Time of the fingerprint with which the restored database was compared.
        recovered_to: The last transaction that was restored.
        rpo_seconds: Age of that transaction at the start of the drill. If the host had been lost then, later changes
            would be lost.
        rto_seconds: Duration of the restore, the recovery and the checks.
        problems: One line per problem, as `check-restore` prints; empty if the database is as it was.
    """

    started_at: datetime
    known_at: datetime
    recovered_to: datetime
    rpo_seconds: float
    rto_seconds: float
    problems: list[str]

    def __str__(self) -> str:
        """Return one line: `restored to 2026-12-01 07:59:12 UTC: RPO 48 s, RTO 312 s, 0 problems`."""
        measured = f"RPO {self.rpo_seconds:.0f} s, RTO {self.rto_seconds:.0f} s"
        return f"restored to {self.recovered_to:%Y-%m-%d %H:%M:%S} UTC: {measured}, {len(self.problems)} problems"


def find_programs() -> Path | None:
    """Return the folder of the PostgreSQL server's programs; None if the server or pgBackRest is not installed."""
    programs = _INSTALLED / str(schema.OLDEST_SERVER) / "bin"
    return programs if (programs / "pg_ctl").exists() and shutil.which("pgbackrest") else None


def drill(backups: Backups, programs: Path, folder: Path, keyring: Keyring, run: Run = run_program) -> Drill:
    """Restore the newest backup below a folder, check it, and delete the restored database. Partitions in staging are not checked.

    Args:
        backups: The backups.
        programs: Folder of the programs of a PostgreSQL server of the major version that made the backup.
        folder: A folder with space for the whole database. Remains of an interrupted drill in it are removed.
        keyring: The firm's keys.
        run: Runs the programs, as the user of the scratch server.

    Raises:
        ConfigurationError: No backup has a fingerprint.
        TargetUnavailable: The restore failed, or the server did not start.
    """
    started_at = datetime.now(UTC)
    for remains in folder.glob(f"{_PREFIX}*"):
        _remove(programs, remains, run)
    fingerprint = check.find_fingerprint(backups.list_backups(), started_at)
    known_at = datetime.fromisoformat(fingerprint["known_at"])
    scratch = folder / f"{_PREFIX}{secrets.token_hex(4)}"
    try:
        started = time.monotonic()
        run("mkdir", "-m", "0700", scratch, scratch / "cluster", scratch / "socket")
        backups.restore(scratch / "cluster")
        with _serve(programs, scratch, run) as engine:
            with engine.connect() as connection:
                recovered_to: datetime = connection.scalar(_RECOVERED_TO) or known_at
            problems = check.check(engine, keyring, fingerprint)
            rto = time.monotonic() - started
    finally:
        _remove(programs, scratch, run)
    rpo = (started_at - recovered_to).total_seconds()
    return Drill(started_at, known_at, recovered_to, max(0.0, rpo), rto, problems)


def record(engine: sa.Engine, run_id: str, result: Drill) -> None:
    """Record the result of a drill. If the run has a result already, that one stays unchanged."""
    with engine.begin() as connection:
        connection.execute(_RECORD, asdict(result) | {"run_id": run_id})


@contextmanager
def _serve(programs: Path, scratch: Path, run: Run) -> Iterator[sa.Engine]:
    """Start the scratch server, wait until it has recovered, and yield an engine as the migrating role."""
    socket = scratch / "socket"
    (scratch / "hba.conf").write_text("local all all trust\n")
    settings = f"{_SETTINGS} -c unix_socket_directories='{socket}' -c hba_file='{scratch}/hba.conf'"
    log = scratch / "cluster" / "drill.log"
    control = (programs / "pg_ctl", f"--pgdata={scratch / 'cluster'}")
    try:
        run(*control, f"--log={log}", f"--options={settings}", "--wait", "--timeout=86400", "start")
        while not _is_ready(scratch / "cluster"):  # it still replays the log
            run(*control, "status")  # raises if the server has ended
            time.sleep(0.2)
    except TargetUnavailable:
        text = log.read_text(errors="replace")[-500:] if log.exists() else ""
        raise TargetUnavailable(
            f"The restored server does not start: make a full backup, and run the drill again. The end of its log: {text}"
        ) from None
    engine = schema.engine(
        f"postgresql://tributary_migrate@/tributary?host={quote(str(socket), safe='')}", any_version=True
    )
    try:
        yield engine
    finally:
        engine.dispose()


def _is_ready(cluster: Path) -> bool:
    """Return whether a server has recovered and accepts connections: line 8 of its file `postmaster.pid` states its status."""
    with suppress(FileNotFoundError, IndexError):
        return (cluster / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    return False


def _remove(programs: Path, scratch: Path, run: Run) -> None:
    """Stop the server of a scratch folder, if it runs, and delete the folder."""
    with suppress(TargetUnavailable):
        run(programs / "pg_ctl", f"--pgdata={scratch / 'cluster'}", "--mode=immediate", "--wait", "stop")
    shutil.rmtree(scratch, ignore_errors=True)
