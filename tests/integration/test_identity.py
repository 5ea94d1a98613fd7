"""Identity across all vendors' days: records are linked, users decide, and everything downstream follows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include.crm.settings import Settings
from include.crm.sync.preview import preview
from include.identity import decisions, pairs
from include.identity.pairs import Decision
from include.identity.resolve import Resolved, resolve
from include.vendors import VENDORS
from include.warehouse import schema
from local.postgres import Postgres
from sandbox import vendors as simulated
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from tests.conftest import Database, Firm, new_database
from tests.running_sandbox import LAST, NOW, run_sandbox

PACE = 1000.0
SETTINGS = Settings("sample")
HOUSEHOLDS = 12

# A planner knows the only adult of a household by another first name: that leaves a doubt.
DOUBT = """
update warehouse.person set first_name = 'Zeno', name = 'Zeno ' || last_name where person_id = (
    select p.person_id from warehouse.person p join warehouse.outside_account o using (household_id)
    where p.recorded_to is null and p.birth_date is not null and p.cross_references is null
      and 1 = (select count(*) from warehouse.person q where q.household_id = p.household_id and q.recorded_to is null)
    group by 1 order by 1 offset 2 limit 1)
"""
OPEN = "select entity, id, identity_id from warehouse.identity where recorded_to is null"
MEMBERS = """
select k.identity_id, h.vendor from warehouse.known_household k join warehouse.household h using (household_id) where h.recorded_to is null
union
select h.identity_id, p.vendor from warehouse.known_person k join warehouse.person p using (person_id)
join warehouse.known_household h on h.household_id = k.household_id where p.recorded_to is null
"""


@dataclass
class Known:
    """A database of all vendors' days, resolved.

    Attributes:
        before: Identities before the last vendor was added: (entity, id) -> identity_id.
        held_away: Truth: a planner's account -> the firm's account that it duplicates.
    """

    database: Database
    before: dict[tuple[str, int], int]
    held_away: dict[tuple[str, str], str]


class Firms(contextlib.AbstractContextManager["Firms"]):
    """Operations on a database with all days loaded."""

    def __init__(self, database: Database) -> None:
        self.database, self.engine = database, schema.engine(database.url())

    def __exit__(self, *failure: object) -> None:
        self.engine.dispose()

    def resolve(self, run_id: str = "next") -> Resolved | None:
        return resolve(self.engine, VENDORS, run_id, LAST)

    def decide(self, entity: str, left: int, right: int, is_same: bool, seen: int | None = None) -> Decision:
        return decisions.decide(self.engine, entity, left, right, is_same, "Asked the advisor", "ursula", seen)

    def whole(self) -> dict[tuple[str, int], int]:
        return {(row["entity"], row["id"]): row["identity_id"] for row in self.database.rows(OPEN)}

    def worth(self, household_id: int) -> Decimal:
        return self.database.value(
            "select net_worth_usd from mart.net_worth n join warehouse.known_household k on k.identity_id = n.household_id"
            " where k.household_id = :id",
            id=household_id,
        )

    def person(self, record: int) -> int:
        return self.database.value("select identity_id from warehouse.known_person where person_id = :id", id=record)

    def household(self, record: int) -> int:
        return self.database.value(
            "select k.identity_id from warehouse.known_household k join warehouse.person p using (household_id)"
            " where p.person_id = :id and p.recorded_to is null",
            id=record,
        )

    def value(self, outside_account: int) -> Decimal:
        return self.database.value(
            "select market_value_usd from warehouse.outside_value where outside_account_id = :id and recorded_to is null"
            " order by requested_on desc limit 1",
            id=outside_account,
        )

    def waiting(self, entity: str) -> list[pairs.Pair]:
        with self.engine.connect() as db:
            return [pair for pair in pairs.list_open(db, 200)[1] if pair.entity == entity]

    def links(self, entity: str) -> list[pairs.Pair]:
        with self.engine.connect() as db:
            return [pair for pair in pairs.list_links(db, limit=1000)[1] if pair.entity == entity]


@pytest.fixture(scope="module")
def known(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    folder = tmp_path_factory.mktemp("identity")
    state = folder / "sandbox"
    with new_database(postgres) as database, run_sandbox(state, households=HOUSEHOLDS, pace=PACE) as sandbox:

        def load(vendor: Any) -> None:
            firm = Firm(vendor, sandbox, database, folder / vendor.name)
            firm.site = replace(firm.site, speed=PACE)
            firm.day()
            firm.engine.dispose()

        *earlier, last = VENDORS
        for vendor in earlier:
            load(vendor)
        database.do(DOUBT)
        with Firms(database) as firms:
            firms.resolve("first")
            before = firms.whole()
            load(last)
            firms.resolve("second")
        database.do("analyze")  # as the server does by itself in time
        yield Known(database, before, _held_away(state))


def _held_away(state: Path) -> dict[tuple[str, str], str]:
    clock = Clock()
    clock.set(NOW)
    world = World(state, clock, households=HOUSEHOLDS)
    return {
        (vendor.name, ours.split(":", 1)[1]): theirs.removeprefix("account:")
        for vendor in simulated.VENDORS
        for ours, theirs in vendor.list_true_matches(world)
        if theirs.startswith("account:")
    }


@pytest.fixture
def firms(known: Known, postgres: Postgres) -> Iterator[Firms]:
    """A copy of that database of the test's own."""
    known.database.close()
    source = known.database.admin_url.rsplit("/", 1)[1]
    with new_database(postgres, source) as database, Firms(database) as firms:
        yield firms


