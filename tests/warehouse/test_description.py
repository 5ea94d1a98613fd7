"""Descriptions: versions by day, each state as known then; a masked value or a historical pull overwrites nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.warehouse.loading import DAY, NEXT, Loader, Make, declare, summarize

BEFORE, AFTER = date(2026, 11, 19), date(2026, 11, 24)
KEYS = st.sampled_from("ABC")
# Name, last four of the tax id (null where it is masked), household.
PERSON = st.tuples(st.sampled_from(["Ada Sample", None]), st.sampled_from(["1111", "2222", None]), st.just("h1"))
PULLS = st.lists(
    st.tuples(
        st.sampled_from([BEFORE, DAY, DAY, NEXT, NEXT, AFTER]),
        st.sampled_from(["current", "current", "historical"]),
        st.dictionaries(KEYS, PERSON, max_size=3),
    ),
    min_size=2,
    max_size=6,
)
Person = tuple[str | None, str | None, str | None]
Version = tuple[date, date | None, Person]


def person(key: str, name: str | None, last4: str | None, household: str | None) -> dict[str, Any]:
    return {"person_key": key, "name": name, "tax_id_last4": last4, "household_key": household}


def versions(loader: Loader, at: datetime | None = None) -> dict[str, list[Version]]:
    """Read the versions of every person as known at a time, or now, oldest first."""
    rows = loader.rows(
        "select person_key, valid_from, valid_to, name, tax_id_last4, source_key from warehouse.person"
        " left join warehouse.source_key on id = household_id"
        " where person.vendor = :vendor and recorded_from <= coalesce(cast(:at as timestamptz), 'infinity')"
        " and (recorded_to is null or recorded_to > cast(:at as timestamptz)) order by valid_from",
        at=at,
    )
    by_person: dict[str, list[Version]] = {}
    for row in rows:
        state = (row["name"], row["tax_id_last4"], row["source_key"])
        by_person.setdefault(row["person_key"], []).append((row["valid_from"], row["valid_to"], state))
    return by_person


class Model:
    """The expected warehouse: the rule of a description, in plain Python."""

    def __init__(self) -> None:
        self.now: dict[str, list[Version]] = {}
        self.then: dict[datetime, dict[str, list[Version]]] = {}

    def take(self, day: date, pulled: str, rows: dict[str, Person]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for key, arrived in rows.items():
            outcome = self._take_one(day, pulled == "historical", key, arrived)
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def _take_one(self, day: date, is_past: bool, key: str, arrived: Person) -> str:
        if key not in self.now:
            # A historical pull runs on the evening of DAY and knows nothing of earlier days.
            self.now[key] = [(DAY if is_past else day, None, arrived)]
            return "inserted"
        *ended, (first, _, stored) = self.now[key]
        state = (arrived[0], arrived[1] or stored[1], arrived[2])
        if state == stored:
            return "unchanged"
        if is_past or first > day:
            return "superseded"
        self.now[key] = ended + ([(first, day, stored)] if first < day else []) + [(day, None, state)]
        return "updated"


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pulls=PULLS)
def test_any_pulls_give_versions_without_gaps_and_a_whole_history(new_loader: Make, pulls: list[Any]) -> None:
    loader, model = new_loader(), Model()
    for day, pulled, rows in pulls:
        expected = model.take(day, pulled, rows)
        counts = loader.load("person", [person(key, *state) for key, state in rows.items()], day, pulled=pulled)
        assert summarize(counts) == expected
        assert versions(loader) == model.now
        model.then[loader.now()] = {key: list(known) for key, known in model.now.items()}
    for at, known in model.then.items():
        assert versions(loader, at) == known


ADA = ("Ada Sample", "1111", "h1")
EVA = ("Eva Sample", "1111", "h1")


def test_a_change_ends_a_version_and_begins_one(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    known_then = loader.now()
    assert summarize(loader.load("person", [person("A", *EVA)], NEXT)) == {"updated": 1}
    assert versions(loader) == {"A": [(DAY, NEXT, ADA), (NEXT, None, EVA)]}
    assert versions(loader, known_then) == {"A": [(DAY, None, ADA)]}


def test_a_change_on_the_same_day_replaces_the_version(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    known_then = loader.now()
    loader.load("person", [person("A", *EVA)], DAY)
    assert versions(loader) == {"A": [(DAY, None, EVA)]}
    assert versions(loader, known_then) == {"A": [(DAY, None, ADA)]}


def test_a_day_before_the_version_changes_nothing(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], NEXT)
    assert summarize(loader.load("person", [person("A", *EVA)], DAY)) == {"superseded": 1}
    assert versions(loader) == {"A": [(NEXT, None, ADA)]}


def test_the_later_pull_wins_even_if_loaded_first(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.stage("person", [person("A", "Ada Earlier", "1111", "h1"), person("B", *ADA)], NEXT)
    earlier = loader.pull, loader.partition
    loader.load("person", [person("A", *EVA)], NEXT, pulled="selected")
    loader.pull, loader.partition = earlier
    assert summarize(loader.publish()) == {"inserted": 1, "superseded": 1}
    assert versions(loader) == {"A": [(DAY, NEXT, ADA), (NEXT, None, EVA)], "B": [(NEXT, None, ADA)]}


def test_what_is_absent_from_a_feed_stays(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    assert summarize(loader.load("person", [], NEXT)) == {}
    assert versions(loader) == {"A": [(DAY, None, ADA)]}


def test_a_historical_pull_adds_only_unknown_people(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    counts = loader.load("person", [person("A", *EVA), person("B", *EVA)], BEFORE, pulled="historical")
    assert summarize(counts) == {"inserted": 1, "superseded": 1}
    assert versions(loader) == {"A": [(DAY, None, ADA)], "B": [(DAY, None, EVA)]}


def test_a_person_whom_a_historical_pull_added_may_change_by_the_run_of_the_same_day(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], BEFORE, pulled="historical")
    assert summarize(loader.load("person", [person("A", *EVA)], DAY)) == {"updated": 1}
    assert versions(loader) == {"A": [(DAY, None, EVA)]}


def test_a_masked_field_keeps_what_was_known(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    assert summarize(loader.load("person", [person("A", "Ada Sample", None, "h1")], NEXT)) == {"unchanged": 1}
    assert summarize(loader.load("person", [person("A", "Eva Sample", None, "h1")], NEXT)) == {"updated": 1}
    assert versions(loader)["A"][-1] == (NEXT, None, EVA)


def test_a_field_that_is_not_masked_may_become_null(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("person", [person("A", None, "1111", None)], NEXT)
    assert versions(loader)["A"][-1] == (NEXT, None, (None, "1111", None))


def test_a_thing_keeps_its_id_through_its_versions(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("person", [person("A", *EVA)], NEXT)
    [row] = loader.rows(
        "select count(distinct person_id) as ids, min(id) = min(person_id) as is_same from warehouse.person"
        " join warehouse.source_key on entity = 'person' and source_key = person_key"
        " and source_key.vendor = person.vendor where person.vendor = :vendor"
    )
    assert row == {"ids": 1, "is_same": True}


def entity(key: str, name: str) -> dict[str, Any]:
    return {"legal_entity_key": key, "name": name, "entity_kind": "trust"}


def open_entities(loader: Loader) -> list[tuple[str, date, date | None]]:
    rows = loader.rows(
        "select name, valid_from, valid_to from warehouse.legal_entity where vendor = :vendor and recorded_to is null order by valid_from"
    )
    return [(row["name"], row["valid_from"], row["valid_to"]) for row in rows]


def test_a_key_that_is_a_legal_entity_now_is_no_person_from_that_day(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA), person("B", *EVA)], DAY)
    known_then = loader.now()
    counts = loader.load("legal_entity", [entity("A", "The Ada Sample Trust")], NEXT)
    assert summarize(counts) == {"inserted": 1, "withdrawn": 1}
    assert versions(loader) == {"A": [(DAY, NEXT, ADA)], "B": [(DAY, None, EVA)]}
    assert versions(loader, known_then)["A"] == [(DAY, None, ADA)]
    assert open_entities(loader) == [("The Ada Sample Trust", NEXT, None)]


def test_a_key_that_was_a_person_of_the_same_day_was_never_one(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("legal_entity", [entity("A", "The Ada Sample Trust")], DAY)
    assert versions(loader) == {}


def test_a_key_that_is_a_person_again_is_no_legal_entity_from_that_day(loader: Loader) -> None:
    loader.load("legal_entity", [entity("A", "The Ada Sample Trust")], DAY)
    loader.load("person", [person("A", *ADA)], NEXT)
    assert versions(loader) == {"A": [(NEXT, None, ADA)]}
    assert open_entities(loader) == [("The Ada Sample Trust", DAY, NEXT)]


def test_a_person_that_is_a_legal_entity_now_is_recorded_as_absent(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("legal_entity", [entity("A", "The Ada Sample Trust")], NEXT)
    absent = loader.rows("select entity, source_key, absent_since from control.absence where vendor = :vendor")
    assert absent == [{"entity": "person", "source_key": "A", "absent_since": NEXT}]


def test_a_historical_pull_leaves_a_person_a_person(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("legal_entity", [entity("A", "The Ada Sample Trust")], BEFORE, pulled="historical")
    assert versions(loader) == {"A": [(DAY, None, ADA)]}


def test_a_pull_requested_earlier_leaves_a_newer_person_a_person(loader: Loader) -> None:
    loader.stage("legal_entity", [entity("A", "The Ada Sample Trust")], NEXT)
    earlier = loader.pull, loader.partition
    loader.load("person", [person("A", *ADA)], NEXT)
    loader.pull, loader.partition = earlier
    loader.publish()
    assert versions(loader) == {"A": [(NEXT, None, ADA)]}


def owner(account: str, household: str) -> dict[str, Any]:
    return {
        "account_owner_key": f"{account}:{household}", "account_key": account, "household_key": household,
        "share_ratio": Decimal(1),
    }  # fmt: skip


def owners(loader: Loader) -> dict[str, list[tuple[date, date | None]]]:
    rows = loader.rows(
        "select account_owner_key, valid_from, valid_to from warehouse.account_owner"
        " where vendor = :vendor and recorded_to is null order by valid_from"
    )
    by_owner: dict[str, list[tuple[date, date | None]]] = {}
    for row in rows:
        by_owner.setdefault(row["account_owner_key"], []).append((row["valid_from"], row["valid_to"]))
    return by_owner


def test_selected_row_corrects_a_pull_that_a_wrong_clock_dated_ahead(loader: Loader) -> None:
    loader.load("person", [person("A", "Ada Wrong", None, "h1")], is_ahead=True)
    counts = loader.load("person", [person("A", "Ada Sample", None, "h1")], pulled="selected")
    assert summarize(counts) == {"updated": 1}


def test_an_account_that_moves_leaves_its_household(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1"), owner("a2", "h1")], DAY)
    counts = loader.load("account_owner", [owner("a1", "h2"), owner("a2", "h1")], NEXT)
    assert summarize(counts) == {"inserted": 1, "unchanged": 1, "withdrawn": 1}
    assert owners(loader) == {"a1:h1": [(DAY, NEXT)], "a1:h2": [(NEXT, None)], "a2:h1": [(DAY, None)]}


def test_an_account_that_moves_back_on_the_same_day_was_never_away(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1")], DAY)
    loader.load("account_owner", [owner("a1", "h2")], NEXT)
    loader.load("account_owner", [owner("a1", "h1")], NEXT)
    assert owners(loader) == {"a1:h1": [(DAY, NEXT), (NEXT, None)]}


def test_an_account_that_is_absent_keeps_its_owner(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1"), owner("a2", "h1")], DAY)
    assert summarize(loader.load("account_owner", [owner("a2", "h1")], NEXT)) == {"unchanged": 1}
    assert owners(loader) == {"a1:h1": [(DAY, None)], "a2:h1": [(DAY, None)]}


def test_a_historical_pull_that_sees_a_move_first_leaves_it_to_the_current_one(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1")], DAY)
    assert summarize(loader.load("account_owner", [owner("a1", "h2")], BEFORE, pulled="historical")) == {
        "superseded": 1
    }
    assert owners(loader) == {"a1:h1": [(DAY, None)]}
    loader.load("account_owner", [owner("a1", "h2")], NEXT)
    assert owners(loader) == {"a1:h1": [(DAY, NEXT)], "a1:h2": [(NEXT, None)]}


def test_a_day_that_is_loaded_late_leaves_newer_owners_alone(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1")], BEFORE)
    loader.load("account_owner", [owner("a1", "h2")], NEXT)
    assert summarize(loader.load("account_owner", [owner("a1", "h1")], DAY)) == {"superseded": 1}
    assert owners(loader) == {"a1:h1": [(BEFORE, NEXT)], "a1:h2": [(NEXT, None)]}


def test_a_replayed_move_is_a_move(loader: Loader) -> None:
    loader.load("account_owner", [owner("a1", "h1")], DAY)
    counts = loader.load("account_owner", [owner("a1", "h2")], NEXT, pulled="replay")
    assert summarize(counts) == {"inserted": 1, "withdrawn": 1}
    assert owners(loader) == {"a1:h1": [(DAY, NEXT)], "a1:h2": [(NEXT, None)]}


def test_a_replay_of_a_past_day_writes_no_past_version(loader: Loader) -> None:
    loader.load("person", [person("A", *ADA)], BEFORE)
    counts = loader.load("person", [person("A", *EVA), person("B", *EVA)], BEFORE, pulled="replay", is_past=True)
    assert summarize(counts) == {"inserted": 1, "superseded": 1}
    assert versions(loader) == {"A": [(BEFORE, None, ADA)], "B": [(DAY, None, EVA)]}


@pytest.fixture
def two_versions(loader: Loader) -> Iterator[sa.Connection]:
    """A person with a version of [DAY, NEXT) and one from NEXT on; the test's writes are rolled back."""
    loader.load("person", [person("A", *ADA)], DAY)
    loader.load("person", [person("A", *EVA)], NEXT)
    with loader.engine.connect() as connection:
        connection.info["vendor"] = loader.vendor.name
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "is_refused"),
    [
        (BEFORE, None, True),
        (DAY, NEXT, True),
        (NEXT, None, True),
        (AFTER, None, True),
        (BEFORE, AFTER, True),
        (BEFORE, DAY, False),
    ],
)
def test_the_database_refuses_versions_that_overlap(
    two_versions: sa.Connection, valid_from: date, valid_to: date | None, is_refused: bool
) -> None:
    copy = sa.text(
        "insert into warehouse.person (person_id, vendor, person_key, valid_from, valid_to, recorded_from, source_run_id)"
        " select person_id, vendor, person_key, :valid_from, :valid_to, now(), 0 from warehouse.person"
        " where vendor = :vendor and valid_from = :next"
    )
    values = {"valid_from": valid_from, "valid_to": valid_to, "next": NEXT, "vendor": two_versions.info["vendor"]}
    if is_refused:
        with pytest.raises(sa.exc.IntegrityError, match="excl"):
            two_versions.execute(copy, values)
    else:
        assert two_versions.execute(copy, values).rowcount == 1


