"""Find who accepted the breaks of a reconciliation check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from include.warehouse.known_difference import find_in_force

# The day's breaks that earlier runs reported, each with the operator who accepted it.
_REPORTED = {
    "roll-forward": sa.text("""
select b.position_key as key, b.difference, r.accepted_by from control.roll_forward_break b
join control.reconciliation r using (run_id, vendor, business_date)
where b.vendor = :vendor and b.business_date = :day and r.check_name = 'roll-forward'
"""),
    "control total": sa.text("""
select b.account_id as key, b.difference, r.accepted_by from control.control_total_break b
join control.reconciliation r using (run_id, vendor, business_date)
where b.vendor = :vendor and b.business_date = :day and r.check_name = 'control total'
"""),
}

ACCEPTABLE = tuple(_REPORTED)
"""The checks whose breaks can be accepted."""


def find_acceptance(
    connection: sa.Connection,
    values: Mapping[str, Any],
    check_name: str,
    breaks: Sequence[Mapping[str, Any]],
    accepted_by: str,
) -> str:
    """Return who accepted the unexplained breaks of a check, as text; empty if one of them is not accepted.

    A break is accepted in one of two ways:

    - An earlier run reported the same break for this day, in the same direction and at least as large, and an operator accepts the day
      in this run, or accepted it in that earlier run.
    - An operator declared the account's difference as known, and the vendor delivers no position of the account.

    Args:
        connection: In the transaction of the load.
        values: `vendor` and `day`.
        check_name: One of `ACCEPTABLE`.
        breaks: The unexplained breaks.
        accepted_by: The operator who accepts the day in this run; empty for none.
    """
    reported = defaultdict(list)
    for row in connection.execute(_REPORTED[check_name], values):
        reported[row.key].append((row.difference, row.accepted_by or accepted_by))
    known = find_in_force(connection, values["vendor"], values["day"]) if check_name == "control total" else {}
    key = "position_key" if check_name == "roll-forward" else "account_id"
    by = set()
    for each in breaks:
        now = each["difference"]
        if each.get("is_undelivered") and each["key"] in known:
            by.add(f"{known[each['key']]} (known difference)")
            continue
        by.add(max((who for then, who in reported[each[key]] if now * then > 0 and abs(now) <= abs(then)), default=""))
    return "" if "" in by else ", ".join(sorted(by))
