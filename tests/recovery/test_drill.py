"""A drill: the server is destroyed in the middle of a load, restored to an earlier time, and checked before anything runs."""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from include import cli
from include.errors import TributaryError
from include.pipeline import vendor_day
from include.pipeline.run import Run
from include.staging.partitions import Partition
from include.vendors import named
from local.postgres import Postgres
from tests.conftest import Database, Firm, create_database
from tests.firm_keys import write_keyring
from tests.recovery.archives import Archive, OwnTools, WithPgBackRest, wait_until
from tests.running_sandbox import LAST, NOW, run_sandbox

DAYS = [date(2026, 11, 18), date(2026, 11, 19), LAST, date(2026, 11, 23)]


def read_marts(database: Database) -> dict[str, list[dict[str, object]]]:
    """Read each mart that shows money or counts, whole."""
    names = ("aum_by_household", "aum_by_representative", "aum_by_asset_class", "net_flows", "net_worth", "freshness")
    return {name: sorted(database.rows(f"select * from mart.{name}"), key=str) for name in names}


def load_day(firm: Firm, day: date) -> None:
    firm.publish(*stage_day(firm, day))


def stage_day(firm: Firm, day: date) -> tuple[Run, dict[str, Partition]]:
    firm.turn_to(NOW + (day - LAST))
    run = firm.new_run(day)
    partitions = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    return run, partitions


def add_grant(database: Database) -> None:
    database.do("""
        insert into control.refresh_token (vendor, grant_name, first_hash, sealed) values ('nitrogen', '8101', 'x', 'test:y')
    """)


def destroy_during_a_load(server: Postgres, database: Database, firm: Firm, day: date) -> None:
    """Destroy the server while the transaction of a day's load is open: all rows are written, and a lock delays the reconciliation."""
    run, partitions = stage_day(firm, day)
    with closing(psycopg.connect(server.url("tributary"))) as holder, ThreadPoolExecutor() as pool:
        holder.execute("lock table control.reconciliation in access exclusive mode")
        loading = pool.submit(firm.publish, run, partitions)
        wait_until(lambda: bool(database.value("select exists (select from pg_locks where not granted)")))
        destroy(server)
    firm.engine.dispose()
    database.close()
    assert isinstance(loading.exception(), TributaryError | sa.exc.DBAPIError)


def destroy(server: Postgres) -> None:
    """Kill every process of the server at once and delete its folder, as when a host is lost."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([postmaster], timeout=20)
    shutil.rmtree(server.data_dir.resolve())


@pytest.mark.long
@pytest.mark.parametrize("kind", [OwnTools, WithPgBackRest])
def test_a_destroyed_server_is_restored_to_a_time_to_the_cent(
    kind: type[Archive],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Postgres.start(folder / "firm")
    database = create_database(server, "tributary")
    archive = kind(server, folder / "archive")
    archive.keep_passwords()
    with run_sandbox(tmp_path / "sandbox") as sandbox:
        firm = Firm(named("orion"), sandbox, database, tmp_path)
        load_day(firm, DAYS[0])
        add_grant(database)
        backups = archive.back_up()
        load_day(firm, DAYS[1])
        expected, time = read_marts(database), database.value("select clock_timestamp()")
        load_day(firm, DAYS[2])
        archive.switch_wal()
        assert read_marts(database) != expected
        destroy_during_a_load(server, database, firm, DAYS[3])

    restored = archive.start_restored(folder / "again", time.isoformat(sep=" "))
    found = Database(restored.url("tributary"))
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", found.url("tributary_migrate"))
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    (tmp_path / "info.json").write_text(backups)

    assert cli.main(["check-restore", str(tmp_path / "info.json"), time.isoformat()]) == 0, capsys.readouterr()
    assert read_marts(found) == expected
    assert found.value("select count(stale_since) from control.refresh_token") == 1
    assert found.value("select count(*) from control.restore where read_back_at is null") == 1
    found.close()
