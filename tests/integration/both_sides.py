"""What each vendor states, requested and read by other means than ours, beside what the warehouse holds."""

from __future__ import annotations

from include.pipeline import pull
from tests.conftest import Firm
from tests.vendors.matter import Stated, matter_of


def stated(firm: Firm) -> tuple[Stated, Stated]:
    """Return what the vendor states of its main matter by key, and what the warehouse holds."""
    matter = matter_of(firm.vendor.name)
    with pull.open_session(firm.vendor_run(firm.new_run())) as session:
        theirs = matter.state(firm, session)
    ours = [tuple(row.values()) for row in firm.database.rows(matter.query)]
    assert len({row[0] for row in ours}) == len(ours)
    return theirs, {row[0]: row[1:] for row in ours}
