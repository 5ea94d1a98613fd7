"""Facts: after any loads in any order, each key has one open row, and every earlier state can be queried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from include.control.ledger import Counts, Pull
from include.errors import BalanceError, TargetUnavailable, WriterSuperseded
from include.staging.partitions import Partition
from include.warehouse import schema
from include.warehouse.fact import is_few
from include.warehouse.load import load
from tests.lives import LIVED, State, find_winner, states_of
from tests.warehouse.loading import (
    DAY,
    EDITED,
    NEXT,
    QUICK,
    Known,
    Loader,
    Make,
    follow_effort,
    position,
    read_positions,
    read_transactions,
    summarize,
    transaction,
)

KEYS = st.sampled_from("ABCD")
# Some states share their money, some their units; only all fields together differ.
HELD = st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from(["a1", "a2"]), st.sampled_from(["0.00", "10.05"]))
PULLED = st.sampled_from(["current", "historical", "replay"])
SNAPSHOTS = st.lists(
    st.tuples(PULLED, st.dictionaries(KEYS, HELD, max_size=4), st.sets(KEYS, max_size=2)), min_size=2, max_size=6
)


@dataclass
class Model:
    """The expected warehouse: the rule of a snapshot, in plain Python."""

    now: Known = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    then: dict[datetime, Known] = field(default_factory=dict)

    def take(self, rows: Known, dead: set[str], is_whole: bool) -> dict[str, int]:
        # A full snapshot replaces the set of dead rows.
        self.dead = dead | (set() if is_whole else self.dead)
        gone = self.now.keys() - rows.keys() - self.dead if is_whole else set()
        self.dead -= rows.keys()
        counts = {
            "inserted": len(rows.keys() - self.now.keys()),
            "updated": sum(key in self.now and self.now[key] != row for key, row in rows.items()),
            "unchanged": sum(self.now.get(key) == row for key, row in rows.items()),
            "withdrawn": len(gone),
        }
        self.now = {key: row for key, row in self.now.items() if key not in gone} | rows
        return {name: count for name, count in counts.items() if count}


def load_positions(loader: Loader, rows: Mapping[str, tuple[Any, str, str]], **options: Any) -> Counts:
    return loader.load(
        "position",
        [
            position(key, 0, account, money) | {"quantity": units if units is None else Decimal(units)}
            for key, (units, account, money) in rows.items()
        ],
        **options,
    )


@QUICK
@given(snapshots=SNAPSHOTS)
def test_any_snapshots_leave_one_open_row_a_key_and_a_whole_history(new_loader: Make, snapshots: list[Any]) -> None:
    loader, model = new_loader(), Model()
    for pulled, rows, dead in snapshots:
        dead -= rows.keys()
        expected = model.take(rows, dead, pulled != "replay")
        assert summarize(load_positions(loader, rows, pulled=pulled, dead=dead)) == expected
        assert read_positions(loader) == model.now
        model.then[loader.now()] = dict(model.now)
    for at, known in model.then.items():
        assert read_positions(loader, at) == known
    again = load_positions(loader, rows, pulled="replay")
    assert summarize(again) == ({"unchanged": len(rows)} if rows else {})


STATES = st.tuples(
    st.sampled_from([None, 0, 1, 2]),  # hours after EDITED
    st.sampled_from([DAY, date(2026, 11, 18)]),
    st.sampled_from(["posted", "reversed"]),
    st.sampled_from(["0.00", "-7.25"]),
)
EVENTS = st.lists(st.tuples(PULLED, st.dictionaries(KEYS, STATES, max_size=4)), min_size=2, max_size=6)


CHANGES = st.dictionaries(KEYS, HELD, max_size=2)


@QUICK
@given(pulls=st.lists(st.tuples(st.sampled_from(["current", "historical"]), CHANGES), min_size=2, max_size=6))
def test_any_pulls_of_a_day_with_few_changes_leave_the_rows_of_the_last_one(new_loader: Make, pulls: list[Any]) -> None:
    loader, model, rows = new_loader(), Model(), dict.fromkeys("ABCDEFGHIJKLMNOP", (1, "a1", "0.00"))
    for pulled, changes in pulls:
        rows |= changes
        expected = model.take(dict(rows), set(), is_whole=True)
        assert summarize(load_positions(loader, rows, pulled=pulled)) == expected
        assert read_positions(loader) == model.now


def is_older(state: tuple[Any, ...], stored: tuple[Any, ...]) -> bool:
    return None not in (state[0], stored[0]) and state[0] < stored[0]


@QUICK
@given(pulls=EVENTS)
def test_any_pulls_of_events_keep_the_newest_state_and_a_whole_history(new_loader: Make, pulls: list[Any]) -> None:
    loader, now, then = new_loader(), Known(), dict[datetime, Known]()
    for day, (pulled, rows) in enumerate(pulls):
        known = {key: state for key, state in rows.items() if key in now}
        older = {key for key, state in known.items() if is_older(state, now[key])}
        same = {key for key, state in known.items() if state == now[key]}
        expected = {
            "inserted": len(rows) - len(known),
            "updated": len(known) - len(same) - len(older),
            "unchanged": len(same),
            "superseded": len(older),
        }
        counts = loader.load(
            "transaction",
            [transaction(key, *state) for key, state in rows.items()],
            DAY + timedelta(day),
            pulled=pulled,
        )
        assert summarize(counts) == {name: count for name, count in expected.items() if count}
        now |= {key: state for key, state in rows.items() if key not in older}
        assert read_transactions(loader) == now
        then[loader.now()] = dict(now)
    for at, states in then.items():
        assert read_transactions(loader, at) == states


def envelope(state: State, key: str = "E") -> dict[str, Any]:
    hour, is_final, reopened = state
    return {
        "envelope_key": key, "subject": f"state {hour}", "is_final": is_final, "created_on": DAY,
        "status": "completed" if is_final else "sent",
        "changed_at": EDITED + timedelta(hours=hour),
        "reopened_at": None if reopened is None else EDITED + timedelta(hours=reopened),
    }  # fmt: skip


def read_newest_hour(loader: Loader) -> int:
    """Return the hour of the state in the warehouse."""
    [row] = loader.rows("select subject from warehouse.envelope where vendor = :vendor and recorded_to is null")
    return int(row["subject"].removeprefix("state "))


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ([(1, False, None), (2, True, None), (3, False, None)], 2),
        ([(2, True, None), (1, False, None)], 2),
        ([(2, True, None), (2, False, None)], 2),
        ([(2, True, None), (3, True, None)], 3),
        ([(2, True, None), (4, False, 3)], 4),
        ([(4, True, 3), (5, False, 3)], 4),
    ],
    ids=["continues", "late", "at once", "other end", "reopened", "reopened before"],
)
def test_end_is_undone_by_nothing_but_a_later_reopening(loader: Loader, states: list[State], counts: int) -> None:
    outcomes = [summarize(loader.load("envelope", [envelope(state)], pulled="selected")) for state in states]
    assert read_newest_hour(loader) == counts
    assert outcomes[0] == {"inserted": 1}
    assert outcomes[-1] == ({"updated": 1} if states[-1][0] == counts and len(states) == 2 and states[0][0] != counts
                         else {"superseded": 1})  # fmt: skip


@QUICK
@given(life=LIVED)
def test_states_of_a_life_one_after_the_other_leave_the_one_that_counts(new_loader: Make, life: list[str]) -> None:
    loader, states = new_loader(), states_of(life)
    for n, state in enumerate(states):
        loader.load("envelope", [envelope(state)], pulled="selected")
        assert read_newest_hour(loader) == states[find_winner(states[: n + 1])][0]


@QUICK
@given(life=LIVED, data=st.data())
def test_states_of_a_life_in_any_order_leave_the_one_that_counts(
    new_loader: Make, life: list[str], data: st.DataObject
) -> None:
    loader, states = new_loader(), states_of(life)
    for n in data.draw(st.permutations(range(len(states)))):
        loader.load("envelope", [envelope(states[n])], pulled="selected")
    assert read_newest_hour(loader) == states[find_winner(states)][0]


def test_an_event_may_change_its_trade_date(loader: Loader) -> None:
    loader.load("transaction", [transaction("T", 0, DAY, "posted", "1.00")])
    counts = loader.load("transaction", [transaction("T", 1, date(2026, 11, 18), "posted", "1.00")], NEXT)
    assert summarize(counts) == {"updated": 1}
    assert read_transactions(loader) == {"T": (1, date(2026, 11, 18), "posted", "1.00")}
    assert (
        len(loader.rows("select from warehouse.transaction where vendor = :vendor and trade_date = :day", day=DAY)) == 1
    )


def test_events_of_another_day_are_not_withdrawn(loader: Loader) -> None:
    loader.load("transaction", [transaction("T", 0, DAY, "posted", "1.00")])
    assert summarize(loader.load("transaction", [], NEXT)) == {}
    assert read_transactions(loader).keys() == {"T"}


def test_an_older_state_never_replaces_a_newer_one_that_came_between(loader: Loader) -> None:
    def stage(hours: int, day: date) -> tuple[Partition, Pull]:
        loader.stage("transaction", [transaction("T", hours, DAY, "posted", f"{hours}.00")], day, pulled="historical")
        return loader.partition, loader.pull

    def publish(engine: sa.Engine, partition: Partition, pull: Pull) -> Counts:
        return load(engine, loader.vendor, {partition: pull})["transaction"]["transaction"]

    publish(loader.engine, *stage(0, DAY))
    older, newer = stage(1, NEXT), stage(2, NEXT + timedelta(1))
    other = schema.engine(loader.database.url())
    came: list[Counts] = []

    @sa.event.listens_for(loader.engine, "before_cursor_execute")
    def come_between(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("update warehouse.transaction") and not came:
            came.append(publish(other, *newer))

    with pytest.raises(TargetUnavailable, match="changed the same rows"):
        publish(loader.engine, *older)
    assert summarize(came[0]) == {"updated": 1}
    assert summarize(publish(loader.engine, *older)) == {"superseded": 1}
    assert read_transactions(loader) == {"T": (2, DAY, "posted", "2.00")}
    other.dispose()


def test_a_dead_row_protects_its_key_and_the_keys_derived_from_it(loader: Loader) -> None:
    loader.load("position", map(position, ("p1", "p1:cash", "p10")))
    loader.load("position", [], dead=["p1"])
    assert read_positions(loader).keys() == {"p1", "p1:cash"}


def test_days_do_not_touch_each_other(loader: Loader) -> None:
    load_positions(loader, {"A": (1, "a1", "1.00")})
    load_positions(loader, {"B": (2, "a1", "2.00")}, day=NEXT)
    load_positions(loader, {}, day=NEXT)
    assert read_positions(loader).keys() == {"A"}
    assert read_positions(loader, day=NEXT) == {}


def test_vendors_do_not_touch_each_other(new_loader: Make) -> None:
    one, other = new_loader(), new_loader()
    load_positions(one, {"A": (1, "a1", "1.00")})
    load_positions(other, {"A": (2, "a1", "2.00")})
    load_positions(other, {})
    assert read_positions(one) == {"A": (1, "a1", "1.00")}


def test_the_same_pull_is_loaded_once(loader: Loader) -> None:
    first = load_positions(loader, {"A": (1, "a1", "1.00")})
    again = loader.publish()
    assert (summarize(again), again.money_out) == (summarize(first), Decimal("1.00"))
    [row] = loader.rows("select count(*) as rows from warehouse.position where vendor = :vendor")
    assert row["rows"] == 1


def test_row_that_came_after_a_snapshot_began_is_neither_replaced_nor_withdrawn_by_it(loader: Loader) -> None:
    loader.load("position", [position("A", 1), position("B", 1)])
    loader.stage("position", [position("A", 2), position("B", 2), position("C", 2)])
    daily = {loader.partition: loader.pull}
    loader.load("position", [position("A", 3), position("C", 2), position("D", 3)], pulled="pushed")
    counts = load(loader.engine, loader.vendor, daily)["position"]["position"]
    assert summarize(counts) == {"updated": 1, "superseded": 1, "unchanged": 1}
    assert {key: row[0] for key, row in read_positions(loader).items()} == {"A": 3, "B": 2, "C": 2, "D": 3}


def test_a_pull_older_than_the_loaded_one_is_refused(loader: Loader) -> None:
    loader.stage("position", [position("A", 1)])
    late = (loader.pull, loader.partition)
    load_positions(loader, {"A": (2, "a1", "2.00")})
    loader.pull, loader.partition = late
    with pytest.raises(WriterSuperseded, match="newer"):
        loader.publish()
    assert read_positions(loader)["A"][0] == 2


def test_corrected_day_replaces_a_pull_that_a_wrong_clock_dated_ahead(loader: Loader) -> None:
    loader.load("position", [position("A", 1)], is_ahead=True)
    load_positions(loader, {"A": (2, "a1", "2.00")})
    assert read_positions(loader)["A"][0] == 2


def test_a_row_that_points_to_nothing_stops_the_load(loader: Loader) -> None:
    lost = position("B", 0) | {"account_key": None}
    with pytest.raises(BalanceError, match="account"):
        loader.load("position", [position("A"), lost])
    assert read_positions(loader) == {}
    loader.load("position", [position("A")])
    with pytest.raises(BalanceError, match="account"):
        loader.load("position", [position("A"), lost])
    assert read_positions(loader).keys() == {"A"}


def test_money_is_exact_beyond_what_a_float_holds(loader: Loader) -> None:
    worth = [Decimal("90071992547409.93"), Decimal("-90071992547409.92"), Decimal("0.01")]
    rows = [position(f"P{n}", 0, money=str(money)) for n, money in enumerate(worth)]
    counts = loader.load("position", rows)
    assert (counts.money_in, counts.money_out) == (Decimal("0.02"), Decimal("0.02"))
    assert sorted(Decimal(row[2]) for row in read_positions(loader).values()) == sorted(worth)


def test_many_rows_load_as_few_do(loader: Loader) -> None:
    """Above some thousands of rows the load uses another query plan."""
    rows = [position(f"P{n}", n % 97, account=f"a{n // 10}") for n in range(12_000)]
    assert summarize(loader.load("position", rows)) == {"inserted": 12_000}
    rows[5]["quantity"] += 1
    assert summarize(loader.load("position", rows[1:])) == {"updated": 1, "unchanged": 11_998, "withdrawn": 1}


def read_effort(loader: Loader, load_rows: Callable[[], Counts]) -> tuple[Counts, int]:
    """Load, and return the counts and the largest number of rows that one statement on stored rows read."""
    stored = f"warehouse.{loader.pull.table_name} f"
    read = follow_effort(loader.engine, lambda statement: stored in statement and "select exists" not in statement)
    return load_rows(), max(read)


def test_few_positions_are_looked_up_in_a_day_that_the_planner_takes_for_one_row(loader: Loader) -> None:
    loader.load("position", [position(f"K{n:05}", n) for n in range(12_000)])
    changed = [position(f"K{n:05}", n + 1) for n in range(1_000)]
    counts, read = read_effort(loader, lambda: loader.load("position", changed, pulled="replay"))
    assert summarize(counts) == {"updated": 1_000}
    assert read < 12_000


def test_few_pushed_events_are_looked_up_among_events_that_the_planner_takes_for_one_row(loader: Loader) -> None:
    loader.load("transaction", [transaction(f"K{n:05}", 0, DAY, "posted", "1") for n in range(12_000)])
    changed = [transaction(f"K{n:05}", 1, DAY, "posted", "2") for n in range(1_000)]
    counts, read = read_effort(loader, lambda: loader.load("transaction", changed, pulled="pushed"))
    assert summarize(counts) == {"updated": 1_000}
    assert read < 12_000


@pytest.mark.parametrize(("copied", "stored", "few"), [
    (10_000, 0, True), (10_001, 0, False), (10_001, 500_000, False), (100_000, 9_900_000, True), (200_000, 9_800_000, False),
])  # fmt: skip
def test_rows_are_looked_up_if_they_are_few_beside_the_rows_of_the_day(copied: int, stored: int, few: bool) -> None:
    assert is_few(copied, stored) is few


@pytest.fixture
def losing_database(loader: Loader) -> Iterator[None]:
    """A database that stores no position with the key LOST."""
    loader.database.do("create function public.lose() returns trigger language plpgsql as $$ begin return null; end $$")
    loader.database.do(
        "create trigger lose before insert on warehouse.position for each row when (new.position_key = 'LOST')"
        " execute function public.lose()"
    )
    yield
    loader.database.do("drop function public.lose cascade")


@pytest.mark.usefixtures("losing_database")
def test_first_load_of_which_the_database_does_not_store_every_row_fails(loader: Loader) -> None:
    """The lost row has no money, so only the number of rows shows the loss."""
    with pytest.raises(BalanceError, match="Not every row was copied"):
        loader.load("position", [position("A", 1), position("LOST", 0)])
    assert read_positions(loader) == {}
