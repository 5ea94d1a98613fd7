"""The simulated vendors, in the order of the product's list."""

from sandbox.adobe_sign.vendor import ADOBE_SIGN
from sandbox.docusign.vendor import DOCUSIGN
from sandbox.emoney.vendor import EMONEY
from sandbox.moneyguidepro.vendor import MONEYGUIDEPRO
from sandbox.nitrogen.vendor import NITROGEN
from sandbox.orion.vendor import ORION
from sandbox.tamarac.vendor import TAMARAC

VENDORS = (
    ORION,
    TAMARAC,
    EMONEY,
    MONEYGUIDEPRO,
    NITROGEN,
    DOCUSIGN,
    ADOBE_SIGN,
)
