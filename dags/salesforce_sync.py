"""The warehouse's present state into Salesforce: when the warehouse has news, and every hour in case a bell was lost.

First, identity is resolved across vendors; then the business rules evaluate the day. Then everything is compared and sent. Held back are
the rows of a vendor whose newest day is not reconciled, an object that would change too much (a first load, a third of its records,
dozens of accounts that close) until a person approves it in the DAG `approve_salesforce`, an object that fails, and what names any of
these; the rest goes. The Variable `tributary_crm_paused` set to `true` keeps every run from writing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
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
    """Judges the day, shows what would change, requests approval where it must, and sends the rest."""

    @task
    def resolve_identity(params: Any = None, run_id: Any = None) -> dict[str, int] | None:
        """Who is who across vendors, before anybody is shown anything; nothing is done where nothing changed."""
        if params["dry_run"]:
            return None  # `show_changes` does it, and takes it back
        from dataclasses import asdict

        import firm

        from include import sessions
        from include.identity.resolve import resolve
        from include.vendors import VENDORS

        day, policy = sessions.business_date(None), firm.identity_policy()
        found = resolve(firm.site().engine, VENDORS, run_id, day, policy)
        return None if found is None else asdict(found)

    @task
    def judge_day(params: Any = None, run_id: Any = None) -> dict[str, dict[str, str]]:
        if params["dry_run"]:
            return {}
        import firm

        from include.rules.judgement import judge_all

        tallies = judge_all(firm.site().engine, firm.rule_policy(), run_id)
        return {vendor: {rule: str(tally) for rule, tally in rules.items()} for vendor, rules in tallies.items()}

    # Rules about the data speak on a day that does not balance, too. A rule that fails keeps nothing from Salesforce but its
    # Tasks, which makes the run fail.
    @task(trigger_rule="all_done")
    def show_changes(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        import logging

        import firm

        from include import rehearsal, sessions
        from include.crm import difference
        from include.crm.preview import preview
        from include.vendors import VENDORS

        firm.skip_without_salesforce()
        engine, settings, resends = firm.site().engine, firm.crm_settings(), params["resend_refused"]
        if params["dry_run"]:
            policies = firm.identity_policy(), firm.rule_policy()
            day = sessions.business_date(None)
            shown = rehearsal.rehearse(engine, VENDORS, *policies, settings, run_id, day, 1000, resends=resends)
        else:
            shown = preview(engine, settings, resends=resends)
        page = difference.write(firm.data_docs(), run_id, shown)
        for name, found in shown.deltas.items():
            changes = (f"{change.external_key}  {change.field}" for change in shown.samples[name][:20])
            logging.getLogger(__name__).info("\n".join([f"{name}: {found}", *changes]))
        return {
            "deltas": {name: str(found) for name, found in shown.deltas.items()},
            "concerns": [concern.reason for concern in shown.concerns],
            "unsettled": {vendor: str(since) for vendor, since in shown.unsettled.items()},
            "page": f"/data-docs/{page}",
        }

    @task.short_circuit
    def may_write(params: Any = None) -> bool:
        """Whether this run may write: it is no dry run, and writing is not paused."""
        import firm

        return not params["dry_run"] and not firm.is_crm_paused()

    @task.short_circuit
    def find_questions(shown: dict[str, Any], run_id: Any = None) -> dict[str, Any]:
        """What a person is to be asked; empty where nothing is, or is asked or was rejected already."""
        import firm

        from include.crm import approval
        from include.crm.preview import preview

        engine, settings = firm.site().engine, firm.crm_settings()
        if not shown["concerns"]:
            return {}
        found = preview(engine, settings, 0)
        questions = approval.ask(engine, found.concerns, found.deltas, settings, run_id)
        if not questions:
            return {}
        ids, wordings = [q.question_id for q in questions], [q.wording for q in questions]
        return {"question_ids": ids, "wordings": wordings, "page": shown["page"]}

    request_approval = TriggerDagRunOperator(
        task_id="request_approval",
        trigger_dag_id="approve_salesforce",
        conf="{{ ti.xcom_pull(task_ids='find_questions') | tojson }}",  # type: ignore[arg-type]  # JSON is read
        logical_date=None,
        openlineage_inject_parent_info=False,
    )

    @task
    def send_changes(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        import firm

        from include import sessions
        from include.crm import approval
        from include.crm.load import sync
        from include.errors import ApprovalNeeded, HeldBack, RowsFailed

        engine = firm.site().engine
        try:
            counts = sync(
                engine,
                firm.connection("salesforce"),
                firm.work_folder(),
                run_id,
                sessions.business_date(None),
                firm.crm_settings(),
                approved=approval.find_approved(engine),
                resends=params["resend_refused"],
            )
        except (ApprovalNeeded, HeldBack) as error:
            raise AirflowSkipException(str(error)) from error
        except RowsFailed:
            approval.use(engine, run_id)
            raise
        approval.use(engine, run_id)
        return {name: {"sent": c.sent, "created": c.created, "updated": c.updated} for name, c in counts.items()}

    @task(trigger_rule="all_done", on_failure_callback=log_standstill)
    def report_held_back(run_id: Any = None) -> list[str]:
        """What was held back, and why; people are alerted once a state. Fails where nothing at all could be sent for long."""
        import firm

        from include import alerts
        from include.crm import approval, holding
        from include.crm.readback import count_differing

        engine, patience = firm.site().engine, timedelta(hours=DEADLINE_HOURS)
        held = holding.read(engine)
        states = approval.describe(engine, [each.entity for each in held if each.cause == "approval"])
        lines = [f"{each}; {states[each.entity]}" if each.entity in states else str(each) for each in held]
        if late := holding.take_unalerted(engine, patience):
            alerts.send(firm.alert_urls(), "Salesforce: records are held back", "\n".join(map(str, late)))
        if differing := count_differing(engine, run_id):  # only a sync that found an older org has read it back
            alerts.send(
                firm.alert_urls(), "Salesforce was restored from a backup", f"Read back and sent again: {differing}"
            )
        holding.refuse_standstill(engine, run_id, patience)
        return lines

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

    judged, shown, sent = judge_day(), show_changes(), send_changes()
    resolve_identity() >> judged >> shown >> may_write() >> [questions := find_questions(shown), sent]
    questions >> request_approval
    [sent, judged] >> raise_tasks()
    sent >> report_held_back()


def log_standstill(context: Any) -> None:
    """People were alerted by the task, once a state; its failure is no second alert."""
    import logging

    logging.getLogger(__name__).warning("Nothing was sent: %s", context.get("exception"))


def _refuse_paused(is_paused: bool) -> None:
    """Somebody may have paused in the meantime."""
    if is_paused:
        raise AirflowSkipException("Writing to Salesforce is paused")


salesforce()
