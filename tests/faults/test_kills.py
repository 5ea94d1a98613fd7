"""A worker killed or stopped anywhere in a vendor-day: after the rerun nothing is lost, nothing is doubled.

Every day here ends in the same rows as an undisturbed day, history included, apart from surrogate ids.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from include.contract import Vendor
from include.vendors import VENDORS, named
from local.postgres import Postgres
from tests.faults.disturbed import Day, Place, World, contents, finish, new_run, spoil
from tests.faults.worker import Hold, Worker
from tests.running_sandbox import LAST, NOW, closes_at_night, run_sandbox
from tests.vendors.matter import matter_of

BEFORE = date(2026, 11, 19)
STAGE, VALIDATE, TRANSFORM, LOAD = ("stage", "assets"), ("validate", ""), ("transform", "assets"), ("publish", "")

ROWS = "include.warehouse.load:_load_entity"
QUICK = {
    "between two pages": Hold(STAGE, "include.extract.session:VendorSession._call_paced", call=2),
    "faults, no ledger": Hold(VALIDATE, "include.staging.partitions:Partition.write_faults", call=5),
    "in the middle of COPY": Hold(LOAD, "psycopg:Copy.write", call=5, within=ROWS),
    "merged, fences not checked": Hold(LOAD, "include.control.writer:Fence.check", "before"),
    "committed, not reported": Hold(LOAD, "include.pipeline.vendor_day:load_partitions"),
}
MORE = {
    "in the middle of a page": Hold(STAGE, "include.extract.page:PageReader.read", "before", call=2),
    "parts, no manifest": Hold(STAGE, "include.staging.files:PartWriter._store", call=2),
    "all parts, no manifest": Hold(STAGE, "include.staging.partitions:Staging.seal", "before"),
    "manifest, no ledger": Hold(STAGE, "include.staging.partitions:Staging.seal"),
    "stage recorded, not committed": Hold(STAGE, "include.control.ledger:record"),
    "staged, not recorded": Hold(STAGE, "include.pipeline.vendor_day:record_staged"),
    "faults of some tables": Hold(VALIDATE, "include.staging.partitions:Partition.write_faults", call=2),
    "some tables recorded": Hold(VALIDATE, "include.control.dead_letters:insert", call=3),
    "letters not committed": Hold(VALIDATE, "include.control.dead_letters:insert", call=5),
    "validated, not reported": Hold(VALIDATE, "include.pipeline.vendor_day:validate"),
    "canonical parts, no manifest": Hold(TRANSFORM, "include.staging.files:PartWriter._store", call=3),
    "one entity of two": Hold(TRANSFORM, "include.transform.entities:_produce"),
    "transformed, no ledger": Hold(TRANSFORM, "include.transform.entities:transform"),
    "transform recorded, not committed": Hold(TRANSFORM, "include.control.ledger:record", call=1),
    "transformed, not reported": Hold(TRANSFORM, "include.pipeline.vendor_day:transform"),
    "fences taken": Hold(LOAD, "include.control.writer:take_all"),
    "keys known, nothing loaded": Hold(LOAD, "include.warehouse.load:_add_source_keys"),
    "before COPY": Hold(LOAD, "include.warehouse.load:copy_in", "before", within=ROWS),
    "before the facts": Hold(LOAD, "include.warehouse.fact:load", "before"),
    "merged, no ledger": Hold(LOAD, "include.warehouse.fact:load"),
    "one entity loaded": Hold(LOAD, ROWS),
    "checked, not committed": Hold(LOAD, "include.control.writer:Fence.check", call=2),
    "descriptions changed": Hold(LOAD, "include.warehouse.description:load"),
    "all tables but one merged": Hold(LOAD, "include.warehouse.load:_load_partition", call=2),
    "reconciled, not committed": Hold(LOAD, "include.pipeline.vendor_day:reconcile"),
    "checks recorded, not committed": Hold(LOAD, "include.pipeline.vendor_day:record_checks"),
}


@pytest.fixture(scope="module", params=["orion"])
def world(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    vendor, folder = named(request.param), tmp_path_factory.mktemp("kills")
    with run_sandbox(folder / "sandbox", households=10, now=NOW - timedelta(days=1)) as sandbox:
        world, template = World(vendor, postgres, sandbox, folder), f"kills_{vendor.name}"
        with world.database("template_tributary", template) as loaded:
            if vendor.name == "orion":
                spoil(sandbox)
            close(world, BEFORE)
            finish(world.work(loaded, new_run("day-1", BEFORE), NOW - timedelta(days=1)))
            sandbox.admin("clock", now=NOW.isoformat())
            close(world, LAST)
            sandbox.log_in()
            finish(world.work(loaded, new_run("day-2", LAST), NOW))
            matter_of(vendor.name).correct(sandbox, loaded)
            loaded.close()
            world.places = {
                "first": Place("template_tributary", new_run("day", LAST)),
                "again": Place(template, new_run("day", LAST)),
            }
            yield world


def close(world: World, day: date) -> None:
    """Close this day at the vendor, if it closes days at night."""
    if closes_at_night(world.vendor.name):
        world.sandbox.admin(f"{world.vendor.name}/closed_through", date=str(day))


@pytest.fixture
def start(world: World) -> Iterator[Callable[[str], Day]]:
    with contextlib.ExitStack() as running:

        def start(name: str) -> Day:
            place = world.places[name]
            return Day(world, place, running.enter_context(world.database(place.template)))

        yield start


def adapt_hold(hold: Hold, vendor: Vendor) -> Hold:
    """Move a hold to the same place in another vendor's day: its own tables, and the first call if there are few."""
    if vendor.name == "orion":
        return hold
    matter = matter_of(vendor.name)
    tables = {"assets": matter.facts, "clients": matter.people, "transactions": matter.events}
    step, table = hold.step
    return replace(hold, step=(step, tables.get(table, table)), call=2 if hold.where.endswith("_paced") else 1)


