"""What may not happen without a person's word: a first load, a great change, many accounts that close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from include.crm.settings import Settings
from include.crm.sync.delta import Delta


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to ask about.

    Attributes:
        entity: Of which object.
        question: Whether so many may change, or close, or what they are worth may jump.
        records: How many it is about (of `worth`: dollars); so many are allowed once somebody has said yes.
        reason: In words.
    """

    entity: str
    question: Literal["change", "close", "worth"]
    records: int
    reason: str


def find_concerns(deltas: Mapping[str, Delta], settings: Settings) -> list[Concern]:
    """Returns what to ask about; empty where a run may go on by itself."""
    found = []
    for entity, delta in deltas.items():
        share = delta.notable / delta.held if delta.held else 1.0
        if delta.notable > settings.few and share > settings.most_changed_ratio:
            what = f"{share:.0%} of {delta.held:,} records would change" if delta.held else "a first load"
            found.append(
                Concern(
                    entity, "change", delta.notable, f"{entity}: {what} ({delta.new:,} new, {delta.notable:,} in all)"
                )
            )
        moved = abs(delta.moved_usd)
        if delta.worth_usd and moved > abs(delta.worth_usd) * settings.most_moved_ratio:
            said = f"{entity}: worth {delta.worth_usd:,.0f} USD would change by {delta.moved_usd:,.0f} USD"
            found.append(Concern(entity, "worth", int(moved), said))
        if delta.closing > settings.most_closed:
            found.append(Concern(entity, "close", delta.closing, f"{entity}: {delta.closing:,} accounts would close"))
    return found


def find_unapproved(concerns: list[Concern], approved: list[Concern], settings: Settings) -> list[Concern]:
    """Returns what a run would do beyond what a person has approved.

    Args:
        concerns: Of this run.
        approved: What the person was asked about; a few more changes, but no more closings, are no new question.
        settings: Say what a few are.
    """
    allowed = {
        (each.entity, each.question): each.records
        + (settings.few if each.question == "change" else each.records // 100 if each.question == "worth" else 0)
        for each in approved
    }
    return [each for each in concerns if each.records > allowed.get((each.entity, each.question), 0)]
