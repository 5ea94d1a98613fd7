"""Has the vendor closed its day?"""

from __future__ import annotations

import json
import logging
from datetime import date

from include.contract import Probe, Vendor
from include.errors import ConfigurationError, VendorUnavailable
from include.extract.session import VendorSession

log = logging.getLogger(__name__)


def closed_through(vendor: Vendor, session: VendorSession) -> date | None:
    """Asks for the last day that the vendor has closed for all accounts but the tolerated ones; those are logged.

    Where it holds fewer accounts than are tolerated, the one that is furthest says it; None where it holds none yet.

    Raises:
        ConfigurationError: The vendor's declaration names no way to ask.
        TributaryError: As `VendorSession.get` raises.
    """
    if vendor.closed is None:
        raise ConfigurationError("The vendor can't be asked for its last closed day", vendor=vendor.name)
    probe = vendor.closed

    def read(body: bytes) -> list[tuple[str, date | None]]:
        try:
            return _dated(probe, body)
        except (ValueError, KeyError, TypeError) as error:
            raise VendorUnavailable("The answer holds no date", vendor=vendor.name, path=probe.path) from error

    top = {probe.top: str(probe.tolerated + 1)} if probe.top else {}
    dated = session.get(probe.path, {**probe.params, **top}, read)
    # A firm of so few accounts that the vendor gave all of them may wait for one in twenty.
    place = probe.tolerated if len(dated) > probe.tolerated else len(dated) // 20
    closed = dated[place][1] if dated else None
    late = [f"{key} ({day or 'no day'})" for key, day in dated[:place] if day != closed]
    if late:
        log.warning("%s has closed %s but for %s: %s", vendor.name, closed, len(late), ", ".join(late))
    return closed


def _dated(probe: Probe, body: bytes) -> list[tuple[str, date | None]]:
    """Whose last day is which, the earliest first; the last of them has one."""
    said = json.loads(body)
    rows = [(str(row.get(probe.key)), row[probe.field]) for row in (said if isinstance(said, list) else [said])]
    return [(key, None if text is None else date.fromisoformat(text[:10])) for key, text in rows]
