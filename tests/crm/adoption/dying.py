"""An adoption or its undo that dies at a named point, in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from include.connection import Connection
from include.crm.adoption import accepted, adopt, findings, keys, relations
from include.crm.adoption.org_records import _Reader
from include.crm.run import Org
from include.crm.salesforce import SalesforceSession
from include.crm.settings import Settings
from include.warehouse import schema
from tests.firm_keys import KEYRING
from tests.running_sandbox import LAST

POINTS: dict[str, tuple[Any, str, bool]] = {
    "a page of the org is stored": (_Reader, "_store", True),
    "the org is read": (findings, "read_org", True),
    "before the findings are committed": (findings, "_store", True),
    "keys are planned": (keys, "_update", False),
    "a call was not sent": (keys, "_build_request", True),
    "sent, answer not read": (SalesforceSession, "call_once", True),
    "answer read": (keys, "send_requests", True),
    "before the accepted state": (accepted, "take_keyed", False),
    "relations are found": (relations, "match", True),
}
"""Point -> owner and name of the function; whether the process dies after it, or before."""


def run(url: str, connection: Connection, settings: Settings, action: str, point: str, call: int) -> None:
    """Adopt or undo, and die at the `call`-th time that the point is reached."""
    owner, name, is_after = POINTS[point]
    work: Callable[..., Any] = getattr(owner, name)
    keys.COLLECTION_ROWS, keys.CALL_COLLECTIONS = 2, 1
    times = 0

    def last(*args: Any, **kwargs: Any) -> Any:
        nonlocal times
        if name != "call_once" or args[2] == "/composite":
            times += 1
        if times == call and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = work(*args, **kwargs)
        if times == call and is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, last)
    org = Org(schema.engine(url), connection, settings, KEYRING.redactor)
    if action == "adopt":
        adopt.adopt(org, "dying", LAST, lambda _: None)
    else:
        adopt.undo(org, "dying", "ada@sample.example", lambda _: None)
