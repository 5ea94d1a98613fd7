"""The task of the DAG `adopt_salesforce_records`; see `include.crm.adoption`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from include import business_dates
from include.crm.adoption import adopt
from include.identity.resolve import resolve
from include.vendors import VENDORS
from tributary import connections

_DECISIONS = {"same": True, "not the same": False, "undecided": None}

log = logging.getLogger(__name__)


def work(params: Mapping[str, Any], user: str, run_id: str) -> str:
    """Run the action of the parameters; return a sentence about its result.

    Raises:
        AirflowSkipException: The firm does not use Salesforce.
    """
    connections.skip_without_salesforce()
    action, org = params["action"], connections.org()
    on = business_dates.business_date(None)
    if action in ("compare", "write keys"):
        # Until the DAG `salesforce` has run, a person has a record of each vendor, and the org's record would stand for several clients.
        resolve(org.engine, VENDORS, run_id, on, connections.identity_policy())
    if action == "compare":
        counts = adopt.compare(org, run_id, on, log.info)
        return f"Compared: {_list(counts)}."
    if action in ("approve", "withdraw"):
        records = adopt.approve(org.engine, params["entities"], user, is_approved=action == "approve")
        return f"{'Approved' if action == 'approve' else 'Withdrawn'}: {records:,} matched records of {', '.join(params['entities'])}."
    if action in _DECISIONS:
        record, key, reason = (params[name] or "" for name in ("record", "key", "reason"))
        adopt.decide(org.engine, record, key, _DECISIONS[action], user, reason)
        return f"Decided: {action}. It counts from the next comparison."
    if connections.is_crm_paused():
        return "Nothing was written: writes to Salesforce are paused. Select Resume Salesforce on the page Salesforce."
    if action == "write keys":
        return f"Keys: {_list(adopt.adopt(org, run_id, on, log.info))}."
    return f"Keys: {_list(adopt.undo(org, run_id, user, log.info))}."


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
