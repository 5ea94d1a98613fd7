"""Withdrawal of pushes: the records get back what they were, at any time and in any order, and every earlier state can be queried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.errors import WriterSuperseded
from include.gateway.api import request_queue
from include.gateway.api.request_queue import Attempt
from include.warehouse import withdrawal
from tests.firm_keys import KEYRING, register_inbox_key
from tests.warehouse.loading import DAY, NEXT, Loader, Make, dead_letter, position

Records = dict[str, Any]
CALLER = "token:mule"
QUICK = settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class Firm:
    """A vendor's loads, pushes and withdrawals of one entity."""

    loader: Loader
    entity: str
    make: Callable[[str, Any], Records]
    pushes: list[tuple[str, int]] = field(default_factory=list)
    attempts: int = 0

    def pull(self, rows: Records, day: date = DAY, **options: Any) -> None:
        self.loader.load(self.entity, [self.make(*each) for each in rows.items()], day, **options)

    def push(self, rows: Records, day: date = DAY, **options: Any) -> int:
        """Push records, and load them; return the place in `pushes`."""
        attempt = self._attempt(str(self.attempts).encode())
        loader, key = self.loader, KEYRING.receiving_key
        register_inbox_key(loader.database)
        sent = request_queue.push(loader.engine, attempt, loader.vendor.name, self.entity, b"[]", key)
        [row] = self.loader.rows(
            "select inbox_id from control.inbox where event_id = :id and sender like 'push.%'", id=sent.request_id
        )
        self.pushes.append((sent.request_id, row["inbox_id"]))
        self.pull(rows, day, push=row["inbox_id"], **options)
        return len(self.pushes) - 1

    def withdraw(self, number: int) -> tuple[int, int, int]:
        """Withdraw a push; return the numbers of records withdrawn, restored and superseded."""
        event, inbox_id = self.pushes[number]
        request_queue.withdraw(self.loader.engine, self._attempt(b""), event)
        counts = withdrawal.withdraw(
            self.loader.engine, self.loader.vendor.name, self.entity, inbox_id, "drain-1", CALLER
        )
        return counts["withdrawn"], counts["restored"], counts["superseded"]

    def now(self) -> Records:
        """Return the value of each record now."""
        return self.at("infinity")

    def at(self, moment: Any) -> Records:
        """Return the value of each record as known at a time."""
        value = {"position": "cast(quantity as int)", "person": "name"}[self.entity]
        valid = " and valid_to is null" if self.entity == "person" else ""
        rows = self.loader.rows(
            f"select {self.entity}_key as key, {value} as value from warehouse.{self.entity} where vendor = :vendor{valid}"
            " and recorded_from <= cast(:at as timestamptz) and coalesce(recorded_to, 'infinity') > least(cast(:at as timestamptz), '9999-01-01')",
            at=moment,
        )
        assert len(rows) == len({row["key"] for row in rows}), "a record has two states at once"
        return {row["key"]: row["value"] for row in rows}

    def history(self) -> dict[str, list[tuple[date, date | None, str]]]:
        """Return the days on which each person's name is valid, as known now."""
        rows = self.loader.rows(
            "select person_key, valid_from, valid_to, name from warehouse.person where vendor = :vendor and recorded_to is null"
            " order by valid_from"
        )
        known: dict[str, list[tuple[date, date | None, str]]] = {}
        for row in rows:
            known.setdefault(row["person_key"], []).append((row["valid_from"], row["valid_to"], row["name"]))
        return known

    def _attempt(self, body: bytes) -> Attempt:
        self.attempts += 1
        return Attempt.of(CALLER, f"{self.loader.vendor.name}-{self.attempts}", "x", body)


def make_person(key: str, name: str) -> Records:
    return {"person_key": key, "name": name}


@pytest.fixture
def holdings(loader: Loader) -> Firm:
    return Firm(loader, "position", position)


@pytest.fixture
def people(loader: Loader) -> Firm:
    return Firm(loader, "person", make_person)


# --- one push ---


