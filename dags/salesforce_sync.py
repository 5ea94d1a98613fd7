"""The warehouse's present state into Salesforce: when the warehouse has news, and every hour in case a bell was lost.

First it is told who is who across vendors, then the business rules look at the day. Then everything is compared; a run
that would change too much (a first load, a third of an object's records, dozens of accounts that close) asks a person and
waits. The Variable `tributary_crm_paused` set to `true` keeps every run from writing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from alerts import Alert
from policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, WAREHOUSE, deadline


@dag(
    dag_id="salesforce",
    dag_display_name="Salesforce: what changed",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("17 * * * *", timezone="UTC"), assets=[WAREHOUSE]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["crm"],
    deadline=deadline(f"Salesforce is in step within {DEADLINE_HOURS:g} hours"),
    params={
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Show what would change, and change nothing."
        ),
        "resend_refused": Param(
            False,
            type="boolean",
            title="Send refused rows again",
            description="Also those that did not change since Salesforce refused them: the org was mended.",
        ),
    },
)
def salesforce() -> None:
    """Judges the day, shows what would change, asks where it must, then sends."""

    @task.short_circuit(trigger_rule="all_done")
    def is_reconciled() -> bool:
        """Whether the newest day adds up; while it is being loaded, the next bell or the next hour will do."""
        import firm

        from include.crm.load import is_settled

        firm.skip_without_salesforce()
        return is_settled(firm.site().engine)

    @task
    def resolve_identity(run_id: Any = None) -> dict[str, int] | None:
        """Who is who across vendors, before anybody is shown anything; nothing is done where nothing changed."""
        from dataclasses import asdict

        import firm

        from include import sessions
        from include.identity.resolve import resolve
        from include.vendors import VENDORS

        day, policy = sessions.business_date(None), firm.identity_policy()
        found = resolve(firm.site().engine, VENDORS, run_id, day, policy)
        return None if found is None else asdict(found)

    @task
    def judge_day(run_id: Any = None) -> dict[str, dict[str, str]]:
        import firm

        from include.rules.judgement import judge_all

        tallies = judge_all(firm.site().engine, firm.rule_policy(), run_id)
        return {vendor: {rule: str(tally) for rule, tally in rules.items()} for vendor, rules in tallies.items()}

    @task
    def show_changes(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        import logging
        from dataclasses import asdict

        import firm

        from include.crm import difference
        from include.crm.load import preview

        keys, resends = 1000 if params["dry_run"] else 20, params["resend_refused"]
        shown = preview(firm.site().engine, firm.crm_settings(), keys, resends=resends)
        page = difference.write(firm.data_docs() / "site", run_id, shown)
        for name, found in shown.deltas.items():
            changes = (f"{change.external_key}  {change.field}" for change in shown.samples[name][:20])
            logging.getLogger(__name__).info("\n".join([f"{name}: {found}", *changes]))
        return {
            "deltas": {name: str(found) for name, found in shown.deltas.items()},
            "concerns": [asdict(concern) for concern in shown.concerns],
            "page": f"/data-docs/{page}",
        }

    @task.branch
    def choose_way(shown: dict[str, Any], params: Any = None) -> str | list[str]:
        import firm

        if params["dry_run"] or firm.is_crm_paused():
            return []
        return "ask_a_person" if shown["concerns"] else "send_changes"

    asked = "{% set shown = ti.xcom_pull(task_ids='show_changes') %}"
    ask = ApprovalOperator(
        task_id="ask_a_person",
        subject="May Salesforce be changed so much?",
        body=asked
        + "{% for concern in shown.concerns %}- {{ concern.reason }}\n{% endfor %}\n[The first changes]({{ shown.page }})",
        response_timeout=timedelta(hours=20),
        notifiers=[Alert("Somebody must say yes or no")],
    )

    @task(trigger_rule="none_failed_min_one_success")
    def send_changes(shown: dict[str, Any], params: Any = None, run_id: Any = None, ti: Any = None) -> dict[str, Any]:
        import firm

        from include import sessions
        from include.crm.guard import Concern
        from include.crm.load import sync

        _refuse_paused(firm.is_crm_paused())
        is_approved = ti.xcom_pull(task_ids="ask_a_person") is not None
        counts = sync(
            firm.site().engine,
            firm.connection("salesforce"),
            firm.work_folder(),
            run_id,
            sessions.business_date(None),
            firm.crm_settings(),
            approved=[Concern(**concern) for concern in shown["concerns"]] if is_approved else [],
            resends=params["resend_refused"],
        )
        return {name: {"sent": c.sent, "created": c.created, "updated": c.updated} for name, c in counts.items()}

    @task
    def raise_tasks(run_id: Any = None) -> dict[str, int]:
        import firm

        from include import sessions
        from include.crm import tasks
        from include.rules import PICTURE_RULES, RULES

        _refuse_paused(firm.is_crm_paused())
        rules = (*RULES, *PICTURE_RULES)
        wanted = {r.name: tasks.Asked(r.task_subject, r.due_days) for r in rules if r.task_subject}
        connection, day = firm.connection("salesforce"), sessions.business_date(None)
        counts = tasks.sync(firm.site().engine, connection, run_id, day, firm.crm_settings(), wanted)
        return {"created": counts.created, "completed": counts.updated}

    judged, shown = judge_day(), show_changes()
    way, sent = choose_way(shown), send_changes(shown)
    # Rules about the data speak on a day that does not balance, too; then nothing is sent. A rule that fails keeps nothing from
    # Salesforce but its Tasks, which makes the run fail.
    resolve_identity() >> judged >> is_reconciled() >> shown >> way >> [ask, sent]
    [ask >> sent, judged] >> raise_tasks()


def _refuse_paused(is_paused: bool) -> None:
    """Somebody may have paused while a person was asked."""
    if is_paused:
        raise AirflowSkipException("Writing to Salesforce is paused")


salesforce()
