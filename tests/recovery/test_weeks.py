"""Three weeks of a firm whose server is lost in the middle of a load: restored and run again, it equals an undisturbed twin to the cent."""

from __future__ import annotations

import logging
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from include import business_dates, cli
from include.vendors import named
from local import warehouse_rows
from local.postgres import Postgres
from tests.chaos import compare
from tests.conftest import Database, Firm, create_database
from tests.firm_keys import write_keyring
from tests.recovery.archives import Archive, OwnTools, WithPgBackRest
from tests.recovery.test_drill import destroy_during_a_load, load_day
from tests.running_sandbox import LAST, NOW, run_sandbox

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
log = logging.getLogger(__name__)

DAYS = business_dates.list_trading_days(date(2026, 11, 2), LAST)
BACKED_UP, LOST = DAYS[5], DAYS[10]
"""The last day in the backup, and the day whose load dies. Production archives the log every minute, so all loads before it are in the archive."""


@pytest.mark.parametrize("kind", [OwnTools, WithPgBackRest])
def test_after_a_restore_and_reruns_three_weeks_equal_an_undisturbed_twin(
    kind: type[Archive], folder: Path, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(DAYS) == 15
    server = Postgres.start(folder / "firm")
    database, twin_database = (
        create_database(server, "tributary"),
        create_database(postgres, f"twin_{kind.__name__}".lower()),
    )
    archive = kind(server, folder / "archive")
    archive.keep_passwords()
    with run_sandbox(tmp_path / "sandbox", households=60, now=NOW + (DAYS[0] - LAST)) as sandbox:
        twin = Firm(named("orion"), sandbox, twin_database, tmp_path / "twin")
        firm = Firm(named("orion"), sandbox, database, tmp_path / "firm")
        for day in DAYS[: DAYS.index(LOST)]:
            load_day(firm, day)
            load_day(twin, day)
            if day == BACKED_UP:
                backups = archive.back_up()
        archive.switch_wal()
        destroy_during_a_load(server, database, firm, LOST)
        lost_at, lost = datetime.now(UTC), time.monotonic()

        restored = archive.start_restored(folder / "again")
        found = Database(restored.url("tributary"))
        monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", found.url("tributary_migrate"))
        monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
        (tmp_path / "info.json").write_text(backups)
        assert cli.main(["check-restore", str(tmp_path / "info.json"), lost_at.isoformat()]) == 0
        log.warning("RPO: the load that died; RTO %.1f s", time.monotonic() - lost)
        assert found.value("select business_date from mart.day_in_force") == DAYS[DAYS.index(LOST) - 1]

        again = Firm(named("orion"), sandbox, found, tmp_path / "firm", now=firm.now, runs=firm._runs)
        for day in DAYS[DAYS.index(LOST) :]:
            load_day(again, day)
            load_day(twin, day)
        ours, theirs = (compare.read(each.admin_url, sandbox.url, []) for each in (found, twin_database))
        again.engine.dispose()
        twin.engine.dispose()
    assert ours["warehouse.position"].total() > 1000
    assert warehouse_rows.find_differences({"ours": ours, "theirs": theirs}) == []
    found.close()
    twin_database.close()
