"""Compare a day again after a push, webhook or poll changed its positions or account values.

Rows that arrive between the daily runs are visible at once. Their vendor is held back from Salesforce until this comparison passes or the
next daily run loads the day.
"""

from __future__ import annotations

import sqlalchemy as sa

from include import business_dates
from include.contract import Vendor
from include.warehouse.reconcile import Check, reconcile, record

_CHANGED_DAYS = sa.text("""
select distinct business_date from control.uncompared_change c
where vendor = :vendor and entity in ('position', 'account_value')
  and exists (select from control.reconciliation_in_force r where (r.vendor, r.business_date) = (c.vendor, c.business_date))
order by 1
""")


def compare_changed_days(engine: sa.Engine, vendor: Vendor, run_id: str) -> list[Check]:
    """Reconcile the days whose positions or account values changed since their last reconciliation, and record the results.

    A check that fails raises nothing, because the rows are visible already: the marts show the day as `differs`, and the vendor is held
    back from Salesforce. The same function can be called again after a kill.

    Returns:
        The checks of all these days; empty if there are none.
    """
    checks = list[Check]()
    with engine.connect() as connection:
        days = connection.scalars(_CHANGED_DAYS, {"vendor": vendor.name}).all()
    for day in days:
        with engine.begin() as connection:
            found = reconcile(connection, vendor, day, business_dates.previous(day))
            record(connection, vendor.name, day, run_id, found)
        checks += found
    return checks
