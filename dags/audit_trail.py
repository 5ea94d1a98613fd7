"""Every hour, seal the new entries of the audit trail. Once a day, publish the end of the chain outside the database and verify the chain."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronTriggerTimetable, dag, task

from tributary.policy import DEFAULTS, GO_LIVE


@dag(
    dag_id="audit_trail",
    dag_display_name="Audit trail",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("20 * * * *", timezone="UTC"),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["watch"],
)
def audit_trail() -> None:
    """Seal, publish and verify."""

    @task
    def seal() -> None:
        from include.audit import chain
        from tributary import connections

        site = connections.site()
        chain.seal(site.engine, site.keyring.audit)

    @task
    def publish_head() -> bool:
        from datetime import UTC, datetime

        from include.audit import chain
        from tributary import connections

        site = connections.site()
        heads = connections.audit_heads(site.keyring)
        return heads is not None and heads.publish(datetime.now(UTC).date(), chain.read_head(site.engine))

    # Without published heads, each run verifies the chain alone.
    @task(execution_timeout=timedelta(hours=1))
    def verify(is_published: Any) -> dict[str, Any]:
        from dataclasses import asdict

        from airflow.sdk.exceptions import AirflowSkipException

        from include.audit import chain
        from tributary import connections

        site = connections.site()
        heads = connections.audit_heads(site.keyring)
        if heads is not None and not is_published:
            raise AirflowSkipException("The head of today was published before, and the chain was verified then")
        verdict = chain.verify(site.engine, site.keyring.audit, heads.read() if heads else ())
        chain.require_intact(verdict)
        return asdict(verdict)

    published = publish_head()
    seal() >> published
    verify(published)


audit_trail()