def test_a_household_of_all_vendors_is_one(firms: Firms) -> None:
    vendors = firms.database.rows(
        f"select identity_id, count(distinct vendor) as n from ({MEMBERS}) m group by 1 order by 2 desc"
    )
    assert vendors[0]["n"] == len([v for v in VENDORS if any(m.entity in ("household", "person") for m in v.maps)])
    shown = firms.database.rows(
        "select distinct name, street, email, phone from warehouse.known_household where identity_id = :id",
        id=vendors[0]["identity_id"],
    )
    assert len(shown) == 1


def test_what_is_sent_to_the_crm_names_each_person_and_household_once(firms: Firms) -> None:
    shown = preview(firms.engine, SETTINGS)
    people = firms.database.value("select count(distinct identity_id) from warehouse.known_person")
    records = firms.database.value("select count(*) from warehouse.known_person")
    assert shown.deltas["person"].new == people < records
    households = firms.database.value("select count(distinct identity_id) from warehouse.known_household")
    assert shown.deltas["household"].new == households


def test_a_vendor_more_leaves_ids_as_they_are_or_joins_two(firms: Firms, known: Known) -> None:
    after = firms.whole()
    assert len(known.before) > 50
    moved = {key: after.get(key) for key, before in known.before.items() if after.get(key) != before}
    assert all(moved.values())  # no record left its identity
    known_ids = set(known.before.values()) | {key[1] for key in known.before}
    joined = {before: after.get(("person", before)) for key, before in known.before.items() if key in moved}
    assert all(now == joined[known.before[key]] and now in known_ids for key, now in moved.items())


def test_every_link_has_its_reason(firms: Firms) -> None:
    for entity in ("person", "household", "account"):
        links = firms.links(entity)
        assert {(link.left.id, link.right.id) for link in links} >= {
            (now, each) for (of, each), now in firms.whole().items() if of == entity and of != "person"
        }
        assert links
        assert all(link.agreed and link.left.vendor and link.right.vendor for link in links)


def test_the_same_data_again_is_not_even_linked(firms: Firms) -> None:
    assert firms.resolve() is None


def test_linking_the_same_data_again_finds_the_same(firms: Firms) -> None:
    before, links = firms.whole(), firms.links("person")
    firms.database.do("delete from control.identity_run")
    result = firms.resolve()
    assert result is not None
    assert result.changed == 0
    assert (firms.whole(), firms.links("person")) == (before, links)


