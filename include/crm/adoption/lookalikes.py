"""Find our persons who look like a person of the org, although the comparison did not match them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from include.crm.adoption.candidates import MOST_LOOKALIKES, Candidate, Decisions, Unit, is_refused, look_alike
from include.crm.adoption.traits import Traits, has_same_name, is_near_first, is_near_last, is_other_day, share_first


def find_lookalikes(
    units: Sequence[Unit],
    traits: Mapping[int, Traits],
    homes: Mapping[str, int],
    home_of: Mapping[int, int],
    keys: Mapping[int, str],
    decided: Decisions,
) -> dict[str, list[Candidate]]:
    """Return our unmatched persons who look like a person whom the org had before Tributary.

    Two persons look alike if one of these is true:

    - They have the same name, up to a typing error, and no different birth dates.
    - They have the same e-mail and a near first name.
    - They have the same birth date, and a near first or last name.
    - They have the same telephone or address, and the same first name, or a near first and last name.
    - They are in the same household, have the same last name or nearly the same first name, their birth dates do not differ, and the org's
      person is not matched.

    Such persons wait for a reviewer's decision, because the vendor's data of a client may be incomplete or misspelled.

    Args:
        units: The org's persons, matched.
        traits: Traits of the persons of both sides.
        homes: Salesforce id of a household -> our id of the same household.
        home_of: Our person id -> our household id.
        keys: Our person id -> our key.
        decided: The reviewers' decisions.

    Returns:
        Our key -> the persons of the org, up to `MOST_LOOKALIKES`: those of the same household first, then those with the most values in
        common. A candidate has the Salesforce id in place of our key.
    """
    sides = [(unit, side) for unit in units if unit.is_foreign for side in _list_sides(traits, unit)]
    index: dict[object, list[int]] = defaultdict(list)
    for at, (unit, side) in enumerate(sides):
        for value in _list_values(side):
            index[value].append(at)
        if not unit.matches.same and (home := homes.get(unit.household_id or "")) is not None:
            index["home", home].append(at)
    found = {unit.matches.only.external_key for unit in units if unit.matches.only}
    lookalikes = {}
    for person, key in keys.items():
        if key in found or person not in traits:
            continue
        ours = traits[person]
        inside = set(index.get(("home", home_of.get(person)), ()))
        shared = Counter(at for value in _list_values(ours) for at in index.get(value, ()))
        near = sorted({*inside, *shared}, key=lambda at: (at not in inside, -shared[at], at))
        others = (
            look_alike(unit, *agreed)
            for at, (unit, side) in ((at, sides[at]) for at in near)
            if (agreed := _resemble(side, ours, is_inside=at in inside)) and not is_refused(unit, key, decided)
        )
        if most := list(islice(others, MOST_LOOKALIKES)):
            lookalikes[key] = most
    return lookalikes


def _list_sides(traits: Mapping[int, Traits], unit: Unit) -> Iterator[Traits]:
    """Yield the traits of a unit and of the persons that it matches; for a record of two people, those of each."""
    merged = Traits()
    for each in (unit.record, *(candidate.identity for candidate in unit.matches.same)):
        merged.add(traits.get(each, Traits()))
    yield merged
    if -unit.record in traits:
        yield traits[-unit.record]


def _list_values(traits: Traits) -> set[object]:
    """Return the values of which at least one is the same if two persons look alike."""
    lasts = {("last", last, first[:1]) for first, last in traits.names}
    firsts = {("first", first, last[:1]) for first, last in traits.names}
    return {*traits.names, *traits.emails, *traits.births, *traits.phones, *traits.places, *lasts, *firsts}


def _resemble(left: Traits, right: Traits, *, is_inside: bool) -> tuple[str, ...]:
    """Return the values that make two persons look alike; empty if they do not."""
    is_other = is_other_day(left, right)
    has_first, has_last = share_first(left, right), is_near_last(left, right)
    if has_same_name(left, right) and not is_other:
        return ("name",)
    is_near = has_first or is_near_first(left, right)
    if left.emails & right.emails and is_near:
        return ("e-mail", "first name")
    if left.births & right.births and (is_near or has_last):
        return ("birth date", "first name" if is_near else "last name")
    at_home = [
        name
        for name, is_same in (("telephone", left.phones & right.phones), ("address", left.places & right.places))
        if is_same
    ]
    if at_home and (has_first or (is_near and has_last)):
        return (*at_home, "first name")
    if is_inside and (has_first or left.lasts & right.lasts) and not is_other:
        return ("household", "first name" if has_first else "last name")
    return ()
