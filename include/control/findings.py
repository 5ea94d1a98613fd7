"""Record the findings of the business rules: open new ones, update those found again, and close the others, in one transaction.

A finding stays one record, however often a rule finds it. Its content is rewritten only if one of these changes:
    * its measure, by more than a tenth
    * its details, apart from the figures in the text
    * its household, its representative or its severity
Otherwise only the day on which it was last seen is updated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from include.database.copy import copy_in

# Claim the rules that have no newer evaluation than this one. Their rows stay locked, so that two runs settle one after the other.
_CLAIM = sa.text("""
insert into control.evaluated_day as j (vendor, rule, business_date, read_at, run_id)
select :vendor, rule, :day, :read_at, :run_id from unnest(cast(:rules as text[])) as r(rule) order by rule
on conflict (vendor, rule) do update
set business_date = excluded.business_date, read_at = excluded.read_at, run_id = excluded.run_id
where (j.business_date, j.read_at) <= (excluded.business_date, excluded.read_at)
returning rule
""")

_KEEP_QUIET = sa.text("""
delete from found f
where f.rule <> all(:rules)
   or exists (select from silent s where s.subject_entity = f.subject_entity and s.subject_id = f.subject_id)
""")

_COMPARED = """
compared as (
    select o.finding_id, f.*,
           (f.household_id, f.representative_id, f.severity) is distinct from
               (o.household_id, o.representative_id, o.severity)
           or abs(f.measure - o.measure) > abs(o.measure) / 10
           or translate(f.details, '0123456789.,', '') <> translate(o.details, '0123456789.,', '') as is_changed
    from found f
    join control.finding o on o.vendor = :vendor and o.rule = f.rule and o.subject_entity = f.subject_entity
                          and o.subject_id = f.subject_id and o.closed_at is null
)
"""

_CHANGE = sa.text(f"""
with {_COMPARED}
update control.finding o
set household_id = c.household_id, representative_id = c.representative_id, severity = c.severity, measure = c.measure,
    details = c.details, changed_at = clock_timestamp()
from compared c where o.finding_id = c.finding_id and c.is_changed
returning o.rule
""")  # noqa: S608

_SEE = sa.text("""
update control.finding o set business_date_seen = :day, seen_run_id = :run_id
from found f
where o.vendor = :vendor and o.rule = f.rule and o.subject_entity = f.subject_entity and o.subject_id = f.subject_id
  and o.closed_at is null and o.business_date_seen < :day
""")

# Close findings that were not found this time: those seen in an earlier evaluation of the same day (they were a mistake), and those
# not seen for longer than their rule's open days.
_CLOSE = sa.text("""
update control.finding o
set business_date_closed = :day, closed_run_id = :run_id, closed_at = clock_timestamp()
from unnest(cast(:rules as text[]), cast(:open_days as int[])) as r(rule, open_days)
where o.vendor = :vendor and o.rule = r.rule and o.closed_at is null
  and (o.business_date_seen = :day or o.business_date_seen + r.open_days < :day)
  and not exists (select from found f where f.rule = o.rule and f.subject_entity = o.subject_entity
                                        and f.subject_id = o.subject_id)
  and not exists (select from silent s
                  where s.subject_id is null or (s.subject_entity = o.subject_entity and s.subject_id = o.subject_id))
returning o.rule
""")

_OPEN = sa.text("""
insert into control.finding
    (vendor, rule, subject_entity, subject_id, household_id, representative_id, severity, measure, details,
     business_date_opened, opened_run_id, business_date_seen, seen_run_id)
select :vendor, rule, subject_entity, subject_id, household_id, representative_id, severity, measure, details,
       :day, :run_id, :day, :run_id
from found
order by rule, subject_entity, subject_id
on conflict (vendor, rule, subject_entity, subject_id) where closed_at is null do nothing
returning rule
""")


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of a vendor's day, which the rules evaluate.

    Attributes:
        vendor: The vendor.
        business_date: The day that was read.
        read_at: When it was read, by the database's clock.
        run_id: The run that read it.
    """

    vendor: str
    business_date: date
    read_at: datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one rule's findings.

    Attributes:
        found: Findings of this evaluation: `found = opened + seen`.
        opened: New findings.
        seen: Findings that were open already.
        changed: Number of the seen findings whose content was rewritten.
        closed: Findings that were closed.
    """

    found: int = 0
    opened: int = 0
    seen: int = 0
    changed: int = 0
    closed: int = 0


def settle(
    connection: sa.Connection, look: Look, evaluated: Mapping[str, int], found: pa.Table, silent: pa.Table
) -> dict[str, Tally]:
    """Open, update and close findings according to one evaluation. Repeating the call changes nothing.

    A rule that was already evaluated on a newer reading is skipped.

    Args:
        connection: A transaction of its own, which the caller commits.
        look: The reading that was evaluated.
        evaluated: Rules that could be evaluated -> number of calendar days for which a finding stays open after it was last seen.
        found: What the rules found, with the columns rule, severity, and those of a finding; one row per rule and subject.
        silent: Subjects that can't be evaluated because one of their rows is a dead letter, with the columns subject_entity and
            subject_id. Their findings are neither opened, updated nor closed. A row without a subject_id means that no finding is
            closed at all.

    Returns:
        Rule -> counts, without the skipped rules.
    """
    values: dict[str, Any] = {
        "vendor": look.vendor, "day": look.business_date, "read_at": look.read_at, "run_id": look.run_id,
    }  # fmt: skip
    copy_in(connection, "found", found.schema, [found])
    copy_in(connection, "silent", silent.schema, [silent])
    connection.execute(sa.text("analyze found"))
    rules = sorted(connection.scalars(_CLAIM, values | {"rules": sorted(evaluated)}))
    values |= {"rules": rules, "open_days": [evaluated[rule] for rule in rules]}
    connection.execute(_KEEP_QUIET, values)
    counts = {
        "found": _count(connection, sa.text("select rule from found"), values),
        "changed": _count(connection, _CHANGE, values),
        "closed": _count(connection, _CLOSE, values),
    }
    connection.execute(_SEE, values)
    counts["opened"] = _count(connection, _OPEN, values)
    connection.execute(sa.text("drop table found, silent"))
    tallies = {}
    for rule in rules:
        mine = {name: by_rule.get(rule, 0) for name, by_rule in counts.items()}
        tallies[rule] = Tally(seen=mine["found"] - mine["opened"], **mine)
    return tallies


def _count(connection: sa.Connection, statement: sa.TextClause, values: Mapping[str, Any]) -> dict[str, int]:
    return dict(Counter(connection.scalars(statement, values)))