def test_people_decided_to_be_the_same_are_linked_in_the_next_run(firms: Firms) -> None:
    pair = firms.waiting("person")[0]
    left, right = pair.left.id, pair.right.id
    assert firms.person(left) != firms.person(right)
    firms.decide("person", left, right, True)
    assert firms.resolve() is not None
    assert firms.person(left) == firms.person(right)
    assert [link.how for link in firms.links("person") if (link.left.id, link.right.id) == (left, right)] == ["person"]
    assert pair not in firms.waiting("person")


def test_households_and_net_worth_follow_the_people(firms: Firms) -> None:
    """A typing error kept one adult unlinked, so the household and its accounts counted twice until the decision."""
    pair = next(p for p in firms.waiting("person") if firms.household(p.left.id) != firms.household(p.right.id))
    ours, theirs = firms.household(pair.left.id), firms.household(pair.right.id)
    doubtful = {p.right.id for p in firms.waiting("account")}
    apart = firms.worth(ours) + firms.worth(theirs)
    before = preview(firms.engine, SETTINGS)
    firms.decide("person", pair.left.id, pair.right.id, True)
    firms.resolve()
    assert firms.household(pair.left.id) == firms.household(pair.right.id) == min(ours, theirs)
    copies = doubtful - {p.right.id for p in firms.waiting("account")}
    assert copies
    assert firms.worth(ours) == apart - sum(firms.value(copy) for copy in copies)
    after = preview(firms.engine, SETTINGS)
    for entity in ("person", "household"):
        assert after.deltas[entity].new == before.deltas[entity].new - 1


def test_a_rejected_pair_is_not_queued_again(firms: Firms) -> None:
    pair = firms.waiting("person")[0]
    people = {firms.person(pair.left.id), firms.person(pair.right.id)}
    firms.decide("person", pair.left.id, pair.right.id, False)
    firms.resolve()
    assert firms.person(pair.left.id) != firms.person(pair.right.id)
    assert all({firms.person(p.left.id), firms.person(p.right.id)} != people for p in firms.waiting("person"))


def test_a_link_taken_apart_stays_so_and_the_crm_follows(firms: Firms) -> None:
    link = next(link for link in firms.links("person") if _is_pair_alone(firms, link))
    before = preview(firms.engine, SETTINGS).deltas["person"].new
    firms.decide("person", link.left.id, link.right.id, False)
    for run_id in ("apart", "still apart"):
        firms.database.do("delete from control.identity_run")
        firms.resolve(run_id)
        assert firms.person(link.left.id) != firms.person(link.right.id)
    assert preview(firms.engine, SETTINGS).deltas["person"].new == before + 1
    was = "select count(*) from warehouse.identity where entity = 'person' and id = :id and recorded_to is not null"
    assert firms.database.value(was, id=max(link.left.id, link.right.id)) == 1


def _is_pair_alone(firms: Firms, link: pairs.Pair) -> bool:
    count = "select count(*) from warehouse.known_person where identity_id = :id"
    return link.left.id > 0 < link.right.id and bool(firms.database.value(count, id=firms.person(link.left.id)) == 2)


def test_copies_are_true_and_count_once(firms: Firms, known: Known) -> None:
    copies = firms.links("account")
    assert len(copies) > 20
    pairs = {(copy.right.vendor, copy.right.key): copy.left.key for copy in copies}
    assert pairs.items() <= known.held_away.items()
    total = firms.database.value("select sum(net_worth_usd) from mart.net_worth")
    alone = firms.database.value(
        "select (select sum(v.market_value_usd) from warehouse.account_value v join warehouse.account a using (account_id)"
        "        where v.recorded_to is null and v.business_date = :day and a.recorded_to is null and a.valid_to is null and a.is_counted)"
        " + (select sum(market_value_usd) from warehouse.outside_value where recorded_to is null)",
        day=LAST,
    )
    assert total == alone - sum(firms.value(copy.right.id) for copy in copies)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_doubtful_copy_is_decided_by_a_person(firms: Firms, is_same: bool) -> None:
    pair = firms.waiting("account")[0]
    total = "select sum(net_worth_usd) from mart.net_worth"
    before = firms.database.value(total)
    firms.decide("account", pair.left.id, pair.right.id, is_same)
    firms.resolve()
    assert firms.database.value(total) == before - (firms.value(pair.right.id) if is_same else 0)
    assert pair.right.id not in {p.right.id for p in firms.waiting("account")}


