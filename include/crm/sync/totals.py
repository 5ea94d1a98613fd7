"""Record what Salesforce has accepted of each vendor's latest day, so that it can be reconciled with the vendor and the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings
from include.crm.temporary import PRESENT_DAY
from include.database.statistics import without_nested_loops

FIELDS = {"control total": "p.market_value_usd", "roll-forward": "p.quantity"}
"""Check of the reconciliation -> SQL of the position's value that it adds up."""


def record(db: sa.Connection, objects: Iterable[CrmObject], settings: Settings, run_id: str) -> None:
    """Record the dollars and units of the holdings in Salesforce, by vendor, for each vendor's latest day.

    Args:
        db: The sync's connection, in a transaction, after `readiness.find_present_days`.
        objects: The objects of the sync. Only the holdings are recorded.
        settings: The firm's settings.
        run_id: The run.
    """
    for holding, (check, column) in product((each for each in objects if each.entity == "position"), FIELDS.items()):
        field = next((each for each in holding.fields if column in each.sql and "-" not in each.sql), None)
        if field is None:  # the firm does not send it
            continue
        statement = f"""
        insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)
        select d.vendor, d.business_date, :check, coalesce(w.total, 0), coalesce(s.total, 0), :run_id
        from {PRESENT_DAY} d
        left join (select p.vendor, sum(({field.sql})::numeric) as total from {holding.selection} group by p.vendor) w on w.vendor = d.vendor
        left join (select split_part(external_key, ':', 2) as vendor, sum((payload ->> :field)::numeric) as total
                   from control.crm_state where sobject = :sobject and starts_with(external_key, :firm || ':') and missing is null
                   group by 1) s on s.vendor = d.vendor
        on conflict (vendor, business_date, check_name)
        do update set due = excluded.due, accepted = excluded.accepted, run_id = excluded.run_id, recorded_at = clock_timestamp()
        """  # noqa: S608
        values = {
            "check": check,
            "field": field.name,
            "sobject": holding.sobject,
            "firm": settings.firm,
            "run_id": run_id,
        }
        with without_nested_loops(db):
            db.execute(sa.text(statement), values)
