"""The webhook senders, as the vendors declare them."""

from __future__ import annotations

from include.contract.webhook import Sender
from include.vendors import VENDORS

SENDERS: tuple[Sender, ...] = tuple(vendor.webhook.sender for vendor in VENDORS if vendor.webhook is not None)