def test_pushed_record_ends(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    number = holdings.push({"B": 12})
    assert holdings.withdraw(number) == (1, 0, 0)
    assert holdings.now() == {"A": 1}


def test_changed_record_gets_its_earlier_version_back_with_history(holdings: Firm) -> None:
    holdings.pull({"A": 1, "B": 2})
    before = holdings.loader.now()
    number = holdings.push({"A": 11, "B": 2})
    pushed = holdings.loader.now()
    assert holdings.withdraw(number) == (1, 1, 0)
    assert holdings.now() == holdings.at(before) == {"A": 1, "B": 2}
    assert holdings.at(pushed) == {"A": 11, "B": 2}


def test_restored_version_names_the_load_that_brought_it(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    holdings.withdraw(holdings.push({"A": 11}))
    runs = holdings.loader.rows(
        "select run_id from warehouse.position p join control.ledger on ledger_id = source_run_id"
        " where p.vendor = :vendor and recorded_to is null"
    )
    assert runs == [{"run_id": "run-1"}]


def test_record_that_changed_since_is_superseded(holdings: Firm) -> None:
    holdings.pull({"A": 1, "B": 2})
    number = holdings.push({"A": 11, "B": 12})
    holdings.pull({"A": 3, "B": 12})
    assert holdings.withdraw(number) == (0, 0, 2)
    assert holdings.now() == {"A": 3, "B": 12}


def test_record_that_a_full_pull_confirms_is_superseded(people: Firm) -> None:
    people.pull({"A": "a"})
    number = people.push({"A": "right", "B": "wrong"})
    people.pull({"A": "right"})
    assert people.withdraw(number) == (1, 0, 1)
    assert people.now() == {"A": "right"}


def test_earlier_pull_that_a_wrong_clock_dated_ahead_confirms_no_record(people: Firm) -> None:
    people.pull({"A": "a"}, is_ahead=True)
    number = people.push({"A": "wrong"})
    assert people.withdraw(number) == (1, 1, 0)
    assert people.now() == {"A": "a"}


def test_pull_of_another_day_confirms_no_holding(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    number = holdings.push({"A": 11})
    holdings.pull({"A": 11}, NEXT)
    assert holdings.withdraw(number) == (1, 1, 0)


def test_record_that_the_vendor_removed_before_the_push_ends(holdings: Firm) -> None:
    holdings.pull({"A": 1, "B": 2})
    holdings.pull({"B": 2})
    assert holdings.withdraw(holdings.push({"A": 11})) == (1, 0, 0)
    assert holdings.now() == {"B": 2}


def test_days_of_a_description_are_as_before_the_push(people: Firm) -> None:
    people.pull({"A": "a"}, DAY)
    before = people.history()
    number = people.push({"A": "wrong", "B": "wrong"}, NEXT)
    assert [each[:2] for each in people.history()["A"]] == [(DAY, NEXT), (NEXT, None)]
    assert people.withdraw(number) == (2, 1, 0)
    assert people.history() == before


# --- several pushes ---


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_pushes_of_one_record_are_withdrawn_in_any_order(people: Firm, order: tuple[int, int]) -> None:
    people.pull({"A": "a"}, DAY)
    before = people.history()
    people.push({"A": "b"}, NEXT)
    people.push({"A": "c"}, NEXT + timedelta(days=1))
    for number in order:
        people.withdraw(number)
    assert people.history() == before


def test_days_before_the_restored_version_stay(people: Firm) -> None:
    first, second, third = (NEXT + timedelta(days=n) for n in range(3))
    people.pull({"A": "a"}, DAY)
    people.push({"A": "x"}, first)
    people.pull({"A": "b"}, second)
    before = people.history()
    people.push({"A": "y"}, third)
    people.withdraw(0)
    people.withdraw(1)
    assert people.history() == before == {"A": [(DAY, first, "a"), (first, second, "x"), (second, None, "b")]}


def test_members_of_a_set_that_the_push_replaced_are_restored(loader: Loader) -> None:
    def make(key: str, _: Any) -> Records:
        return {"account_owner_key": key, "account_key": "a1", "person_key": key}

    owners = Firm(loader, "account_owner", make)
    owners.pull({"p1": None, "p2": None}, DAY)
    number = owners.push({"p2": None, "p3": None}, NEXT)
    assert owners.withdraw(number) == (2, 1, 0)
    rows = loader.rows(
        "select account_owner_key as key, valid_from, valid_to from warehouse.account_owner"
        " where vendor = :vendor and recorded_to is null order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [("p1", DAY, None), ("p2", DAY, None)]


Step = tuple[str, Records]
KEYS = st.sampled_from("ABC")


def steps(pulled: st.SearchStrategy[Any], pushed: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Step]]:
    rows = [
        st.tuples(st.just(kind), st.dictionaries(KEYS, values, min_size=1))
        for kind, values in (("pull", pulled), ("push", pushed))
    ]
    withdrawn = st.tuples(st.just("withdraw"), st.fixed_dictionaries({"push": st.integers(0, 9)}))
    return st.lists(st.one_of(*rows, withdrawn), min_size=3, max_size=9)


class Model:
    """The versions of each record, in plain Python: (push or None, value); None as value: removed by the vendor."""

    def __init__(self, is_snapshot: bool) -> None:
        self.is_snapshot, self.versions, self.withdrawn = (
            is_snapshot,
            dict[str, list[tuple[int | None, Any]]](),
            set[int](),
        )

    def load(self, push: int | None, rows: Records) -> None:
        for key, value in rows.items():
            if self.value(key) != value:
                self.versions.setdefault(key, []).append((push, value))
        if push is None and self.is_snapshot:
            for key in self.now().keys() - rows.keys():
                self.versions[key].append((None, None))

    def withdraw(self, push: int) -> None:
        self.withdrawn.add(push)
        for known in self.versions.values():
            if known[-1][0] in self.withdrawn:
                others = [each for each in known if each[0] not in self.withdrawn]
                known.append(others[-1] if others else (None, None))

    def value(self, key: str) -> Any:
        known = self.versions.get(key)
        return known[-1][1] if known else None

    def now(self) -> Records:
        return {key: value for key in self.versions if (value := self.value(key)) is not None}


def run(firm: Firm, model: Model, story: list[Step], day: Callable[[int], date]) -> None:
    then = []
    for number, (kind, values) in enumerate(story):
        if kind == "withdraw":
            if firm.pushes:
                push = values["push"] % len(firm.pushes)
                firm.withdraw(push)
                model.withdraw(push)
        else:
            push_number = firm.push(values, day(number)) if kind == "push" else firm.pull(values, day(number))
            model.load(push_number, values)
        assert firm.now() == model.now(), story[: number + 1]
        then.append((firm.loader.now(), model.now()))
    for moment, known in then:
        assert firm.at(moment) == known


@QUICK
@given(story=steps(st.integers(1, 2), st.integers(11, 12)))
def test_any_order_of_pulls_pushes_and_withdrawals_of_holdings(new_loader: Make, story: list[Step]) -> None:
    run(Firm(new_loader(), "position", position), Model(is_snapshot=True), story, lambda number: DAY)


@QUICK
@given(story=steps(st.sampled_from("ab"), st.sampled_from("xy")), pace=st.integers(0, 2))
def test_any_order_of_pulls_pushes_and_withdrawals_of_people(new_loader: Make, story: list[Step], pace: int) -> None:
    firm = Firm(new_loader(), "person", make_person)
    run(firm, Model(is_snapshot=False), story, lambda number: DAY + timedelta(days=number * pace // 2))


# --- running again, and other writers ---


def test_second_run_changes_nothing_and_returns_the_same(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    number = holdings.push({"A": 11, "B": 12})
    rows = "select * from warehouse.position where vendor = :vendor order by recorded_from, position_key"
    first, known = holdings.withdraw(number), holdings.loader.rows(rows)
    assert holdings.withdraw(number) == first == (2, 1, 0)
    assert holdings.loader.rows(rows) == known


def test_push_that_was_loaded_twice_is_withdrawn_whole(holdings: Firm) -> None:
    """A task that is killed after the load, and before it marks the push, loads it again."""
    holdings.pull({"A": 1})
    number = holdings.push({"A": 11})
    holdings.pull({"A": 11}, push=holdings.pushes[number][1])
    assert holdings.withdraw(number) == (1, 1, 0)
    assert holdings.now() == {"A": 1}


def test_push_that_was_not_loaded_withdraws_nothing(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    holdings.pushes.append(holdings.pushes[holdings.push({})])
    assert holdings.withdraw(0) == (0, 0, 0)
    assert holdings.now() == {"A": 1}


def test_dead_letters_of_the_push_are_discarded(holdings: Firm) -> None:
    number = holdings.push({"A": 11}, dead=[dead_letter("position", "B")])
    holdings.pull({"C": 1}, NEXT, dead=[dead_letter("position", "D")])
    holdings.withdraw(number)
    rows = holdings.loader.rows(
        "select row_key, status, discarded_by from control.dead_letter where vendor = :vendor order by row_key"
    )
    assert [tuple(row.values()) for row in rows] == [("B", "discarded", CALLER), ("D", "open", None)]


def test_late_withdrawal_is_rejected(holdings: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    holdings.pull({"A": 1})
    number = holdings.push({"A": 11})
    undo = withdrawal._undo

    def undo_late(connection: sa.Connection, *args: Any) -> tuple[int, int]:
        done = undo(connection, *args)
        with holdings.loader.engine.begin() as other:
            other.execute(sa.text("update control.writer set fence = nextval('control.fence') where subject like :name"),
                          {"name": f"load:{holdings.loader.vendor.name}:position:pushed"})  # fmt: skip
        return done

    monkeypatch.setattr(withdrawal, "_undo", undo_late)
    with pytest.raises(WriterSuperseded):
        holdings.withdraw(number)
    assert holdings.now() == {"A": 11}


def test_ledger_and_audit_trail_show_the_withdrawal(holdings: Firm) -> None:
    holdings.pull({"A": 1})
    holdings.withdraw(holdings.push({"A": 11, "B": 12}))
    [row] = holdings.loader.rows(
        "select details from control.audit where action = 'data.loaded' and subject like :vendor || ' %' order by entry_id desc limit 1"
    )
    assert row["details"]["withdrawn"] == 2
    assert (row["details"]["inserted"], row["details"]["produced"]) == (1, 1)
