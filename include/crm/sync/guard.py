"""Find the changes that need approval: a first load, a large change, many accounts that close, separated records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from include.crm.settings import Settings
from include.crm.sync.delta import Delta


@dataclass(frozen=True, slots=True)
class Concern:
    """A change of one object that needs approval.

    Attributes:
        entity: The object.
        question: The kind of change:

            - `change`: many records change.
            - `close`: many accounts close.
            - `worth`: the total worth changes much.
            - `separate`: new records that another record in Salesforce has represented so far (see `include.crm.sync.separation`).

        records: The number of records, or for `worth` the change in dollars. `find_unapproved` defines the changes that an approval
            allows.
        reason: The change, in words.
    """

    entity: str
    question: Literal["change", "close", "worth", "separate"]
    records: int
    reason: str


def find_concerns(deltas: Mapping[str, Delta], settings: Settings) -> list[Concern]:
    """Return the changes that need approval, given the counts by entity; an empty list if none does."""
    concerns = []
    for entity, delta in deltas.items():
        share = delta.notable / delta.held if delta.held else 1.0
        if delta.notable > settings.few and share > settings.most_changed_ratio:
            summary = f"{share:.0%} of {delta.held:,} records would change" if delta.held else "a first load"
            concerns.append(
                Concern(
                    entity,
                    "change",
                    delta.notable,
                    f"{entity}: {summary} ({delta.new:,} new, {delta.notable:,} in all)",
                )
            )
        moved = abs(delta.moved_usd)
        if delta.worth_usd and moved > abs(delta.worth_usd) * settings.most_moved_ratio:
            reason = f"{entity}: worth {delta.worth_usd:,.0f} USD would change by {delta.moved_usd:,.0f} USD"
            concerns.append(Concern(entity, "worth", int(moved), reason))
        if delta.closing > settings.most_closed:
            reason = f"{entity}: {delta.closing:,} accounts would close"
            concerns.append(Concern(entity, "close", delta.closing, reason))
        if delta.separated:
            reason = (
                f"{entity}: {delta.separated:,} records would be separated from other records, which Salesforce keeps"
            )
            concerns.append(Concern(entity, "separate", delta.separated, reason))
    return concerns


def find_unapproved(concerns: list[Concern], approved: list[Concern], settings: Settings) -> list[Concern]:
    """Return the concerns of a run that are not approved, or that exceed what was approved.

    A run may exceed an approval by this much:

    - `change`: by `settings.few` records.
    - `worth`: by 1 % of the approved dollars.
    - `close`, `separate`: not at all.

    Args:
        concerns: The concerns of the run.
        approved: The approved concerns.
        settings: The firm's settings.
    """
    allowed = {
        (each.entity, each.question): each.records
        + (settings.few if each.question == "change" else each.records // 100 if each.question == "worth" else 0)
        for each in approved
    }
    return [each for each in concerns if each.records > allowed.get((each.entity, each.question), 0)]
