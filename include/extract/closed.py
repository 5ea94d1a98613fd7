"""Has the vendor closed its day?"""

from __future__ import annotations

import json
from datetime import date

from include.contract import Vendor
from include.errors import ConfigurationError, VendorUnavailable
from include.extract.session import VendorSession


def closed_through(vendor: Vendor, session: VendorSession) -> date | None:
    """Asks for the last day that the vendor has closed for every account; None where it holds none yet.

    Raises:
        ConfigurationError: The vendor's declaration says of no way to ask.
        TributaryError: As `VendorSession.get` raises.
    """
    if vendor.closed is None:
        raise ConfigurationError("The vendor can't be asked for its last closed day", vendor=vendor.name)
    probe = vendor.closed

    def read(body: bytes) -> date | None:
        try:
            rows = json.loads(body)
            return date.fromisoformat(rows[0][probe.field][:10]) if rows else None
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise VendorUnavailable("The answer holds no date", vendor=vendor.name, path=probe.path) from error

    return session.get(probe.path, probe.params, read)
