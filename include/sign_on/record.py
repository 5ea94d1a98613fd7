"""Write sign-ons to the log of the process."""

from __future__ import annotations

import json
import logging
from typing import Literal

log = logging.getLogger(__name__)

Event = Literal["login", "login failed", "login refused", "logout", "session ended"]


def record(event: Event, user: str | None, address: str | None, **details: object) -> None:
    """Log a sign-on event: the word `sign-on` and a JSON object, on one line.

    Args:
        event: What happened. `login failed`: the local user or password is wrong. `login refused`: the identity provider's answer is not
            accepted, the user may not log in, or a local password was used although a provider is configured. `session ended`: the user
            ended other sessions, or an administrator ended those of another user.
        user: User name, as entered or as the provider returned it; None if it is unknown.
        address: IP address of the client; None outside a request.
        details: Further facts, such as `reason`; no secrets.
    """
    log.info("sign-on %s", json.dumps({"event": event, "user": user, "address": address, **details}))
