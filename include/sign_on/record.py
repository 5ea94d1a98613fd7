"""The record of sign-ons."""

from __future__ import annotations

import json
import logging
from typing import Literal

log = logging.getLogger(__name__)

Event = Literal["login", "login failed", "login refused", "logout"]


def record(event: Event, user: str | None, address: str | None, **details: object) -> None:
    """Log an event as one line of JSON.

    Args:
        event: What happened. A login fails if the password is wrong, and is refused if the user is not entitled.
        user: User name, as entered or as the provider states it; None if it is unknown.
        address: IP address of the browser; None on the command line.
        details: Further facts, such as `reason`; no secrets.
    """
    log.info("sign-on %s", json.dumps({"event": event, "user": user, "address": address, **details}))
