"""Random days of a generated firm, to compare daily identity runs with full ones."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from include.identity.link import Linked, Matching, match_all
from include.identity.record import DECISIONS, PERSONS
from include.identity.relink import relink
from local.bench.people import Firm

ON = date(2026, 11, 20)
_ADDRESS = ("street", "city", "state_code", "postal_code")


@dataclass(frozen=True)
class Day:
    """The inputs of a daily run, and of a full run on the same day.

    Attributes:
        persons: All records.
        changed: The records that are new or have another value than in the first full run.
        removed: Ids of records of the first full run that no longer exist.
        decisions: All decisions of reviewers.
    """

    persons: pa.Table
    changed: pa.Table
    removed: list[int]
    decisions: pa.Table


class RandomDays:
    """Days on which records change in every way: new, changed, changed back, removed, listed again; and reviewers decide at random.

    Args:
        firm: The firm.
        seed: Seed of the days.
        share: Share of the records that change on a day.
    """

    def __init__(self, firm: Firm, seed: int, share: float) -> None:
        self._draw, self._share = random.Random(seed), share
        self._rows = {row["record_id"]: row for row in firm.persons.to_pylist()}
        self._absent = [self._rows.pop(record) for record in self._pick(0.05)]
        self._first = dict(self._rows)
        self._decisions: dict[tuple[int, int], bool] = {}

    @property
    def persons(self) -> pa.Table:
        """All records of the day."""
        return pa.Table.from_pylist(list(self._rows.values()), schema=PERSONS)

    def advance(self, linked: Linked) -> Day:
        """Change records and decisions, and return the new day. Decisions are made on pairs of `linked`."""
        draw = self._draw
        for record in self._pick(self._share):
            self._rows[record] = self._change(self._rows[record])
        altered = [record for record, row in self._rows.items() if row != self._first.get(record, row)]
        for record in draw.sample(sorted(altered), len(altered) // 5):
            self._rows[record] = self._first[record]
        self._absent += [self._rows.pop(record) for record in self._pick(self._share / 4)]
        for _ in range(min(draw.randrange(1 + max(int(self._share * len(self._rows)), 2)), len(self._absent))):
            row = self._absent.pop(draw.randrange(len(self._absent)))
            self._rows[row["record_id"]] = row
        self._decide(linked)
        rows = [{"left": a, "right": b, "is_same": same} for (a, b), same in self._decisions.items()]
        changed = [row for record, row in self._rows.items() if row != self._first.get(record)]
        removed = [record for record in self._first if record not in self._rows]
        return Day(
            self.persons,
            pa.Table.from_pylist(changed, schema=PERSONS),
            removed,
            pa.Table.from_pylist(rows, schema=DECISIONS),
        )

    def _pick(self, share: float) -> list[int]:
        records = sorted(self._rows)
        return self._draw.sample(records, max(int(share * len(records)), 1))

    def _change(self, row: dict[str, Any]) -> dict[str, Any]:
        other = self._rows[self._draw.choice(sorted(self._rows))]
        changes: tuple[dict[str, Any], ...] = (
            {"email": other["email"]},
            {"birth_date": other["birth_date"]},
            {"birth_date": None},
            {name: other[name] for name in _ADDRESS},
            {"tax_id_hash": None, "tax_id_last4": None},
            {name: other[name] for name in ("last_name", "name")},
            {"household": other["household"], "vendor": other["vendor"]},
            {"name": "The Sample Family Trust", "first_name": None, "last_name": None},
        )
        return row | self._draw.choice(changes)

    def _decide(self, linked: Linked) -> None:
        for pairs, most in ((linked.review, 3), (linked.links, 2)):
            for row in self._draw.sample(pairs.to_pylist(), min(most, len(pairs))):
                self._decisions[row["left"], row["right"]] = self._draw.random() < 0.5
        if self._draw.random() < 0.5:
            self._decisions.pop(self._draw.choice(sorted(self._decisions)))


def compare_days(firm: Firm, days: int, share: float, seed: int = 1) -> list[dict[str, Any]]:
    """Run random days both ways: matching only what changed, and matching all records with the same conventions and counts.

    Returns:
        Per day: `changed` records, `matched` records, `seconds` and `full_seconds`, and `differences`: what differs between the stored
        results of the daily runs and the full run.
    """
    drawn = RandomDays(firm, seed, share)
    first = last = match_all(drawn.persons, on=ON)
    stored, results = Stored(first.linked), []
    for _ in range(days):
        day = drawn.advance(last.linked)
        known = last.linked.clusters
        at = time.perf_counter()
        last = relink(first, day.changed, day.removed, day.decisions, known=known, again=last.core)
        between = time.perf_counter()
        full = match_all(day.persons, day.decisions, known=known, on=ON, baseline=first).linked
        seconds = {"seconds": between - at, "full_seconds": time.perf_counter() - between}
        stored.update(last)
        counts = {
            "changed": len(day.changed) + len(day.removed),
            "matched": last.count_matched(),
        }
        results.append(counts | seconds | {"differences": stored.compare(full)})
    return results


class Stored:
    """Results as the database stores them: a daily run replaces only what it matched."""

    def __init__(self, linked: Linked) -> None:
        self._people = _to_people(linked)
        self._links = {tuple(map(str, row.values())) for row in linked.links.to_pylist()}
        self._review = linked.review

    def update(self, matching: Matching) -> None:
        """Store the result of a daily run."""
        assert matching.touched is not None
        linked, touched = matching.linked, set(matching.touched.tolist())
        people = _to_people(linked)
        self._people = {r: p for r, p in self._people.items() if r not in touched}
        self._people |= {record: person for record, person in people.items() if record in touched}
        self._links = {row for row in self._links if not touched & {int(row[0]), int(row[1])}}
        self._links |= {tuple(map(str, row.values())) for row in linked.links.to_pylist()}
        self._review = linked.review

    def compare(self, linked: Linked) -> list[str]:
        """Return what differs from a full run."""
        links = {tuple(map(str, row.values())) for row in linked.links.to_pylist()}
        equal = {
            "people": self._people == _to_people(linked),
            "links": self._links == links,
            "review": self._review.equals(linked.review),
        }
        return [name for name, is_equal in equal.items() if not is_equal]


def _to_people(linked: Linked) -> dict[int, int]:
    return dict(zip(*(linked.clusters[name].to_pylist() for name in ("record_id", "person_id")), strict=True))
