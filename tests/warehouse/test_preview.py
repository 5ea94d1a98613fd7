"""A preview of an identity decision predicts what the next run stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.identity.preview import Effect, Home, Preview, preview
from include.identity.resolve import resolve, resolve_within
from include.warehouse import schema
from tests.conftest import Database
from tests.warehouse.loading import DAY, NEXT, Loader

FIRST = ("John", "Mary", "Robert", "Linda", "Cleo", "Hugo", "Nora", "Pablo")
LAST = ("Sampleton", "Exampleworth", "Testerly", "Placeholder", "Dummont", "Foobright", "Quuxley", "Loremson")
HOMES = len(LAST)

Change = tuple[set[Any], set[Any]]


def _people(vendor: str, number: int) -> list[dict[str, Any]]:
    """Return the couple of a household; the second vendor lists every other one by initials, without what would prove the match."""
    is_vague = vendor == "beta" and number % 2 == 0
    rows = []
    for place in (0, 1):
        first, last = FIRST[(number + 4 * place) % len(FIRST)], LAST[number]
        known = {
            "birth_date": date(1950 + number, 1 + place, 3 + number),
            "email": f"{first}{number}@example.org".lower(),
        }
        rows.append(
            {"person_key": f"p{number}{place}", "household_key": f"h{number}", "first_name": first[0] if is_vague else first, "last_name": last}
            | ({} if is_vague else known)
        )  # fmt: skip
    return rows


def _load(database: Database, folder: Path) -> None:
    """Load two vendors: one manages accounts, the other lists some of them as held away."""
    for vendor in ("alpha", "beta"):
        loader = Loader(database, folder / vendor, vendor)
        homes = [
            {"household_key": f"h{n}", "name": f"{LAST[n]}", "street": f"{n} Example St", "city": "Omaha", "state_code": "NE",
             "postal_code": f"681{n:02}"} for n in range(HOMES)
        ]  # fmt: skip
        loader.load("household", homes)
        loader.load("person", [each for n in range(HOMES) for each in _people(vendor, n)])
        number = {"account_number_last4": "0000"}
        if vendor == "alpha":
            loader.load("account", [
                {"account_key": f"a{n}", "household_key": f"h{n}", "name": f"Account {n}", "custodian": "Pershing", "is_counted": True} | number
                for n in range(HOMES)
            ])  # fmt: skip
            loader.load("account_owner", [
                {"account_owner_key": f"o{n}", "account_key": f"a{n}", "household_key": f"h{n}", "person_key": f"p{n}0", "role": "primary",
                 "share_ratio": Decimal(1)} for n in range(HOMES)
            ])  # fmt: skip
            loader.load("account_value", [
                {"account_value_key": f"a{n}", "account_key": f"a{n}", "market_value_usd": Decimal(1000 + n)} for n in range(HOMES)
            ])  # fmt: skip
        else:
            loader.load("outside_account", [
                {"outside_account_key": f"x{n}", "household_key": f"h{n}", "name": f"Held away {n}", "institution": "Pershing"} | number
                for n in range(HOMES)
            ])  # fmt: skip
            loader.load("outside_value", [
                {"outside_value_key": f"x{n}", "outside_account_key": f"x{n}", "market_value_usd": Decimal(1000 + n), "requested_on": DAY}
                for n in range(HOMES)
            ])  # fmt: skip
        loader.engine.dispose()


@pytest.fixture(scope="module")
def firm(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    _load(shared_database, tmp_path_factory.mktemp("firm"))
    engine = schema.engine(shared_database.url())
    resolve(engine, (), "r", NEXT)
    yield engine
    engine.dispose()


def _read_homes(db: sa.Connection) -> set[Home]:
    worth = dict(db.execute(sa.text("select household_id, net_worth_usd from mart.net_worth")).tuples().all())
    names: dict[int, list[str]] = defaultdict(list)
    rows = db.execute(sa.text(
        "select coalesce(i.identity_id, h.household_id) as anchor, h.name || ' (' || h.vendor || ')' as name from warehouse.household h"
        " left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null order by h.household_id"
    ))  # fmt: skip
    for row in rows:
        names[row.anchor].append(row.name)
    return {Home(tuple(each), worth.get(anchor, Decimal(0))) for anchor, each in names.items()}


def _read_people(db: sa.Connection) -> set[tuple[str, ...]]:
    people: dict[int, list[str]] = defaultdict(list)
    rows = db.execute(sa.text(
        "select coalesce(i.identity_id, p.person_id) as anchor, p.first_name || ' ' || p.last_name || ' (' || p.vendor || ')' as name"
        " from warehouse.person p left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null"
        " order by p.person_id"
    ))  # fmt: skip
    for row in rows:
        people[row.anchor].append(row.name)
    return {tuple(each) for each in people.values()}


def _decide(db: sa.Connection, pair: sa.RowMapping, is_same: bool) -> tuple[Change, Change]:
    """Decide and run; return the people and the households that are no longer there, and those that are new. Nothing is stored."""
    before = _read_people(db), _read_homes(db)
    db.execute(sa.text(
        "insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)"
        " values (:entity, least(:left_id, :right_id), greatest(:left_id, :right_id), :is_same, 'test', 'test')"
    ), dict(pair) | {"is_same": is_same})  # fmt: skip
    resolve_within(db, (), "next", NEXT)
    after = _read_people(db), _read_homes(db)
    db.rollback()
    people, homes = ((old - new, new - old) for old, new in zip(before, after, strict=True))
    return people, homes


def _preview(database: Database, pair: sa.RowMapping) -> Preview:
    """Preview as the role of the pages."""
    web = schema.engine(database.url("tributary_web"))
    with web.connect() as db:
        shown = preview(db, pair["entity"], pair["left_id"], pair["right_id"], NEXT)
    web.dispose()
    return shown


def _read_pairs(engine: sa.Engine, table: str) -> list[sa.RowMapping]:
    query = f"select entity, left_id, right_id from control.{table} where entity <> 'household' order by entity, left_id, right_id"
    with engine.connect() as db:
        return list(db.execute(sa.text(query)).mappings())


@pytest.mark.parametrize("table", ["identity_review", pytest.param("identity_link", marks=pytest.mark.long)])
def test_a_preview_predicts_people_households_and_net_worth(
    firm: sa.Engine, shared_database: Database, table: str
) -> None:
    pairs = _read_pairs(firm, table)[::3]
    assert len(pairs) > 1
    changing = 0
    for pair in pairs:
        shown = _preview(shared_database, pair)
        assert shown.problem == ""
        for effect, is_same in ((shown.same, True), (shown.different, False)):
            assert isinstance(effect, Effect)
            with firm.connect() as db:
                people, homes = _decide(db, pair, is_same)
            assert (set(effect.people_before), set(effect.people_after)) == people
            assert (set(effect.homes_before), set(effect.homes_after)) == homes
            changing += not effect.is_empty
    assert changing >= len(pairs)


def test_a_preview_names_the_accounts_that_count_again(firm: sa.Engine, shared_database: Database) -> None:
    pair = next(each for each in _read_pairs(firm, "identity_link") if each["entity"] == "account")
    different = _preview(shared_database, pair).different
    assert different is not None
    assert len(different.counted) == 1
    assert different.homes_after[0].net_worth_usd == 2 * different.homes_before[0].net_worth_usd


def test_there_is_no_preview_of_data_that_changed_since_the_last_run(
    firm: sa.Engine, shared_database: Database
) -> None:
    pair = next(each for each in _read_pairs(firm, "identity_link") if each["entity"] == "person")
    shared_database.do(
        "update control.identity_link set left_id = -left_id where left_id = :left_id", left_id=pair["left_id"]
    )
    shown = _preview(shared_database, pair)
    shared_database.do(
        "update control.identity_link set left_id = -left_id where left_id = -:left_id", left_id=pair["left_id"]
    )
    assert "data changed since the last run" in shown.problem
