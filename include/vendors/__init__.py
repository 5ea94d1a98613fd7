"""All vendors, as one tuple."""

from include.contract import Vendor
from include.vendors.adobe_sign import ADOBE_SIGN
from include.vendors.docusign import DOCUSIGN
from include.vendors.emoney import EMONEY
from include.vendors.moneyguidepro import MONEYGUIDEPRO
from include.vendors.nitrogen import NITROGEN
from include.vendors.orion import ORION
from include.vendors.tamarac import TAMARAC

VENDORS: tuple[Vendor, ...] = (
    ORION,
    TAMARAC,
    EMONEY,
    MONEYGUIDEPRO,
    NITROGEN,
    DOCUSIGN,
    ADOBE_SIGN,
)


def named(name: str) -> Vendor:
    """Return the vendor called `name`; raise KeyError if there is none."""
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor
    raise KeyError(f"no vendor is called {name}")
