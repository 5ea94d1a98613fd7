"""Classify the org records by their matches with our records, and list the ones that need a reviewer's decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from include.crm.adoption.match import Candidate, Unit

Outcome = Literal["matched", "doubtful", "duplicate", "shared", "unmatched", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of comparing one org record with our records, or one of our records that the org lacks.

    Attributes:
        entity: The entity of the mapping.
        sobject: Salesforce's object.
        salesforce_id: The record's id; empty for a record that the org lacks.
        external_key: Key of our record that is the same, or that the org lacks; None if there is none, or several.
        outcome: `matched`: the same as one of our records. `doubtful`: may be the same as one of `candidates`. `duplicate`: the same as one
            of our records, and so is another org record. `shared`: represents several of our records. `unmatched`: none of our records.
            `missing`: the org lacks our record.
        candidates: Our records that may be the same, the most likely first.
    """

    entity: str
    sobject: str
    salesforce_id: str
    external_key: str | None
    outcome: Outcome
    candidates: Sequence[Candidate] = ()


def classify(
    entity: str,
    units: Sequence[Unit],
    keys: Collection[str],
    sobjects: Sequence[tuple[str, str]],
    lookalikes: Mapping[str, Sequence[Candidate]] | None = None,
) -> Iterator[Finding]:
    """Yield a finding for each of the org's records without our key, and for each of our records that the org lacks.

    Args:
        entity: The entity of the units, such as `person`.
        units: The org's units, matched.
        keys: Our keys of all records of the entity.
        sobjects: Pairs of object and entity of the mappings that send these records: a person may be an account and a contact.
        lookalikes: Our key -> org records that look alike although the comparison did not match them; our record is then doubtful, not
            missing.
    """
    holders: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        if unit.matches.only:
            holders[unit.matches.only.external_key].append(unit)
    held: set[tuple[str, str]] = set()
    near: dict[str, list[Candidate]] = defaultdict(list, {key: list(of) for key, of in (lookalikes or {}).items()})
    open_keys: set[str] = set()
    entity_of = dict(sobjects)
    for unit in units:
        outcome = _decide(unit, holders)
        only = unit.matches.only
        key = only.external_key if only and outcome in ("matched", "duplicate") else None
        candidates = sorted(
            (*unit.matches.same, *unit.matches.doubts), key=lambda each: (not each.is_same, -each.score)
        )
        own = unit.external_key or key
        if outcome != "matched" and not unit.keyed:
            open_keys.update(each.external_key for each in candidates)
        elif unit.is_foreign:  # it matches one of our records, and may match another one
            record = next(iter(unit.records.values()))
            for each in candidates:
                if each.external_key != own:
                    near[each.external_key].append(replace(each, external_key=record))
        for sobject, salesforce_id in unit.records.items():
            if sobject in unit.keyed or outcome == "matched":
                held.add((sobject, own or ""))
            if sobject not in unit.keyed:
                yield Finding(entity_of.get(sobject, entity), sobject, salesforce_id, key, outcome, candidates)
    keyed = {key for _, key in held}
    undecided = open_keys - keyed
    for key in sorted(set(keys) - undecided):
        for sobject, of in sobjects:
            if (sobject, key) not in held:
                of_key = near[key] if key not in keyed else []
                yield Finding(of, sobject, "", key, "doubtful" if of_key else "missing", of_key)


def _decide(unit: Unit, holders: dict[str, list[Unit]]) -> Outcome:
    only = unit.matches.only
    if only is None:
        if unit.matches.same:
            return "shared"
        return "doubtful" if unit.matches.doubts else "unmatched"
    others = holders[only.external_key]
    if len(others) == 1:
        return "matched" if only.is_sure else "doubtful"
    settled = [each for each in others if each.matches.only and each.matches.only.is_settled]
    return "matched" if settled == [unit] else "duplicate"
