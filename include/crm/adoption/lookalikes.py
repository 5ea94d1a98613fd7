"""Find our persons who look like a person of the org, although the comparison did not match them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from include.crm.adoption.match import Candidate, Decisions, Unit, is_refused
from include.crm.adoption.traits import Traits, is_other_day, share_first

MOST_LOOKALIKES = 5
"""Highest number of org persons that are listed for one of our persons."""


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

    - They have the same name, and their birth dates do not differ.
    - They have the same e-mail and nearly the same first name.
    - They have the same birth date, and the same last name or nearly the same first name.
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
        Our key -> the persons of the org, up to `MOST_LOOKALIKES`. A candidate has the Salesforce id in place of our key.
    """
    sides = [(unit, _merge(traits, unit)) for unit in units if unit.is_foreign]
    index: dict[object, list[int]] = defaultdict(list)
    for at, (unit, side) in enumerate(sides):
        for value in {*side.names, *side.emails, *side.births}:
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
        near = inside | {at for value in {*ours.names, *ours.emails, *ours.births} for at in index.get(value, ())}
        others = [
            Candidate(next(iter(unit.records.values())), 0, 0.0, agreed, (), is_same=False, is_sure=False)
            for at, (unit, side) in ((at, sides[at]) for at in sorted(near))
            if (agreed := _resemble(side, ours, is_inside=at in inside)) and not is_refused(unit, key, decided)
        ]
        if others:
            lookalikes[key] = others[:MOST_LOOKALIKES]
    return lookalikes


def _merge(traits: Mapping[int, Traits], unit: Unit) -> Traits:
    """Return the traits of a unit and of the persons that it matches."""
    merged = Traits()
    for each in (unit.record, -unit.record, *(candidate.identity for candidate in unit.matches.same)):
        if each in traits:
            for name in ("firsts", "names", "births", "emails"):
                getattr(merged, name).update(getattr(traits[each], name))
    return merged


def _resemble(left: Traits, right: Traits, *, is_inside: bool) -> tuple[str, ...]:
    """Return the values that make two persons look alike; empty if they do not."""
    if left.names & right.names and not is_other_day(left, right):
        return ("name",)
    has_first = share_first(left, right)
    if left.emails & right.emails and has_first:
        return ("e-mail", "first name")
    has_last = bool({last for _, last in left.names} & {last for _, last in right.names})
    if left.births & right.births and (has_first or has_last):
        return ("birth date", "first name" if has_first else "last name")
    if is_inside and (has_first or has_last) and not is_other_day(left, right):
        return ("household", "first name" if has_first else "last name")
    return ()
