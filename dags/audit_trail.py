"""Every hour, verify the audit trail, seal its new entries, and publish the end of the chain outside the database.

The trail is verified first: a chain that was changed is never extended, because new seals would cover the change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from tributary.policy import DEFAULTS, GO_LIVE

RECENT_HEADS = 48
"""Published heads that each run compares: those of two days. `verify-audit` compares all."""


@dag(
    dag_id="audit_trail",
    dag_display_name="Audit trail",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("20 * * * *", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    is_paused_upon_creation=False,  # without it, entries can be changed without a trace
    tags=["watch"],
)
def audit_trail() -> None:
    """Verify, seal and publish."""

    @task(execution_timeout=timedelta(hours=1))
    def verify() -> dict[str, Any]:
        from dataclasses import asdict

        from include.audit import chain
        from tributary import connections
        from tributary.alerts import page, send

        site = connections.site()
        heads = connections.audit_heads(site.keyring)
        verdict = chain.verify(site.engine, site.keyring.audit, heads.read(RECENT_HEADS) if heads else ())
        chain.require_intact(verdict)
        if verdict.late:
            title = f"Audit trail: late or missing seals: {verdict.late}"
            body = f"Entries were sealed hours after the time that they state, or have no seal. Was this DAG paused? If not, they were inserted later.\nLink: {page('audit_trail')}"
            send("audit_late", title, body, dag_id="audit_trail", subject=str(verdict.late))
        return asdict(verdict)

    @task
    def seal() -> None:
        from include.audit import chain
        from tributary import connections

        site = connections.site()
        chain.seal(site.engine, site.keyring.audit)

    @task
    def publish_head() -> bool:
        from datetime import UTC, datetime

        from airflow.sdk.exceptions import AirflowSkipException

        from include.audit import chain
        from tributary import connections

        site = connections.site()
        heads = connections.audit_heads(site.keyring)
        if heads is None:
            raise AirflowSkipException(
                "There is no connection tributary_audit: without published heads, a rewritten chain is not detected"
            )
        head, now = chain.read_head(site.engine), datetime.now(UTC)
        is_published = heads.publish(now, head)
        if is_published:
            chain.record_publication(site.engine, head, now)
        return is_published

    verify() >> seal() >> publish_head()


audit_trail()
