"""Rules about households missing from the vendor's pull."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_households, dollars
from include.rules.policy import Policy
from include.rules.snapshot import USD, Snapshot


def find_absent(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """The vendor no longer lists a household.

    What: households that were in an earlier full pull of households and are missing from the newest one. A household whose row is
        unreadable is not missing.
    Why: the household was deleted, or merged into another. Its record in Salesforce is obsolete, and its history belongs to the other
        household. Nothing is deleted automatically.
    Threshold: none. Measure: dollars in accounts that the household still owns.
    Closes: the vendor or another portfolio vendor lists the household again, or it is ended in the warehouse.
    """
    absent = snapshot.households.filter(pc.is_valid(snapshot.households["absent_since"]))
    owned = snapshot.sum_owned(snapshot.accounts, "market_value_usd").select(["household_id", "market_value_usd"])
    absent = absent.join(owned, "household_id")
    held = pc.fill_null(absent["market_value_usd"], Decimal(0)).cast(USD)
    return about_households(
        snapshot, absent, held,
        "Missing from the vendor's data since ", absent["absent_since"], "; still owns accounts worth ", dollars(held), ".",
    )  # fmt: skip
