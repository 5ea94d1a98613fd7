"""One DAG a vendor: its day, from its API into the warehouse. Wiring only; the work is in `include.pipeline.vendor_day`.

A vendor that can be asked for single clients has a second one for them, of the same tasks: who waits for one client does not
wait for a day that takes hours. It takes the calls that are kept for people, and no slot of the day's pool.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag

from include.contract import Vendor
from include.pipeline.plan import find_key_table, find_keyed
from include.vendors import VENDORS
from tributary.forms import client_form, vendor_form
from tributary.policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, deadline, on_demand
from tributary.tasks import vendor_day as steps

CLIENTS_AT_ONCE = 4


def vendor_day(vendor: Vendor) -> None:
    """Makes the DAG of a vendor's day."""

    @dag(
        dag_id=vendor.name,
        dag_display_name=f"{vendor.title}: the day into the warehouse",
        doc_md=vendor.notes,
        schedule=CronDataIntervalTimetable(vendor.cron, timezone=vendor.timezone),
        start_date=pendulum.parse(GO_LIVE, tz=vendor.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["vendor", vendor.name],
        deadline=deadline(f"{vendor.title} is in within {DEADLINE_HOURS:g} hours"),
        params=vendor_form(vendor),
    )
    def day() -> None:
        plan = steps.plan_day(vendor.name)
        if vendor.webhook is not None and vendor.webhook.failures:
            steps.ask_for_lost.override(pool=f"{vendor.name}_api")(vendor.name, plan)
        bring_in(vendor, plan, pool=f"{vendor.name}_api")

    day()


def vendor_on_demand(vendor: Vendor) -> None:
    """Makes the DAG of a vendor's single clients, or of what else its keys are of."""
    noun = find_key_table(vendor)

    @dag(
        dag_id=on_demand(vendor.name),
        dag_display_name=f"{vendor.title}: single {noun}, now",
        doc_md=vendor.notes,
        schedule=None,
        max_active_runs=CLIENTS_AT_ONCE,
        default_args=DEFAULTS,
        tags=["vendor", "on demand", vendor.name],
        deadline=deadline(f"{vendor.title}'s {noun} are in within {DEADLINE_HOURS:g} hours"),
        params=client_form(vendor),
    )
    def clients() -> None:
        bring_in(vendor, steps.plan_day(vendor.name), pool="default_pool")

    clients()


def bring_in(vendor: Vendor, plan: Any, pool: str) -> None:
    """The arrows from the vendor's API to the warehouse's bell; `pool` is where pulls take their slots."""
    name = vendor.name
    before = steps.wait_until_closed(name, plan) if vendor.closed else plan
    waves = []
    for wave in range(len(vendor.waves)):
        pulled = (
            steps.pull.override(pool=pool)
            .partial(name=name, plan=plan)
            .expand(table=steps.choose_tables(name, plan, wave))
        )
        before >> pulled
        before = pulled
        waves.append(pulled)
    paths = waves[0] if len(waves) == 1 else steps.gather(waves)
    valid = steps.validate(name, paths, plan)
    transformed = steps.transform.partial(name=name, plan=plan).expand(path=paths)
    published = steps.publish(name, paths, plan)
    valid >> [transformed, steps.report_quality(paths)]
    transformed >> published >> steps.is_present(plan) >> steps.ring_bell()
    published >> steps.warn(name)


for vendor in VENDORS:
    vendor_day(vendor)
    if find_keyed(vendor):
        vendor_on_demand(vendor)