def kill_and_rerun(day: Day, hold: Hold) -> None:
    hold = adapt_hold(hold, day.world.vendor)
    with Worker(day.work, hold) as victim:
        victim.wait_held()
        assert hold.step not in victim.done
        victim.kill()
    finish(victim.rest())


OTHERS = [
    pytest.param(vendor.name, marks=[] if vendor.name == "emoney" else pytest.mark.long) for vendor in VENDORS[1:]
]


@pytest.mark.parametrize("world", OTHERS, indirect=True)
@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(QUICK["between two pages"], id="between two pages", marks=pytest.mark.long),
        pytest.param(QUICK["merged, fences not checked"], id="merged"),
    ],
)
def test_a_day_of_any_vendor_killed_and_run_again_is_as_if_undisturbed(start: Callable[[str], Day], hold: Hold) -> None:
    day = start("again")
    kill_and_rerun(day, hold)
    day.check()


NOT_EVERYWHERE = {"in the middle of a page"}  # a report's file is not a page


@pytest.mark.long
@pytest.mark.parametrize("world", [vendor.name for vendor in VENDORS[1:]], indirect=True)
@pytest.mark.parametrize("name", sorted((QUICK | MORE).keys() - NOT_EVERYWHERE))
def test_a_day_of_any_vendor_killed_anywhere_and_run_again_is_as_if_undisturbed(
    start: Callable[[str], Day], name: str
) -> None:
    day = start("again")
    kill_and_rerun(day, (QUICK | MORE)[name])
    day.check()


@pytest.mark.parametrize("hold", QUICK.values(), ids=QUICK)
def test_a_day_killed_and_run_again_is_as_if_undisturbed(start: Callable[[str], Day], hold: Hold) -> None:
    day = start("again")
    kill_and_rerun(day, hold)
    day.check()


@pytest.mark.long
@pytest.mark.parametrize("place", ["first", "again"])
@pytest.mark.parametrize("hold", (QUICK | MORE).values(), ids=QUICK | MORE)
def test_killed_anywhere_and_run_again_is_as_if_undisturbed(
    start: Callable[[str], Day], place: str, hold: Hold
) -> None:
    day = start(place)
    kill_and_rerun(day, hold)
    day.check()


@contextlib.contextmanager
def lock_row(day: Day) -> Iterator[None]:
    """Lock a position that the corrections change, so that the load stops while it closes them."""
    with psycopg.connect(day.database.admin_url) as connection:
        changed = """
            select p.position_key from warehouse.position p join warehouse.security s using (security_id)
            where p.business_date = %s and p.recorded_to is null and s.recorded_to is null and s.ticker is not null
            order by p.security_id, p.position_key limit 1
        """
        [key] = connection.execute(changed, [LAST]).fetchone() or [None]
        connection.execute("select from warehouse.position where position_key = %s for update", [key])
        yield


@contextlib.contextmanager
def take_key(day: Day) -> Iterator[None]:
    """Insert one of the positions without a commit, so that the load, which copies a first day straight into the fact, stops at the unique index."""
    key = str(day.world.sandbox.rows("Portfolio/Assets", asOfDate=str(LAST))[100]["id"])
    with psycopg.connect(day.database.admin_url) as connection:
        connection.execute("select warehouse.ensure_month(%s)", [LAST])
        connection.commit()
        row = "insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, recorded_from,"
        row += " source_run_id) values (%s, 'orion', %s, 0, 0, now(), 0)"
        connection.execute(row, [LAST, key])
        yield
        connection.rollback()


