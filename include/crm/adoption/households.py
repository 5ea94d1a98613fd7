"""Match the org's households with our households: by common persons and accounts, and by name, address and telephone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from include.crm.adoption.candidates import MOST_LOOKALIKES, Candidate, Decisions, Unit, look_alike, settle
from include.crm.adoption.evidence import Accounts
from include.names.words import lexicon, plain

_MEMBERS = sa.text("""
select p.identity_id as person, h.identity_id as household from warehouse.known_person p
join warehouse.known_household h on h.household_id = p.household_id where p.is_anchor
""")
_ALL_MEMBERS = sa.text(f"{_MEMBERS.text.partition(' where')[0]} group by 1, 2")
_OURS = sa.text("select identity_id, name, street, postal_code, phone from warehouse.known_household where is_anchor")
_THEIRS = sa.text("""
select salesforce_id, external_key, name, street, postal_code, phone from control.org_record
where sobject = 'Account' and entity = 'household' order by 1
""")
_COMMON_WORDS = lexicon("household family the and & mr mrs")

SAME, SURE = 2, 3
"""Points from which two households are the same, and from which this is certain. A common person or account counts two points each. Name,
address, telephone and a complete set of members count one point each."""


class Homes:
    """Our households, and the org's.

    Args:
        db: The database, in a transaction.
        keys: Identity of each of our households -> our key.
        accounts: The accounts of both sides.
    """

    def __init__(self, db: sa.Connection, keys: Mapping[int, str], accounts: Accounts) -> None:
        self._keys = keys
        self.home_of: dict[int, int] = dict(db.execute(_MEMBERS).tuples().all())
        self._all_members = db.execute(_ALL_MEMBERS).tuples().all()
        self._sizes = Counter(self.home_of.values())
        self._rows = {row.identity_id: row for row in db.execute(_OURS) if row.identity_id in keys}
        self._theirs = db.execute(_THEIRS).all()
        self._shared = Counter(
            (left.household, right.household) for left, right in accounts.equal if left.household and right.household
        )
        self._near: dict[Any, list[int]] = defaultdict(list)
        for identity, row in sorted(self._rows.items()):
            for value in _list_values(row):
                self._near[value].append(identity)

    def match(self, persons: Sequence[Unit], decided: Decisions) -> list[Unit]:
        """Match the org's households with our households.

        Args:
            persons: The org's persons, matched.
            decided: The reviewers' decisions.
        """
        members: dict[str, set[int]] = defaultdict(set)
        sizes: Counter[str] = Counter()
        for unit in persons:
            if unit.household_id:
                sizes[unit.household_id] += 1
                members[unit.household_id].update(each.identity for each in unit.matches.same if each.is_sure)
        by_accounts: dict[str, dict[int, int]] = defaultdict(dict)
        for (theirs, ours), count in self._shared.items():
            by_accounts[str(theirs)][int(ours or 0)] = count
        all_ours = {key: identity for identity, key in self._keys.items()}
        units = []
        for row in self._theirs:
            of = row.salesforce_id
            found = self._find(row, members[of], sizes[of], by_accounts[of])
            unit = Unit({"Account": of}, row.external_key, frozenset(["Account"] if row.external_key else []))
            units.append(settle(unit, {each.external_key: each for each in found}, all_ours, decided))
        return units

    def list_doubtful(
        self, persons: Sequence[Unit], keys: Mapping[int, str], lookalikes: Mapping[str, Sequence[Candidate]]
    ) -> dict[str, list[Candidate]]:
        """Return our households that the org may have: our key -> the candidates for the persons.

        These are the households all of whose persons are doubtful, and those with a person whom the org has in a household.

        Args:
            persons: The org's persons, matched.
            keys: Our person id -> our key.
            lookalikes: Our key of a person -> persons of the org who look like this person.
        """
        doubts = {
            each.external_key: look_alike(unit, "member")
            for unit in persons
            if unit.is_foreign
            for each in (*unit.matches.doubts, *(() if unit.matches.only else unit.matches.same))
        }
        settled = {unit.matches.only.external_key for unit in persons if unit.matches.only}
        members: dict[int, list[str]] = defaultdict(list)
        for person, home in self.home_of.items():
            if person in keys:
                members[home].append(keys[person])
        doubtful = {}
        for home, of in members.items():
            near = [
                [*lookalikes.get(key, ()), *([doubts[key]] if key in doubts and key not in settled else [])]
                for key in of
            ]
            if home in self._keys and all(near):
                doubtful[self._keys[home]] = [each for candidates in near for each in candidates][:MOST_LOOKALIKES]
        return self._list_second(persons) | doubtful

    def _list_second(self, persons: Sequence[Unit]) -> dict[str, list[Candidate]]:
        """Return our households with a person, in the records of any vendor, whom the org has in a household."""
        at_home: dict[int, list[Candidate]] = defaultdict(list)
        for unit in persons:
            if unit.is_foreign and unit.household_id:
                for each in unit.matches.same:
                    at_home[each.identity].append(look_alike(unit, "member"))
        second: dict[str, list[Candidate]] = defaultdict(list)
        for person, home in self._all_members:
            if home in self._keys and person in at_home:
                second[self._keys[home]] += at_home[person]
        return {key: candidates[:MOST_LOOKALIKES] for key, candidates in second.items()}

    def _find(
        self, theirs: sa.Row[Any], members: set[int], size: int, accounts: Mapping[int, int]
    ) -> Iterator[Candidate]:
        """Yield the candidates for an org household, from our matched `members` and from our `accounts` with equal numbers."""
        votes = Counter(self.home_of[each] for each in members if self.home_of.get(each) in self._rows)
        near = {each for value in _list_values(theirs) for each in self._near.get(value, ())}
        found = []
        for identity in {*votes, *(each for each in accounts if each in self._rows), *near}:
            agreed, differed = _compare(theirs, self._rows[identity])
            shared = votes[identity]
            is_complete = shared > 0 and shared == size == self._sizes[identity]
            points = 2 * shared + 2 * min(accounts.get(identity, 0), 1) + len(agreed) + is_complete
            inside = tuple(
                text for count, text in ((shared, f"{shared} of {size} members"), (accounts.get(identity, 0), "accounts")) if count
            )  # fmt: skip
            # One member and a surname in common may be a member's company, or the household of a relative.
            is_firm = shared > 1 or is_complete or identity in accounts or bool({"address", "telephone"} & set(agreed))
            found.append((points, identity, bool(inside), is_firm, (*inside, *agreed), differed))
        best = max((points for points, *_ in found), default=0)
        for points, identity, has_inside, is_firm, agreed, differed in sorted(
            found, key=lambda each: (-each[0], each[1])
        ):
            is_best = points == best and sum(other[0] >= best - 1 for other in found) == 1
            is_same = is_best and points >= SAME and (has_inside or points >= SURE)
            if is_same or points >= SAME:
                yield Candidate(
                    self._keys[identity], identity, float(points), agreed, differed,
                    is_same=is_same, is_sure=is_same and has_inside and is_firm and points >= SURE,
                )  # fmt: skip


def _list_values(row: sa.Row[Any]) -> Iterator[tuple[str, ...]]:
    """Yield the values by which households are compared: telephone, address, name with postal code."""
    if row.phone:
        yield "telephone", _read_digits(row.phone)
    if row.street and row.postal_code:
        yield "address", plain(row.street), row.postal_code[:5]
    if row.name and row.postal_code:
        yield "name", plain(row.name), row.postal_code[:5]


def _compare(left: sa.Row[Any], right: sa.Row[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which of name, address and telephone agree, and which differ. A value that one side lacks is in neither list."""
    is_equal = {}
    if left.name and right.name:
        is_equal["name"] = bool((_read_words(left.name) & _read_words(right.name)) - _COMMON_WORDS)
    if left.street and right.street:
        is_equal["address"] = (plain(left.street), (left.postal_code or "")[:5]) == (
            plain(right.street),
            (right.postal_code or "")[:5],
        )
    if left.phone and right.phone:
        is_equal["telephone"] = _read_digits(left.phone) == _read_digits(right.phone)
    agreed = tuple(name for name, is_same in is_equal.items() if is_same)
    return agreed, tuple(name for name in is_equal if name not in agreed)


def _read_words(name: str) -> set[str]:
    return set(plain(name).replace(",", " ").split())


def _read_digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))[-10:]
