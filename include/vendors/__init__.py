"""The vendors, in plain sight: to know what runs, read this tuple."""

from include.contract import Vendor
from include.vendors.orion import ORION

VENDORS: tuple[Vendor, ...] = (ORION,)


def named(name: str) -> Vendor:
    """Returns the vendor called `name`."""
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor
    raise KeyError(f"no vendor is called {name}")
