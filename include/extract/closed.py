"""Find the last business date that a vendor has closed."""

from __future__ import annotations

import json
import logging
from datetime import date

from include.contract import Probe, Vendor
from include.errors import ConfigurationError, VendorUnavailable
from include.extract.session import VendorSession

log = logging.getLogger(__name__)


def read_closed_day(vendor: Vendor, session: VendorSession) -> date | None:
    """Request the last day that the vendor has closed, and ignore a few accounts that are behind.

    The vendor's declaration states how many accounts are ignored (`closed.tolerated`). If the firm does not have more accounts than this
    number, one account in twenty is ignored instead, and none if it has fewer than twenty. The ignored accounts that are behind are logged.

    Returns:
        The last day that is closed for every account that is not ignored. None if such an account has no closed day, or if there are no
        accounts.

    Raises:
        ConfigurationError: The vendor's declaration has no `closed` request, or the vendor rejects the request.
        AuthenticationError: The vendor refused the credentials.
        VendorUnavailable, RateLimited: The request still failed after retries, or the response has no valid date.
        LimitExceeded, ClockSkew: See `VendorSession.request`.
    """
    if vendor.closed is None:
        raise ConfigurationError(
            "No request for the last closed day is declared: declare `closed` in the vendor's file", vendor=vendor.name
        )
    probe = vendor.closed

    def read(body: bytes) -> list[tuple[str, date | None]]:
        try:
            return _parse_days(probe, body)
        except (ValueError, KeyError, TypeError) as error:
            raise VendorUnavailable("The response has no valid date", vendor=vendor.name, path=probe.path) from error

    top = {probe.top: str(probe.tolerated + 1)} if probe.top else {}
    dated = session.get(probe.path, {**probe.params, **top}, read)
    # If the response contains all accounts of the firm, one in twenty may be behind; with fewer than twenty, none.
    place = probe.tolerated if len(dated) > probe.tolerated else len(dated) // 20
    closed = dated[place][1] if dated else None
    late = [f"{key} ({day or 'no day'})" for key, day in dated[:place] if day != closed]
    if late:
        log.warning("%s has closed %s except for %s accounts: %s", vendor.name, closed, len(late), ", ".join(late))
    return closed


def _parse_days(probe: Probe, body: bytes) -> list[tuple[str, date | None]]:
    """Return (account, last closed day) for each row of the response, in its order; the day is None if it is null."""
    content = json.loads(body)
    rows = [
        (str(row.get(probe.key)), row[probe.field]) for row in (content if isinstance(content, list) else [content])
    ]
    return [(key, None if text is None else date.fromisoformat(text[:10])) for key, text in rows]