@pytest.fixture
def naming(loader: Loader) -> Loader:
    """A vendor whose securities are only named, by its transactions."""
    maps = tuple(replace(each, is_partial=each.entity == "security") for each in loader.vendor.maps)
    loader.vendor = replace(loader.vendor, maps=maps)
    return loader


def test_a_row_that_only_names_a_thing_adds_it(naming: Loader) -> None:
    assert summarize(naming.load("security", [{"security_key": "s1", "ticker": "SMPL"}])) == {"inserted": 1}
    [row] = naming.rows("select ticker, is_past_only from warehouse.security where vendor = :vendor")
    assert (row["ticker"], row["is_past_only"]) == ("SMPL", False)


def test_a_row_that_only_names_a_thing_never_overwrites_what_describes_it(naming: Loader) -> None:
    whole, partial = replace(naming.vendor, maps=declare("x").maps), naming.vendor
    naming.vendor = whole
    naming.load("security", [{"security_key": "s1", "name": "Sample", "ticker": "SMPL"}])
    naming.vendor = partial
    counts = naming.load("security", [{"security_key": "s1", "ticker": "OTHER"}, {"security_key": "s2"}], NEXT)
    assert summarize(counts) == {"inserted": 1, "unchanged": 1}
    rows = naming.rows(
        "select security_key, name, ticker, valid_to from warehouse.security where vendor = :vendor and recorded_to is null and valid_to is null order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [("s1", "Sample", "SMPL", None), ("s2", None, None, None)]


def test_what_describes_a_thing_takes_the_place_of_what_only_named_it(naming: Loader) -> None:
    partial = naming.vendor
    naming.load("security", [{"security_key": "s1", "ticker": "SMPL"}])
    naming.vendor = replace(partial, maps=declare("x").maps)
    assert summarize(naming.load("security", [{"security_key": "s1", "name": "Sample"}])) == {"updated": 1}
    assert (
        naming.rows(
            "select name from warehouse.security where vendor = :vendor and recorded_to is null and valid_to is null"
        )[0]["name"]
        == "Sample"
    )