def wait_blocked(day: Day, statement: str) -> int:
    """Wait until a loader's statement waits for a lock; return its session's process id."""
    query = """
        select pid from pg_stat_activity where usename = 'tributary_load' and datname = current_database()
        and wait_event_type = 'Lock' and query ~* :statement
    """
    for _ in range(600):
        if rows := day.database.rows(query, statement=statement):
            return int(rows[0]["pid"])
        time.sleep(0.05)
    raise AssertionError("no session waits for the lock")


CHANGE = pytest.param("again", lock_row, "^(merge into|update) warehouse.position", id="changing")
INSERT = pytest.param("first", take_key, '^copy "warehouse"."position"', id="inserting", marks=pytest.mark.long)


@pytest.mark.parametrize(("place", "locked", "statement"), [CHANGE, INSERT])
def test_killed_while_the_database_works_and_run_again_is_as_if_undisturbed(
    start: Callable[[str], Day], place: str, locked: Callable[[Day], Any], statement: str
) -> None:
    day = start(place)
    with contextlib.ExitStack() as running:
        with locked(day):
            victim = running.enter_context(Worker(day.work))
            orphan = wait_blocked(day, statement)
            victim.kill()
            # The rerun ends the orphaned session, if the server has not, and then waits for the lock itself.
            rerun = running.enter_context(Worker(victim.rest()))
            assert wait_until_ended(day, orphan)
        assert rerun.finish() == 0, rerun.error
    day.check()


def wait_until_ended(day: Day, pid: int) -> bool:
    for _ in range(200):
        if not day.database.value("select count(*) from pg_stat_activity where pid = :pid", pid=pid):
            return True
        time.sleep(0.05)
    return False


BEFORE_LOAD = Hold(LOAD, "include.pipeline.vendor_day:load_partitions", "before")
STOPS = {
    "in the middle of COPY": QUICK["in the middle of COPY"],
    "merged, fences not checked": QUICK["merged, fences not checked"],
    "checked, not committed": MORE["checked, not committed"],
}


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(hold, id=name, marks=[] if name.startswith("merged") else pytest.mark.long)
        for name, hold in STOPS.items()
    ],
)
def test_a_writer_stopped_while_it_holds_its_locks_is_refused_when_it_wakes(
    start: Callable[[str], Day], hold: Hold
) -> None:
    day = start("again")
    with Worker(day.work, hold) as stopped:
        stopped.wait_held()
        stopped.signal(signal.SIGSTOP)
        stopped.go()
        finish(stopped.rest())
        day.check()
        stopped.signal(signal.SIGCONT)
        assert stopped.finish() != 0
        assert stopped.error.startswith("WriterSuperseded"), stopped.error
    day.check()


def test_a_writer_stopped_before_its_load_is_refused_when_a_newer_pull_was_loaded(start: Callable[[str], Day]) -> None:
    day = start("again")
    with Worker(day.work, BEFORE_LOAD) as stopped:
        stopped.wait_held()
        stopped.signal(signal.SIGSTOP)
        stopped.go()
        fault = day.world.sandbox.fault("poison", field="currentPrice", value=77.77)
        finish(replace(day.work, run=new_run("newer", LAST), now=NOW + timedelta(hours=2)))
        day.world.sandbox.http.delete(f"/_sandbox/faults/{fault}")
        loaded = contents(day.database, day.world.vendor)
        prices = (
            f"select distinct price_usd from warehouse.position where business_date = '{LAST}' and recorded_to is null"
        )
        assert day.database.value(prices) == Decimal("77.77")
        stopped.signal(signal.SIGCONT)
        assert stopped.finish() != 0
        assert stopped.error.startswith("WriterSuperseded: A newer pull"), stopped.error
    assert contents(day.database, day.world.vendor) == loaded


@pytest.mark.long
def test_a_writer_stopped_before_a_load_that_its_rerun_made_changes_nothing(start: Callable[[str], Day]) -> None:
    day = start("again")
    with Worker(day.work, BEFORE_LOAD) as stopped:
        stopped.wait_held()
        stopped.signal(signal.SIGSTOP)
        stopped.go()
        finish(stopped.rest())
        stopped.signal(signal.SIGCONT)
        assert stopped.finish() == 0, stopped.error
    day.check()
