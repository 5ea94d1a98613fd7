"""A vendor's own values, read by other requests than the product's, and those of the warehouse."""

from __future__ import annotations

from include.pipeline import pull
from tests.conftest import Firm
from tests.vendors.matter import Stated, matter_of


def read_both_sides(firm: Firm) -> tuple[Stated, Stated]:
    """Return the values of the vendor's main table by key, from the vendor and from the warehouse."""
    matter = matter_of(firm.vendor.name)
    with pull.open_session(firm.vendor_run(firm.new_run())) as session:
        theirs = matter.state(firm, session)
    ours = [tuple(row.values()) for row in firm.database.rows(matter.query)]
    assert len({row[0] for row in ours}) == len(ours)
    return theirs, {row[0]: row[1:] for row in ours}
