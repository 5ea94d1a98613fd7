"""A household's life: there, and not any more."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import USD, Book
from include.rules.finding import about_households, dollars
from include.rules.policy import Policy


def find_absent(book: Book, policy: Policy) -> pa.Table:
    """The vendor does not name a household any more.

    What: it was in an earlier pull of all households and is not in the newest one; a row that can't be read is not absent.
    Why: it was deleted, or merged into another: its record in Salesforce is nobody's, its history should go somewhere.
        Nothing is deleted by itself.
    Threshold: none. Measure: dollars in accounts that it still owns.
    Closes: the vendor names it again, or somebody ends it in the warehouse.
    """
    gone = book.households.filter(pc.is_valid(book.households["absent_since"]))
    owned = book.owned(book.accounts, "market_value_usd").select(["household_id", "market_value_usd"])
    gone = gone.join(owned, "household_id")
    held = pc.fill_null(gone["market_value_usd"], Decimal(0)).cast(USD)
    return about_households(
        book, gone, held,
        "Not named by the vendor since ", gone["absent_since"], "; accounts worth ", dollars(held), " are still its own.",
    )  # fmt: skip
