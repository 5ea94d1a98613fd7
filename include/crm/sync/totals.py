"""Record what Salesforce has accepted of each vendor's latest day, so that it can be reconciled with the vendor and the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject, Field
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
    for holding in (each for each in objects if each.entity == "position"):
        fields = {check: _find_field(holding, column) for check, column in FIELDS.items()}
        if sent := {check: field for check, field in fields.items() if field}:
            with without_nested_loops(db):
                db.execute(sa.text(_write_statement(holding, sent)), _list_values(holding, sent, settings, run_id))


def _find_field(holding: CrmObject, column: str) -> Field | None:
    """Return the field that has a column as it is; None if the firm does not send it."""
    return next((each for each in holding.fields if column in each.sql and "-" not in each.sql), None)


def _write_statement(holding: CrmObject, fields: Mapping[str, Field]) -> str:
    """Return the statement that adds up all fields in one pass over the positions, and one over the accepted payloads."""
    numbered = list(enumerate(fields.values()))
    due = ", ".join(f"sum(({field.sql})::numeric) as sum_{at}" for at, field in numbered)
    values = ", ".join(f"(payload ->> :field_{at})::numeric as value_{at}" for at, _ in numbered)
    accepted = ", ".join(f"sum(value_{at}) as sum_{at}" for at, _ in numbered)
    sums = ", ".join(f"(:check_{at}, w.sum_{at}, s.sum_{at})" for at, _ in numbered)
    return f"""
    insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)
    select d.vendor, d.business_date, c.check_name, coalesce(c.due, 0), coalesce(c.accepted, 0), :run_id
    from {PRESENT_DAY} d
    left join (select p.vendor, {due} from {holding.selection} group by p.vendor) w on w.vendor = d.vendor
    left join (select vendor, {accepted} from (
                   select split_part(external_key, ':', 2) as vendor, {values} from control.crm_state
                   where sobject = :sobject and starts_with(external_key, :firm || ':') and missing is null
                   offset 0  -- otherwise the payloads are sorted, on disk
               ) h group by 1) s on s.vendor = d.vendor
    cross join lateral (values {sums}) c(check_name, due, accepted)
    on conflict (vendor, business_date, check_name)
    do update set due = excluded.due, accepted = excluded.accepted, run_id = excluded.run_id, recorded_at = clock_timestamp()
    """  # noqa: S608


def _list_values(holding: CrmObject, fields: Mapping[str, Field], settings: Settings, run_id: str) -> dict[str, str]:
    values = {"sobject": holding.sobject, "firm": settings.firm, "run_id": run_id}
    for at, (check, field) in enumerate(fields.items()):
        values |= {f"check_{at}": check, f"field_{at}": field.name}
    return values
