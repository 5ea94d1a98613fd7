"""Soft deletes: keys missing from a full pull are recorded, and their rows stay unchanged."""

from __future__ import annotations

from tests.warehouse.loading import DAY, NEXT, Loader


def load(loader: Loader, *keys: str, **options: object) -> None:
    loader.load("household", [{"household_key": key, "name": key} for key in keys], **options)


def read_absences(loader: Loader) -> dict[str, object]:
    rows = loader.rows("select source_key, absent_since from control.absence where vendor = :vendor order by 1")
    return {row["source_key"]: row["absent_since"] for row in rows}


def read_current_keys(loader: Loader) -> list[str]:
    query = "select household_key from warehouse.household where vendor = :vendor and valid_to is null and recorded_to is null"
    return sorted(row["household_key"] for row in loader.rows(query))


def test_what_is_missing_is_noted_since_when_and_stays_described(loader: Loader) -> None:
    load(loader, "A", "B")
    assert read_absences(loader) == {}
    load(loader, "A", day=NEXT)
    load(loader, "A", day=NEXT)
    assert read_absences(loader) == {"B": NEXT}
    assert read_current_keys(loader) == ["A", "B"]


def test_what_comes_back_is_absent_no_more(loader: Loader) -> None:
    load(loader, "A", "B")
    load(loader, "A")
    load(loader, "A", "B", day=NEXT)
    assert read_absences(loader) == {}


def test_rows_seen_after_the_pull_are_not_absent(loader: Loader) -> None:
    loader.stage("household", [{"household_key": "A", "name": "A"}])
    earlier = loader.pull, loader.partition
    load(loader, "B", pulled="selected")
    loader.pull, loader.partition = earlier
    loader.publish()
    assert read_absences(loader) == {}


def test_row_of_a_pull_dated_ahead_can_be_absent(loader: Loader) -> None:
    load(loader, "A", "B", is_ahead=True)
    load(loader, "A")
    assert read_absences(loader) == {"B": DAY}


def test_what_is_found_by_itself_is_absent_no_more(loader: Loader) -> None:
    load(loader, "A", "B")
    load(loader, "A")
    load(loader, "B", pulled="selected")
    assert read_absences(loader) == {}


def test_a_row_that_can_not_be_read_is_not_absent(loader: Loader) -> None:
    load(loader, "A", "B")
    load(loader, "A", dead=["B"])
    assert read_absences(loader) == {}


def test_a_past_day_or_a_replay_marks_nothing_as_absent(loader: Loader) -> None:
    load(loader, "A", "B")
    load(loader, "A", pulled="historical", day=DAY)
    load(loader, "A", pulled="replay")
    assert read_absences(loader) == {}


def test_a_member_that_left_a_set_is_not_absent(loader: Loader) -> None:
    loader.load(
        "account_owner", [{"account_owner_key": "a:1", "account_key": "a", "household_key": "1", "share_ratio": None}]
    )
    loader.load("account_owner", [], day=NEXT)
    assert read_absences(loader) == {}
