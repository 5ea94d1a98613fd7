"""The monthly drill: the newest backup is restored into a scratch server, checked, measured and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from include.errors import TargetUnavailable
from include.keys import register
from include.keys.keyring import Keyring
from include.recovery import drill
from include.warehouse import schema
from local.postgres import Postgres, _find_binaries
from local.server_user import make_own_folder
from tests.conftest import create_database
from tests.firm_keys import KEYRING, write_keyring
from tests.recovery.archives import Archive, OwnTools, WithPgBackRest

pytestmark = pytest.mark.long


@pytest.fixture(params=[OwnTools, WithPgBackRest])
def archive(request: pytest.FixtureRequest, folder: Path) -> Archive:
    """The archive of a server with one backup, after which more was written."""
    server = Postgres.start(folder / "firm")
    database = create_database(server, "tributary")
    engine = schema.engine(database.url("tributary_migrate"))
    register.add(engine, KEYRING)
    engine.dispose()
    archive: Archive = request.param(server, folder / "archive")
    archive.back_up()
    database.do("insert into control.backup (known_at, kind) values (now(), 'full')")
    database.close()
    archive.switch_wal()
    make_own_folder(folder / "scratch")
    return archive


def run(archive: Archive, keyring: Keyring = KEYRING) -> drill.Drill:
    scratch = archive.folder.parent / "scratch"
    result = drill.drill(archive, _find_binaries(), scratch, keyring, archive.run)
    assert list(scratch.iterdir()) == []
    return result


def list_scratch_servers(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder / "scratch") in part for part in process.info["cmdline"] or ())
    ]


def test_the_newest_backup_is_restored_checked_measured_and_deleted(archive: Archive, engine: sa.Engine) -> None:
    started = datetime.now(UTC)
    result = run(archive)
    assert result.problems == []
    assert result.known_at < result.recovered_to < started
    assert 0 < result.rpo_seconds < result.rto_seconds + 60
    assert list_scratch_servers(archive.folder.parent) == []
    drill.record(engine, "r", result)
    with engine.connect() as connection:
        [row] = connection.execute(sa.text("select rpo_seconds, problems from control.recovery_drill")).all()
    assert tuple(row) == (result.rpo_seconds, [])


def test_a_backup_that_differs_is_reported(archive: Archive) -> None:
    [problem] = [line for line in run(archive, Keyring.parse(write_keyring("another"))).problems if "keys" in line]
    assert problem.startswith("keys: A key differs")


def test_a_restore_that_fails_leaves_nothing_behind(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def restore_half(cluster: Path, to: str | None = None) -> None:
        archive.run("touch", cluster / "PG_VERSION")

    monkeypatch.setattr(archive, "restore", restore_half)
    with pytest.raises(TargetUnavailable, match="The restored server does not start"):
        run(archive)
    assert list((archive.folder.parent / "scratch").iterdir()) == []
