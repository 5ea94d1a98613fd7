"""A keyring with a second hash key, and a vendor whose keys are hashed."""

from __future__ import annotations

from dataclasses import replace

from include.contract import Vendor
from include.keys.keyring import Keyring
from tests.firm_keys import write_keyring

NEW_KEY = "hash:next:" + 64 * "7"
TEXT = f"{write_keyring()} {NEW_KEY}"
ROTATED = Keyring.parse(TEXT)


def hash_account_numbers(vendor: Vendor) -> Vendor:
    """Return the declaration of a vendor for a firm whose account keys are account numbers."""
    tables = [
        replace(t, columns=tuple(replace(c, hashed=c.name == "account_id" or c.hashed) for c in t.columns))
        for t in vendor.tables
    ]
    return replace(vendor, tables=tuple(tables))
