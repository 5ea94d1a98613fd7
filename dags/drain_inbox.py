"""Load webhook deliveries and pushed records into the warehouse and send envelopes to Salesforce: when notified, and every ten minutes.

Each run processes the waiting deliveries, in one task per vendor.

- A delivery whose content can't be loaded is closed with the reason (`control.inbox`, column `error`), so that it does not block others.
  Its rejected rows become dead letters.
- After any other failure, such as an unavailable database, the deliveries stay in the inbox for the next run.

Then the run sends changed envelopes to Salesforce. It skips this while another sync is running (the next run sends them) and while the Variable
`tributary_crm_paused` is `true`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from tributary.policy import DEFAULTS, GO_LIVE, show_argument
from tributary.triggers.wake_up import WakeUp

INBOX = Asset(
    name="inbox",
    uri="x-tributary://inbox",
    watchers=[AssetWatcher(name="inbox_waiting", trigger=WakeUp("tributary_inbox"))],
)


@dag(
    dag_id="drain_inbox",
    dag_display_name="Inbox: webhooks and pushed records",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=[INBOX]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULTS, "retry_delay": timedelta(seconds=5)},
    tags=["events"],
)
def drain_inbox() -> None:
    """Load each vendor's deliveries, then send the changed envelopes to Salesforce."""

    @task
    def find_waiting() -> list[str]:
        from include.control import inbox
        from include.pipeline.pushes import vendor_of
        from include.vendors import VENDORS
        from tributary import connections

        site = connections.site()  # registers the keys of a new installation, before which no delivery is accepted
        inbox.seal_clear(site.engine, site.keyring.receiving_key)
        waiting = {vendor_of(sender) for sender in inbox.find_pending_senders(site.engine)}
        return [vendor.name for vendor in VENDORS if vendor.name in waiting]

    @task(map_index_template=show_argument("name"))
    def drain(name: str, run_id: Any = None) -> int:
        from include.pipeline import inbox, pushes
        from include.pipeline.run import Run
        from include.vendors import named
        from tributary import connections

        vendor, vendor_run = named(name), connections.vendor_run(name, Run.of_now(run_id))
        pushed = pushes.drain(vendor, vendor_run)
        return pushed + (inbox.drain(vendor_run) if vendor.webhook is not None else 0)

    @task(trigger_rule="all_done")
    def send_envelopes(run_id: Any = None) -> dict[str, int]:
        from include import business_dates
        from include.crm.objects.envelope import has_changes
        from include.crm.run import Org, SyncRun
        from include.crm.sync.load import Scope, sync
        from include.errors import ApprovalNeeded, SyncUnderWay
        from tributary import connections

        connections.skip_without_salesforce()
        site = connections.site()
        if connections.is_crm_paused() or not has_changes(site.engine):
            raise AirflowSkipException("No envelope changed, or writing to Salesforce is paused")
        org = Org(site.engine, connections.connection("salesforce"), connections.crm_settings())
        run = SyncRun(run_id, business_dates.business_date(site.clock()))
        try:
            counts = sync(org, run, connections.work_folder(), Scope(only=("envelope",)))
        except SyncUnderWay as error:
            raise AirflowSkipException("Another sync is running; the next run sends the remaining envelopes") from error
        except ApprovalNeeded as error:
            raise AirflowSkipException(f"The next full sync requests approval: {error}") from error
        return {"created": counts["envelope"].created, "updated": counts["envelope"].updated}

    # Airflow takes the state of a run from its last tasks. `send_envelopes` always runs, so alone it would hide a failed `drain`.
    ended = EmptyOperator(task_id="ended", trigger_rule="none_failed")
    drained = drain.expand(name=find_waiting())
    drained >> [send_envelopes(), ended]


drain_inbox()
