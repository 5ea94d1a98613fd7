"""Contents of the daily digest and of a run's warning; neither is sent if there is nothing to report."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from include.control.digest import (
    find_breaks,
    find_dead_letters,
    find_held_back,
    find_last,
    find_rejected,
    write_digest,
    write_warning,
)
from tests.conftest import Database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = date(2026, 11, 25)
PRICE = "price: -1 is below 0"


def die(
    database: Database, key: str | None, at: datetime, run: str = "r", reasons: tuple[str, ...] = (PRICE,), **more: str
) -> None:
    """Insert a dead letter of `orion.assets`, open by default."""
    values = {"status": "open", "table": "assets", "part": f"{key}-{at.isoformat()}"} | more
    database.do(
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part,"
        " row_number, status, died_at) values (:run, 'orion', :table, :day, 'validate', :key, :reasons, :run, :part, 0, :status, :at)",
        run=run, day=DAY, key=key, reasons=list(reasons), at=at, **values,
    )  # fmt: skip


def check(database: Database, name: str, breaks: int, explained: int, is_passed: bool, **more: object) -> None:
    values = {"run": "r", "at": NOW, "day": DAY} | more
    database.do(
        "insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, explained,"
        " is_passed, checked_at) values (:run, 'orion', :day, :name, 50750316.19, 49981105.69, 0.01, :breaks, :explained, :passed, :at)",
        name=name, breaks=breaks, explained=explained, passed=is_passed, **values,
    )  # fmt: skip


def load(database: Database, run: str, at: datetime, day: date = DAY, pulled: str = "current") -> None:
    database.do(
        "insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,"
        " recorded_at) values (nextval('control.ledger_id'), :run, 'orion', 'assets', 'position', :day, 'load', :run, :pulled, :at, :at)",
        run=run, day=day, pulled=pulled, at=at,
    )  # fmt: skip


def test_nothing_to_report_is_an_empty_digest_and_no_warning(database: Database, engine: sa.Engine) -> None:
    die(database, "1", NOW, status="replayed")
    check(database, "control_total", 0, 0, True)
    load(database, "r", NOW - timedelta(hours=9))
    assert (write_digest(engine, NOW), write_warning(engine, "r", "orion")) == ("", "")


def test_open_dead_letters_are_counted_by_table_with_the_commonest_reasons(
    database: Database, engine: sa.Engine
) -> None:
    for n in range(3):
        die(database, f"old {n}", NOW - timedelta(days=3))
    for n in range(2):
        die(database, f"new {n}", NOW, reasons=("date: none", PRICE))
    die(database, "p", NOW, table="accounts", reasons=("a", "b", "c", "d"))
    accounts, assets = find_dead_letters(engine, NOW - timedelta(days=1))
    assert (assets.table, assets.open, assets.new, assets.since) == ("assets", 5, 2, NOW - timedelta(days=3))
    assert assets.reasons == (PRICE, "date: none")
    assert str(assets) == (f"orion.assets: 5 dead letters open, 2 new, the oldest of 2026-11-24: {PRICE}; date: none")
    assert str(accounts).endswith(": a; b; c; ...")


def test_a_row_that_was_dead_before_for_the_same_reasons_is_not_new(database: Database, engine: sa.Engine) -> None:
    die(database, "1", NOW - timedelta(days=2), status="superseded")
    die(database, "1", NOW, run="today")
    assert [each.new for each in find_dead_letters(engine, NOW - timedelta(days=1))] == [0]
    assert write_warning(engine, "today", "orion") == ""
    die(database, "1", NOW, run="later", reasons=("price: none",))
    assert "orion.assets: 1 dead letters open, 1 new" in write_warning(engine, "later", "orion")


def test_a_row_that_was_replayed_and_dies_again_is_new(database: Database, engine: sa.Engine) -> None:
    die(database, "1", NOW - timedelta(days=2), status="replayed")
    die(database, "1", NOW, run="today")
    assert "1 new" in write_warning(engine, "today", "orion")


def test_a_warning_is_about_its_run_alone(database: Database, engine: sa.Engine) -> None:
    die(database, "1", NOW, run="another")
    check(database, "control_total", 2, 2, True, run="another")
    assert write_warning(engine, "r", "orion") == ""
    assert write_warning(engine, "another", "orion").splitlines() == [
        "New dead letters:",
        f"- orion.assets: 1 dead letters open, 1 new, the oldest of 2026-11-27: {PRICE}",
        "Reconciliation: breaks of this run:",
        "- orion 2026-11-25 control_total: 2 breaks, 2 explained by dead letters; expected 50,750,316.19, actual 49,981,105.69",
    ]


def test_a_warning_is_about_its_vendor_alone(database: Database, engine: sa.Engine) -> None:
    """Vendors with the same schedule have runs of the same id."""
    die(database, "1", NOW)
    check(database, "control_total", 2, 2, True)
    assert write_warning(engine, "r", "tamarac") == ""


def test_outflows_in_dead_letters_do_not_cancel_inflows(database: Database, engine: sa.Engine) -> None:
    for key, money in (("in", 600_000), ("out", -600_000)):
        die(database, key, NOW)
        database.do("update control.dead_letter set money_usd = :money where row_key = :key", key=key, money=money)
    assert "with $1,200,000.00" in write_digest(engine, NOW)


def test_explained_breaks_and_failed_checks_are_reported_by_their_newest_check(
    database: Database, engine: sa.Engine
) -> None:
    check(database, "control_total", 17, 17, True)
    check(database, "roll_forward", 3, 0, False)
    check(database, "accounts", 0, 0, True)
    check(database, "cash", 2, 0, False, run="first")
    check(database, "cash", 0, 0, True, run="again", at=NOW + timedelta(minutes=1))
    check(database, "old", 1, 1, True, at=NOW - timedelta(days=9))
    breaks = find_breaks(engine, NOW - timedelta(days=1))
    assert [(each.check, each.is_passed) for each in breaks] == [("control_total", True), ("roll_forward", False)]
    assert "NOT RECONCILED" in str(breaks[1])


def test_a_vendor_is_held_back_while_its_newest_load_is_not_reconciled(database: Database, engine: sa.Engine) -> None:
    loaded_at = NOW - timedelta(hours=5)
    load(database, "first", loaded_at - timedelta(days=1), DAY - timedelta(days=1))
    load(database, "r", loaded_at)
    [notice] = find_held_back(engine, NOW)
    assert (notice.vendor, notice.business_date, notice.since, notice.is_off) == ("orion", DAY, loaded_at, False)
    check(database, "control_total", 3, 0, False)
    assert str(find_held_back(engine, NOW)[0]) == (
        "orion 2026-11-25: held back since 2026-11-27 07:00 UTC, reconciliation failed"
    )
    assert "Held back from Salesforce:\n- orion" in write_digest(engine, NOW)
    database.do("delete from control.reconciliation")
    check(database, "control_total", 0, 0, True)
    assert find_held_back(engine, NOW) == []


def test_vendor_that_the_firm_no_longer_uses_is_neither_held_back_nor_rejected(
    database: Database, engine: sa.Engine
) -> None:
    load(database, "r", NOW - timedelta(hours=5))
    database.do(
        "insert into control.rejection (run_id, vendor, business_date, step, reason, recorded_at) values ('r2', 'orion', :day, 'load', 'x', :at)",
        day=DAY, at=NOW - timedelta(hours=4),
    )  # fmt: skip
    assert (len(find_held_back(engine, NOW)), len(find_rejected(engine))) == (1, 1)
    database.do("insert into control.unused_vendor (vendor) values ('orion')")
    assert (find_held_back(engine, NOW), find_rejected(engine)) == ([], [])


def test_a_load_whose_run_is_under_way_is_not_held_back(database: Database, engine: sa.Engine) -> None:
    load(database, "r", NOW - timedelta(minutes=30))
    assert find_held_back(engine, NOW) == []


def test_new_is_counted_from_the_last_digest_that_was_sent(database: Database, engine: sa.Engine) -> None:
    assert find_last(engine, NOW) is None
    friday = NOW - timedelta(days=3)
    for run, sent_at in (("1", friday - timedelta(days=1)), ("2", friday), ("3", None)):
        database.do(
            "insert into control.alert (kind, run_id, title, recorded_at, sent_at) values ('digest', :run, 'Daily digest', :at, :sent)",
            run=run, at=(sent_at or NOW) - timedelta(seconds=30), sent=sent_at,
        )  # fmt: skip
    assert find_last(engine, NOW) == friday - timedelta(seconds=30)


def find_field(database: Database, field: str, at: datetime, table: str = "assets") -> None:
    database.do(
        "insert into control.drift (vendor, table_name, field, first_seen_at) values ('orion', :table, :field, :at)",
        table=table, field=field, at=at,
    )  # fmt: skip


def test_a_field_that_is_not_declared_is_reported_by_one_digest(database: Database, engine: sa.Engine) -> None:
    heading = "New undeclared fields: not staged:"
    for field in ("rebate", "advisoryFee"):
        find_field(database, field, NOW - timedelta(days=5))
    find_field(database, "nickname", NOW - timedelta(hours=1), "clients")
    assert write_digest(engine, NOW).splitlines() == [
        heading,
        "- orion.assets: 2 since 2026-11-22: advisoryFee, rebate",
        "- orion.clients: 1 since 2026-11-27: nickname",
    ]
    database.do(
        "insert into control.alert (kind, run_id, title, recorded_at, sent_at) values ('digest', 'r', 't', :at, :sent)",
        at=NOW, sent=NOW + timedelta(minutes=1),
    )  # fmt: skip
    tomorrow = NOW + timedelta(days=1)
    assert write_digest(engine, tomorrow) == ""
    for n in range(22):  # the first, while today's digest is being sent
        find_field(database, f"field{n:02}", NOW + timedelta(seconds=30 + n))
    database.do("update control.drift set last_seen_at = now()")
    assert write_digest(engine, tomorrow).splitlines() == [
        heading,
        f"- orion.assets: 22 since 2026-11-27: {', '.join(f'field{n:02}' for n in range(20))} and 2 more",
    ]


def test_securities_that_vendors_describe_as_different_kinds_are_named(database: Database, engine: sa.Engine) -> None:
    database.do(
        "insert into control.security_conflict (number, security_ids, kinds, since, run_id)"
        " values ('037833100', '{1,2}', '{\"alpha: Common Stock\",\"beta: Option\"}', '2026-11-25', 'r')"
    )
    line = "- 037833100 since 2026-11-25: alpha: Common Stock, beta: Option"
    assert write_digest(engine, NOW) == f"Securities that vendors describe as different kinds:\n{line}"


def test_a_rejected_day_is_named_with_the_day_in_force_until_a_day_is_loaded(
    database: Database, engine: sa.Engine
) -> None:
    load(database, "good", NOW - timedelta(days=2), DAY - timedelta(days=1))
    database.do(
        "insert into control.rejection (run_id, vendor, business_date, step, reason, recorded_at)"
        " values ('r', 'orion', :day, 'validate', 'assets: the table is empty', :at)",
        day=DAY, at=NOW - timedelta(days=1),
    )  # fmt: skip
    assert write_digest(engine, NOW).splitlines()[:2] == [
        "Rejected days: the last good day is in force:",
        "- orion 2026-11-25: rejected by validate; 2026-11-24 is in force: assets: the table is empty",
    ]
    load(database, "corrected", NOW)
    assert "Rejected" not in write_digest(engine, NOW)
