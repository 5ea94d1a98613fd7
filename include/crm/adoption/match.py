"""What a record of the org may be of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of our records that a record of the org may be.

    Attributes:
        external_key: Our key.
        identity: Our id.
        score: log2 of the odds that both are the same; 0 if unknown.
        agreed: What agrees.
        differed: What differs.
        is_same: Whether the comparison takes both for the same; otherwise it is a doubt.
        is_sure: Whether no person needs to look at it.
        is_settled: Whether a person decided it, or the record has our key already.
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
    """The candidates of one record of the org.

    Attributes:
        same: Those that it is; more than one if it stands for several of ours.
        doubts: Those that it may be.
        is_joint: Whether the record names two people.
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
        """The one candidate that the record is; None if there is none, or several, or if it names two people."""
        return self.same[0] if len(self.same) == 1 and not self.is_joint else None


@dataclass
class Unit:
    """A person, household, legal entity or account of the org.

    Attributes:
        records: Salesforce's ids by object; a person may be an account and a contact.
        keyed: The objects whose record has our key.
        external_key: Our key, if one of the records has it.
        household_id: Salesforce's id of a person's household.
        record: Id of a person in the comparison.
        is_foreign: Whether the org had it before Tributary did.
        matches: What it may be of ours.
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
        """Salesforce's id of the record that may own accounts: of a person the account, or else the contact; empty if it has neither."""
        return self.records.get("Account") or self.records.get("Contact", "")


Decided = Mapping[str, Mapping[str, bool]]
"""People's decisions: Salesforce id -> our key -> whether both are the same."""


def is_refused(unit: Unit, key: str, decided: Decided) -> bool:
    """Return whether people decided that a record of a unit is not ours of this key."""
    return any(decided.get(id_, {}).get(key) is False for id_ in unit.records.values())


def settle(unit: Unit, found: Mapping[str, Candidate], all_ours: Mapping[str, int], decided: Decided) -> Unit:
    """Add the candidates that were found to a unit, after its key and people's decisions; return the unit.

    Args:
        unit: The unit, without matches.
        found: Our key -> the candidate.
        all_ours: Our key -> our id, of all records of the entity.
        decided: People's decisions.
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
