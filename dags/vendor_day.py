"""One DAG per vendor: the daily load, from its API to the warehouse. Wiring only; the work is in `include.pipeline.vendor_day`.

A vendor whose API can return single clients has a second DAG with the same tasks, so that a refresh of one client does not wait for
a daily load that takes hours. The second DAG uses the share of the rate budget that is reserved for users, and its pulls do not wait for
slots that daily pulls take.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, TaskGroup, dag, get_parsing_context

from include.contract import Vendor
from include.pipeline.plan import find_key_table, find_keyed
from include.vendors import VENDORS
from tributary.dag_docs import describe_daily, describe_on_demand
from tributary.forms import client_form, vendor_form
from tributary.policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, PULLS, deadline, on_demand
from tributary.tasks import vendor_day as steps

CLIENTS_AT_ONCE = 4


def vendor_day(vendor: Vendor) -> None:
    """Create the DAG of a vendor's daily load."""

    @dag(
        dag_id=vendor.name,
        dag_display_name=f"{vendor.title}: daily load",
        doc_md=describe_daily(vendor),
        schedule=CronDataIntervalTimetable(vendor.cron, timezone=vendor.timezone),
        start_date=pendulum.parse(GO_LIVE, tz=vendor.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["vendor", vendor.name],
        deadline=deadline(f"{vendor.title} loaded within {DEADLINE_HOURS:g} hours"),
        params=vendor_form(vendor),
    )
    def day() -> None:
        plan = steps.plan_day(vendor.name)
        if vendor.webhook is not None and vendor.webhook.redelivery is not None:
            steps.request_redelivery(vendor.name, plan)
        load_day(vendor, plan, steps.pull.override(queue=PULLS, pool=PULLS))

    day()


def vendor_on_demand(vendor: Vendor) -> None:
    """Create the DAG that refreshes single rows of a vendor's key table, such as clients or envelopes."""
    noun = find_key_table(vendor)

    @dag(
        dag_id=on_demand(vendor.name),
        dag_display_name=f"{vendor.title}: refresh single {noun}",
        doc_md=describe_on_demand(vendor, noun),
        schedule=None,
        max_active_runs=CLIENTS_AT_ONCE,
        default_args=DEFAULTS,
        tags=["vendor", "on demand", vendor.name],
        deadline=deadline(f"{vendor.title}'s {noun} are loaded within {DEADLINE_HOURS:g} hours"),
        params=client_form(vendor),
    )
    def clients() -> None:
        load_day(vendor, steps.plan_day(vendor.name), steps.pull)

    clients()


def load_day(vendor: Vendor, plan: Any, pull: Any) -> None:
    """Connect the tasks of a run, from the pulls, which `pull` creates, to the notification of the DAG `salesforce`."""
    name = vendor.name
    before = steps.wait_until_closed(name, plan) if vendor.closed else plan
    stages = []
    for stage, tables in enumerate(vendor.stages):
        with nullcontext() if len(vendor.stages) == 1 else group_stage(stage, tables):
            pulled = pull.partial(name=name, plan=plan).expand(table=steps.list_tables(name, plan, stage))
        before >> pulled
        before = pulled
        stages.append(pulled)
    partitions = stages[0] if len(stages) == 1 else steps.collect_partitions(stages)
    valid = steps.validate(name, partitions, plan)
    transformed = steps.transform.partial(name=name, plan=plan).expand(partition=partitions)
    published = steps.publish(name, partitions, plan)
    valid >> [transformed, steps.report_quality(partitions)]
    transformed >> published >> steps.is_current_day(plan) >> steps.notify_warehouse_updated()
    published >> steps.report_warnings(name)


def group_stage(stage: int, tables: Sequence[str]) -> TaskGroup:
    """Return a group for the tasks of one stage, which names its tables. The ids of the tasks do not contain the group."""
    shown = ", ".join(tables[:3]) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
    return TaskGroup(
        f"stage_{stage + 1}",
        group_display_name=f"{stage + 1}. {shown}",
        prefix_group_id=False,
        tooltip=", ".join(tables),
    )


def is_needed(dag_id: str) -> bool:
    """Return whether a DAG is needed: in a task's process, only that of the task. To create all takes longer than many a task."""
    return get_parsing_context().dag_id in (None, dag_id)


for vendor in VENDORS:
    if is_needed(vendor.name):
        vendor_day(vendor)
    if find_keyed(vendor) and is_needed(on_demand(vendor.name)):
        vendor_on_demand(vendor)
