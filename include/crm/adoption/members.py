"""Resolve doubtful matches of persons by their household and accounts, because few members of one household have the same first name.

If two members have it, such as a father and his son, a match with one of them is doubtful unless a value tells them apart.

An org person and our person in the same household, or with an account of the same number, are the same if all of these are true:

- The first names agree.
- A birth date, an e-mail or an account number agrees.
- No value contradicts the match.
- No other person on either side fits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from include.crm.adoption.candidates import Candidate, Decisions, Matches, Unit, is_refused
from include.crm.adoption.traits import Traits, is_other_day, share_first


class Members:
    """The persons of both sides, by household and by account.

    Args:
        units: The org's persons, matched, with `record` as their id in `traits`.
        traits: Traits of the persons of both sides, by identity or record.
        homes: Salesforce id of a household -> our id of the same household.
        home_of: Our person id -> our household id.
        shared: (Salesforce id of an owner, `p` and our id of an owner) -> number of accounts with equal numbers.
        keys: Our person id -> our key.
        decided: The reviewers' decisions.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        traits: Mapping[int, Traits],
        homes: Mapping[str, int],
        home_of: Mapping[int, int],
        shared: Mapping[tuple[str, str], int],
        keys: Mapping[int, str],
        decided: Decisions,
    ) -> None:
        self._units, self._traits, self._keys, self._home_of = units, traits, keys, home_of
        self._decided = decided
        self._members: dict[int, list[int]] = defaultdict(list)
        for person, home in home_of.items():
            if person in keys:
                self._members[home].append(person)
        self._owners: dict[str, set[int]] = defaultdict(set)
        for theirs, ours in shared:
            if ours.startswith("p") and int(ours[1:]) in keys:
                self._owners[theirs].add(int(ours[1:]))
        self._inside = [self._list_inside(unit, homes) for unit in units]
        self._near = []
        for unit, inside in zip(units, self._inside, strict=True):
            near = (
                inside | {each.identity for each in (*unit.matches.same, *unit.matches.doubts)}
                if inside
                else set[int]()
            )
            self._near.append({each for each in near if not is_refused(unit, keys[each], decided)})
        self._around: dict[int, list[Unit]] = defaultdict(list)
        for unit, near in zip(units, self._near, strict=True):
            for person in near:
                self._around[person].append(unit)

    def settle(self) -> None:
        """Resolve doubtful matches of persons, by changing the matches of their units, and doubt those that also fit a namesake."""
        for unit in self._units:
            self._doubt_namesakes(unit)
        taken = {each.identity for unit in self._units for each in unit.matches.same if each.is_sure}
        for unit, near, inside in zip(self._units, self._near, self._inside, strict=True):
            if unit.matches.is_joint:
                continue
            if len(unit.matches.same) > 1:
                _choose(unit, inside)
            if any(each.is_sure for each in unit.matches.same):
                continue
            fitting = sorted(person for person in near if self._fits(unit, person))
            if len(fitting) != 1 or fitting[0] in taken:
                continue
            [person] = fitting
            others = [other for other in self._around[person] if other is not unit and self._fits(other, person)]
            agreed = tuple(self._list_agreed(unit, person))
            # A typing error in the first name, such as Joan for John, may be the spouse, who shares e-mail and account.
            enough = {"birth date", "e-mail", "account"} if "first name" in agreed else {"birth date"}
            if not others and enough & set(agreed):
                found = Candidate(self._keys[person], person, 0.0, agreed, (), is_same=True, is_sure=True)
                unit.matches = Matches([found], [each for each in unit.matches.doubts if each.identity != person])

    def _doubt_namesakes(self, unit: Unit) -> None:
        """Doubt a unit's match if another person of the same household fits too: a father and his son may share name and e-mail."""
        if unit.matches.is_joint:
            return
        for each in list(unit.matches.same):
            mates = self._members[self._home_of[each.identity]] if each.identity in self._home_of else []
            rivals = [
                mate
                for mate in mates
                if mate != each.identity
                and self._is_rival(unit, each.identity, mate)
                and not is_refused(unit, self._keys[mate], self._decided)
            ]
            if rivals and not each.is_settled:
                others = [
                    Candidate(
                        self._keys[mate],
                        mate,
                        0.0,
                        tuple(self._list_agreed(unit, mate)),
                        (),
                        is_same=False,
                        is_sure=False,
                    )
                    for mate in rivals
                    if mate not in {known.identity for known in (*unit.matches.same, *unit.matches.doubts)}
                ]
                unit.matches.same.remove(each)
                unit.matches.doubts += [replace(each, is_same=False, is_sure=False), *others]

    def _is_rival(self, unit: Unit, person: int, mate: int) -> bool:
        """Return whether a unit that matches a person fits another of the household as well: no value favors the person."""
        left, ours, other = (self._traits.get(each) for each in (unit.record, person, mate))
        if left is None or ours is None or other is None or not self._fits(unit, mate):
            return False
        pairs = [
            (left.firsts & ours.firsts, left.firsts & other.firsts),
            (left.births & ours.births, left.births & other.births),
            (left.generations & ours.generations, left.generations & other.generations),
            (left.emails & ours.emails, left.emails & other.emails if other.emails else left.emails),
        ]
        owners = self._owners.get(unit.owner_id, set())
        return not any(
            person_has and not mate_has for person_has, mate_has in [*pairs, ({person} & owners, {mate} & owners)]
        )

    def _list_inside(self, unit: Unit, homes: Mapping[str, int]) -> set[int]:
        """Return our persons of the unit's household, and those who own one of its accounts."""
        home = homes.get(unit.household_id or "")
        members = set(self._members[home]) if home is not None else set()
        return members | self._owners.get(unit.owner_id, set())

    def _fits(self, unit: Unit, person: int) -> bool:
        """Return whether the first names agree and nothing contradicts; or whether both birth date and e-mail agree."""
        left, right = self._traits.get(unit.record), self._traits.get(person)
        if left is None or right is None:
            return False
        if left.births & right.births and left.emails & right.emails:
            return True  # nicknames are many, and neither a spouse nor a twin has both
        is_other_generation = left.generations and right.generations and not left.generations & right.generations
        return share_first(left, right) and not is_other_day(left, right) and not is_other_generation

    def _list_agreed(self, unit: Unit, person: int) -> Iterator[str]:
        left, right = self._traits[unit.record], self._traits[person]
        yield "household or account"
        if left.firsts & right.firsts:
            yield "first name"
        if left.births & right.births:
            yield "birth date"
        if left.emails & right.emails:
            yield "e-mail"
        if person in self._owners.get(unit.owner_id, set()):
            yield "account"


def _choose(unit: Unit, inside: set[int]) -> None:
    """If a record matches several of our persons, keep the only one of its household or accounts. The others become doubtful."""
    kept = [each for each in unit.matches.same if each.identity in inside]
    if len(kept) == 1:
        others = [replace(each, is_same=False, is_sure=False) for each in unit.matches.same if each != kept[0]]
        unit.matches = Matches(kept, [*others, *unit.matches.doubts])
