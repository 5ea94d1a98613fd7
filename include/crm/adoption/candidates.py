"""Candidates and matches: which of our records an org record is, or may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of our records that may be the same as an org record.

    Attributes:
        external_key: Our key.
        identity: Our id.
        score: log2 of the odds that both are the same; 0 if unknown.
        agreed: Names of the values that agree.
        differed: Names of the values that differ.
        is_same: Whether the comparison considers both the same; otherwise the candidate is doubtful.
        is_sure: Whether no review is needed.
        is_settled: Whether a reviewer decided it, or the org record has our key already.
    """

    external_key: str
    identity: int
    score: float
    agreed: tuple[str, ...]
    differed: tuple[str, ...]
    is_same: bool
    is_sure: bool
    is_settled: bool = False


@dataclass
class Matches:
    """The candidates for one org record.

    Attributes:
        same: The candidates that are the same; more than one if the org record represents several of our records.
        doubts: The doubtful candidates.
        is_joint: Whether the org record names two people.
    """

    same: list[Candidate] = field(default_factory=list)
    doubts: list[Candidate] = field(default_factory=list)
    is_joint: bool = False

    def add(self, candidate: Candidate | None) -> None:
        """Add a candidate; ignore None."""
        if candidate is not None:
            (self.same if candidate.is_same else self.doubts).append(candidate)

    @property
    def only(self) -> Candidate | None:
        """The only candidate that is the same; None if there is none, if there are several, or if the record names two people."""
        return self.same[0] if len(self.same) == 1 and not self.is_joint else None


@dataclass
class Unit:
    """A person, household, legal entity or account of the org.

    Attributes:
        records: Salesforce object -> record id. A person may be an Account and a Contact.
        keyed: The objects whose record has our key.
        external_key: Our key, if one of the records has it.
        household_id: Salesforce id of a person's household.
        record: Id of a person or legal entity in the comparison.
        is_foreign: Whether the org had the record before Tributary wrote to it; adopted records included.
        matches: Its candidates among our records.
    """

    records: Mapping[str, str]
    external_key: str | None
    keyed: frozenset[str] = frozenset()
    household_id: str | None = None
    record: int = 0
    is_foreign: bool = True
    matches: Matches = field(default_factory=Matches)

    @property
    def owner_id(self) -> str:
        """Salesforce's id of the record that can own accounts: the Account, or else the Contact; empty if there is neither."""
        return self.records.get("Account") or self.records.get("Contact", "")


Decisions = Mapping[str, Mapping[str, bool]]
"""The reviewers' decisions: Salesforce id -> our key -> whether both are the same."""


def is_refused(unit: Unit, key: str, decided: Decisions) -> bool:
    """Return whether a reviewer decided that a record of a unit is not our record with this key."""
    return any(decided.get(id_, {}).get(key) is False for id_ in unit.records.values())


MOST_LOOKALIKES = 5
"""Highest number of org records that are listed for one of our records that looks like them."""


def look_alike(unit: Unit, *agreed: str) -> Candidate:
    """Return a unit as a candidate of one of our records, with the Salesforce id in place of our key."""
    return Candidate(next(iter(unit.records.values())), 0, 0.0, agreed, (), is_same=False, is_sure=False)


def settle(unit: Unit, found: Mapping[str, Candidate], all_ours: Mapping[str, int], decided: Decisions) -> Unit:
    """Add candidates to a unit; return the unit. Its key and the reviewers' decisions override the candidates.

    Args:
        unit: The unit, without matches.
        found: Our key -> the candidate.
        all_ours: Our key -> our id, for all our records of the entity.
        decided: The reviewers' decisions.
    """
    left = dict(found)
    for salesforce_id in unit.records.values():
        for key, is_same in decided.get(salesforce_id, {}).items():
            left.pop(key, None)
            if is_same and key in all_ours:
                left = {
                    key: Candidate(
                        key, all_ours[key], 0.0, ("decision",), (), is_same=True, is_sure=True, is_settled=True
                    )
                }
    if unit.external_key in all_ours:
        key = str(unit.external_key)
        left = {key: Candidate(key, all_ours[key], 0.0, ("key",), (), is_same=True, is_sure=True, is_settled=True)}
    for key in sorted(left):
        unit.matches.add(left[key])
    return unit
