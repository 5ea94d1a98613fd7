"""A daily identity run stores what a full run stores."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from include.identity.policy import Policy
from include.identity.resolve import Resolved, resolve, resolve_within
from include.identity.state import FULL_DAYS
from include.warehouse import schema
from local.bench import identity_warehouse
from local.bench.identity_days import ON
from local.bench.people import make_firm
from local.postgres import Postgres
from tests.conftest import Database, new_database

_IDENTITIES = "select entity, id, identity_id from warehouse.identity where recorded_to is null order by 1, 2"
_LINKS = "select entity, left_id, right_id, how, agreed, differed from control.identity_link order by 1, 2, 3"

# A person moves to another household; or is merely said to be of a household, by its key.
_MOVE = """
update warehouse.person p set household_id = h.household_id, cross_references = n.vendor || ':household:' || n.household_key
from warehouse.household h, warehouse.household n
where p.person_id = :person and h.household_id = :home and n.household_id = :named
"""
_MOVE_BACK = """
update warehouse.person p set household_id = b.household_id, cross_references = b.cross_references from before b
where p.person_id = :person and b.person_id = :person
"""


@pytest.fixture(scope="module")
def matched(postgres: Postgres) -> Iterator[str]:
    """The name of a database with a warehouse of 1,000 records that were matched once."""
    with new_database(postgres) as database:
        identity_warehouse.fill(database.admin_url, make_firm(320, seed=3))
        engine = schema.engine(database.url())
        assert run(engine, "first").matched is None
        engine.dispose()
        database.close()
        yield database.admin_url.rsplit("/", 1)[1]


@pytest.fixture
def database(postgres: Postgres, matched: str) -> Iterator[Database]:
    """A copy of it."""
    with new_database(postgres, matched) as copy:
        yield copy


@pytest.fixture
def firm(database: Database) -> Database:
    return database


def run(engine: sa.Engine, name: str, **options: Any) -> Resolved:
    found = resolve(engine, (), name, options.pop("on", ON), **options)
    assert found is not None
    return found


def change(database: Database) -> None:
    """Change persons, move one to another household, end one, and add one."""
    database.do("update warehouse.person set email = 'new.' || email where person_id % 211 = 1")
    database.do("""
        update warehouse.person p set household_id = (select min(household_id) from warehouse.household h where h.vendor = p.vendor)
        where person_id = 500""")
    database.do("update warehouse.person set recorded_to = now() where person_id = 300")
    database.do("""
        insert into warehouse.person (person_id, vendor, person_key, household_id, name, birth_date, valid_from, recorded_from, source_run_id)
        select 9000001, vendor, 'new', household_id, 'Adam Specimen', '1951-03-14', '2026-01-02', now(), 1 from warehouse.person
        where person_id = 301""")


def test_a_daily_run_stores_what_a_full_run_stores(firm: Database, engine: sa.Engine) -> None:
    change(firm)
    daily = run(engine, "daily")
    assert daily.matched is not None
    assert 0 < daily.matched < daily.records / 2
    stored = firm.rows(_IDENTITIES), firm.rows(_LINKS)
    full = run(engine, "full", is_full=True)
    assert (full.matched, full.changed) == (None, 0)
    assert stored == (firm.rows(_IDENTITIES), firm.rows(_LINKS))
    assert (daily.people, daily.households, daily.copies) == (full.people, full.households, full.copies)


def test_a_record_that_changes_and_changes_back_is_stored_again(firm: Database, engine: sa.Engine) -> None:
    """On the second day, it has no change since the full run; only the stored result of the first day is wrong."""
    stored = firm.rows(_IDENTITIES)
    firm.do("create table before as select * from warehouse.person where person_id between 100 and 110")
    nothing = ("email", "tax_id_hash", "birth_date", "phone", "name", "cross_references")
    firm.do(
        f"update warehouse.person set first_name = 'Bea', {', '.join(f'{name} = null' for name in nothing)} where person_id between 100 and 110"
    )
    assert run(engine, "changed").changed > 0
    assert stored != firm.rows(_IDENTITIES)
    columns = ", ".join(f"{name} = b.{name}" for name in ("first_name", *nothing))
    firm.do(f"update warehouse.person p set {columns} from before b where b.person_id = p.person_id")
    firm.do("drop table before")
    assert run(engine, "changed back").matched is not None
    links = firm.rows(_LINKS)
    assert run(engine, "full", is_full=True).changed == 0
    assert links == firm.rows(_LINKS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_days_on_which_persons_move_and_move_back_store_what_a_full_run_stores(
    firm: Database, engine: sa.Engine, seed: int
) -> None:
    """A household that a person joined and left again has no change since the full run; a day in between stored another result."""
    draw = random.Random(seed)
    firm.do("create table before as select * from warehouse.person")
    vendors = {row["person_id"]: row["vendor"] for row in firm.rows("select person_id, vendor from before order by 1")}
    homes = firm.rows("select household_id, vendor from warehouse.household order by 1")
    moved: set[int] = set()
    for day in range(4):
        for person in draw.sample(sorted(moved), len(moved) // 2):
            firm.do(_MOVE_BACK, person=person)
            moved.remove(person)
        for person in draw.sample(list(vendors), 4):
            home = draw.choice([home for home in homes if home["vendor"] == vendors[person]])
            firm.do(_MOVE, person=person, home=home["household_id"], named=draw.choice(homes)["household_id"])
            moved.add(person)
        on = ON + timedelta(days=day)
        daily = run(engine, f"day {day}", on=on)
        assert daily.matched is not None
        stored = firm.rows(_IDENTITIES), firm.rows(_LINKS)
        with engine.connect() as db:
            full = resolve_within(db, (), "full", on, is_full=True)
            found = [[dict(row) for row in db.execute(sa.text(query)).mappings()] for query in (_IDENTITIES, _LINKS)]
        assert full is not None
        assert stored == tuple(found)
        assert (daily.people, daily.households) == (full.people, full.households)


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("a week", {"on": ON + timedelta(days=FULL_DAYS)}),
        ("an earlier day", {"on": ON - timedelta(days=1)}),
        ("other thresholds", {"policy": Policy(link_score=4.0)}),
    ],
)
def test_all_records_are_matched_after(reason: str, options: dict[str, Any], engine: sa.Engine) -> None:
    """Also if no record changed."""
    assert run(engine, reason, **options).matched is None


def test_a_day_without_a_change_matches_nothing(engine: sa.Engine) -> None:
    assert resolve(engine, (), "next day", ON + timedelta(days=1)) is None


def test_all_records_are_matched_if_many_changed(firm: Database, engine: sa.Engine) -> None:
    firm.do("update warehouse.person set email = null where person_id % 9 = 0")
    assert run(engine, "many changed").matched is None


def test_all_records_are_matched_if_a_vendor_is_new(firm: Database, engine: sa.Engine) -> None:
    """Its order of names and its registrations are not known yet."""
    firm.do("""
        insert into warehouse.person (person_id, vendor, person_key, name, valid_from, recorded_from, source_run_id)
        values (9000002, 'new vendor', 'n1', 'Specimen Adam', '2026-01-02', now(), 1)""")
    assert run(engine, "new vendor").matched is None


def test_all_records_are_matched_if_the_state_is_lost(firm: Database, engine: sa.Engine) -> None:
    firm.do("delete from control.identity_state")
    assert run(engine, "state lost").matched is None


def test_a_full_run_stores_what_the_decisions_teach(firm: Database, engine: sa.Engine) -> None:
    assert firm.rows("select * from control.identity_lesson") == []
    counts = firm.rows("""
        with decided as (
            insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)
            select entity, left_id, right_id, true, 'Asked', 'steward' from control.identity_review where rule = 'only an initial'
            returning 1)
        select count(*) from decided""")
    run(engine, "full", is_full=True)
    [lesson] = firm.rows("select rule, answers, same, run_id from control.identity_lesson")
    assert lesson == {
        "rule": "only an initial",
        "answers": counts[0]["count"],
        "same": counts[0]["count"],
        "run_id": "full",
    }