def test_a_copy_taken_apart_counts_for_itself(firms: Firms) -> None:
    copy, total = firms.links("account")[0], "select sum(net_worth_usd) from mart.net_worth"
    before = firms.database.value(total)
    firms.decide("account", copy.left.id, copy.right.id, False)
    firms.resolve()
    assert firms.database.value(total) == before + firms.value(copy.right.id)


def test_net_worth_is_reported_as_known(firms: Firms) -> None:
    copy, known_at = firms.links("account")[0], firms.database.value("select clock_timestamp()")
    before = firms.database.rows("select * from mart.net_worth order by 1")
    firms.decide("account", copy.left.id, copy.right.id, False)
    firms.resolve()
    then = "select * from mart.net_worth_as_known(:at) order by 1"
    assert firms.database.rows(then, at=known_at) == before != firms.database.rows(then, at="infinity")


def test_the_parts_of_each_household_add_up_to_its_net_worth(firms: Firms) -> None:
    known_at = firms.database.value("select clock_timestamp()")
    for copy in firms.links("account")[:5]:
        firms.decide("account", copy.left.id, copy.right.id, False)
    firms.resolve()
    for at in (known_at, firms.database.value("select clock_timestamp()")):
        rows = firms.database.rows(
            "select n.household_id, net_worth_usd, accounts, copies, p.* from mart.net_worth_as_known(:at) n cross join lateral ("
            " select coalesce(round(sum(value_usd) filter (where counted_key is null), 2), 0) as usd,"
            " count(distinct (vendor, account_key)) filter (where counted_key is null) as counted,"
            " count(distinct (vendor, account_key)) filter (where counted_key is not null) as uncounted"
            " from mart.lineage_net_worth(n.household_id, :at)) p",
            at=at,
        )
        assert sum(row["copies"] for row in rows) > 10
        for row in rows:
            assert (row["usd"], row["counted"], row["uncounted"]) == (
                row["net_worth_usd"],
                row["accounts"],
                row["copies"],
            )


@pytest.mark.parametrize(
    "decide",
    [lambda f, a, b, c: f.decide("person", a, c, False), lambda f, a, b, c: f.decide("person", c, a, False)],
    ids=["one way", "the other way"],
)
def test_a_decision_contradicting_other_decisions_is_rejected(
    firms: Firms, decide: Callable[[Firms, int, int, int], Decision]
) -> None:
    a, b, c = [
        row["person_id"]
        for row in firms.database.rows("select person_id from warehouse.known_person order by 1 limit 3")
    ]
    firms.decide("person", a, b, True)
    firms.decide("person", b, c, True)
    with pytest.raises(decisions.DecisionRefused, match="contradicts") as error:
        decide(firms, a, b, c)
    assert error.value.known is not None
    assert {error.value.known.left, error.value.known.right} == {b, c}


def test_two_kept_apart_can_not_be_tied_by_a_third(firms: Firms) -> None:
    a, b, c = [
        row["person_id"]
        for row in firms.database.rows("select person_id from warehouse.known_person order by 1 limit 3")
    ]
    firms.decide("person", a, c, False)
    firms.decide("person", a, b, True)
    with pytest.raises(decisions.DecisionRefused, match="contradicts"):
        firms.decide("person", b, c, True)


def test_a_decision_can_not_be_changed_or_taken_out(firms: Firms) -> None:
    pair = firms.waiting("person")[0]
    firms.decide("person", pair.left.id, pair.right.id, True)
    for statement in ("update control.identity_decision set is_same = false", "delete from control.identity_decision"):
        with psycopg.connect(firms.database.url()) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[call-overload]
