"""The tasks of the DAG `salesforce`, which sends the current state of the warehouse to Salesforce."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from tributary.policy import DEADLINE_HOURS

APPROVALS = "{{ ti.xcom_pull(task_ids='open_approvals') | tojson }}"
"""Template that renders the parameters for the DAG `approve_salesforce`, from the result of `open_approvals`."""
APPROVAL_RUN = "questions_{{ ti.xcom_pull(task_ids='open_approvals')['question_ids'] | join('_') }}"
"""Template of the id of the approval run. It gives the same id as `include.crm.sync.approval.name_run`."""


@task
def resolve_identity(params: Any = None, run_id: Any = None) -> dict[str, int | None] | None:
    """Resolve identities across vendors; return the counts of `Resolved`, or None if no record changed or in a dry run."""
    if params["dry_run"]:
        return None  # in a dry run, `show_changes` resolves identities and rolls back
    from dataclasses import asdict

    from include import business_dates
    from include.identity.resolve import resolve
    from include.vendors import VENDORS
    from tributary import connections

    day, policy = business_dates.business_date(None), connections.identity_policy()
    found = resolve(connections.site().engine, VENDORS, run_id, day, policy, is_full=params["match_all"])
    return None if found is None else asdict(found)


@task
def evaluate_rules(params: Any = None, run_id: Any = None) -> dict[str, dict[str, str]]:
    """Evaluate the business rules; return the counts of findings as text, by vendor and rule. A dry run evaluates nothing here."""
    if params["dry_run"]:
        return {}
    from include.rules.evaluation import evaluate_all
    from tributary import connections

    tallies = evaluate_all(connections.site().engine, connections.rule_policy(), run_id, *connections.rules())
    return {vendor: {rule: str(tally) for rule, tally in rules.items()} for vendor, rules in tallies.items()}


@task
def compare_org(params: Any = None, run_id: Any = None) -> dict[str, int]:
    """If there are new records, first look for them in the org; return the number of findings by outcome. A dry run does nothing here."""
    import logging

    from include import business_dates
    from include.crm.adoption import adopt
    from tributary import connections

    connections.skip_without_salesforce()
    org = connections.org()
    if params["dry_run"] or not adopt.has_new_records(org):
        return {}
    return adopt.compare(org, run_id, business_dates.business_date(None), logging.getLogger(__name__).info)


# `all_done`: the task runs even if a rule failed. A failed rule fails the run, but holds back only its own Tasks in Salesforce.
@task(trigger_rule="all_done")
def show_changes(params: Any = None, run_id: Any = None) -> dict[str, Any]:
    """Compare the desired state with the accepted state, and write the page that shows the changes.

    A dry run first resolves identities and evaluates the rules, and rolls both back at the end.

    Returns:
        `changes`: the changes by object, or `none`. `concerns`: the changes that need approval. `unsettled`: the vendors whose newest day
        is not reconciled, with the time since when. `uncompared`: the days, by vendor, whose transactions changed since they were
        reconciled, but are sent. `page`: path of the page.
    """
    import logging

    from include import business_dates
    from include.crm.readiness import find_uncompared_days
    from include.crm.sync import difference
    from include.crm.sync.preview import preview
    from include.pipeline import dry_run
    from include.vendors import VENDORS
    from tributary import connections

    connections.skip_without_salesforce()
    engine, settings, resends = connections.site().engine, connections.crm_settings(), _choose_resends(params)
    if params["dry_run"]:
        policies = connections.identity_policy(), connections.rule_policy()
        day = business_dates.business_date(None)
        rules = connections.rules()
        shown = dry_run.rehearse(engine, VENDORS, *policies, settings, run_id, day, 1000, resends=resends, rules=rules)
    else:
        shown = preview(engine, settings, resends=resends)
    page = difference.write(connections.staging(), run_id, shown, connections.connection("salesforce").url)
    for name, found in shown.deltas.items():
        changes = (f"{change.external_key}  {change.field}" for change in shown.samples[name][:20])
        logging.getLogger(__name__).info("\n".join([f"{name}: {found}", *changes]))
    return {
        "changes": {name: str(found) for name, found in shown.deltas.items() if found.has_changes} or "none",
        "concerns": [concern.reason for concern in shown.concerns],
        "unsettled": {vendor: str(since) for vendor, since in shown.unsettled.items()},
        "uncompared": find_uncompared_days(engine),
        "page": f"/salesforce-changes/{page}",
    }


@task.short_circuit
def may_write(params: Any = None) -> bool:
    """Return whether this run may write: it is not a dry run, and writing is not paused."""
    from tributary import connections

    return not params["dry_run"] and not connections.is_crm_paused()


@task.short_circuit
def open_approvals(shown: dict[str, Any], params: Any = None, run_id: Any = None) -> dict[str, Any]:
    """Record a request for each change that needs approval; return the parameters for the DAG `approve_salesforce`.

    Return an empty dict, which skips that DAG, if no change needs approval, or if each such change is already requested, approved or rejected.
    The parameter `request_rejected` requests rejected ones again.
    """
    from include.crm.sync import approval
    from include.crm.sync.preview import preview
    from tributary import connections

    engine, settings = connections.site().engine, connections.crm_settings()
    if not shown["concerns"]:
        return {}
    found = preview(engine, settings, 0)
    questions = approval.request_approval(
        engine, found.concerns, found.deltas, settings, run_id, reopens=params["request_rejected"]
    )
    if not questions:
        return {}
    ids, wordings = [q.question_id for q in questions], [q.wording for q in questions]
    return {"question_ids": ids, "wordings": wordings, "page": shown["page"]}


@task
def send_changes(params: Any = None, run_id: Any = None) -> dict[str, Any]:
    """Send the changes that need no approval or are approved; return the counts by object.

    Raises:
        HeldBack: Every change is held back, so nothing was sent.
        RowsFailed: Salesforce rejected rows; all other rows were sent.
    """
    from include import business_dates
    from include.crm.run import SyncRun
    from include.crm.sync import approval
    from include.crm.sync.load import Scope, sync
    from include.errors import RowsFailed
    from tributary import connections

    org = connections.org()
    engine = org.engine
    scope = Scope(approval.find_approved(engine), _choose_resends(params))
    try:
        counts = sync(org, SyncRun(run_id, business_dates.business_date(None)), connections.work_folder(), scope)
    except RowsFailed:
        approval.use(engine, run_id)
        raise
    approval.use(engine, run_id)
    return {name: {"sent": c.sent, "created": c.created, "updated": c.updated} for name, c in counts.items()}


@task(trigger_rule="all_done")
def report_held_back(run_id: Any = None) -> list[str]:
    """Return what is held back, one line per object and cause; alert once about each that is held back for `DEADLINE_HOURS`.

    If the sync of this run found records that users deleted or merged, created one again, or found that Salesforce was restored from a backup, it also sends an
    alert about that.
    """
    from include.crm.sync import approval, holding
    from include.crm.sync.readback import count_differing
    from include.crm.sync.results import name_removal
    from tributary import connections
    from tributary.alerts import fingerprint, page, send

    engine, patience = connections.database(), timedelta(hours=DEADLINE_HOURS)
    held = holding.read(engine)
    states = approval.describe(engine, [each.entity for each in held if each.cause == "approval"])
    lines = [f"{each}; {states[each.entity]}" if each.entity in states else str(each) for each in held]
    link = f"Link: {page('salesforce')}/runs/{quote(run_id)}"

    def alert(late: list[holding.Held], states: str) -> None:
        body = "\n".join([*map(str, late), link])
        send("held_back", "Salesforce: records are held back", body, dag_id="salesforce", subject=fingerprint(states))

    holding.alert_late(engine, patience, alert)
    if removed := count_differing(engine, name_removal(run_id)):
        body = f"{removed}. See what happens to each, and decide: Operations, Salesforce, Drift\n{link}"
        title = "Salesforce: records were deleted, merged or created again"
        send("crm_difference", title, body, dag_id="salesforce", run_id=run_id)
    if differing := count_differing(engine, run_id):  # only a sync that found an older state of the org reads it back
        body, about = f"Read back and sent again: {differing}", {"dag_id": "salesforce", "run_id": run_id}
        send("restored", "Salesforce was restored from a backup", f"{body}\n{link}", subject=fingerprint(body), **about)
    return lines


@task
def raise_tasks(run_id: Any = None) -> dict[str, int]:
    """Create a Task in Salesforce for each finding that needs one, and complete the Tasks of resolved findings; return both counts."""
    from include import business_dates
    from include.crm import tasks
    from include.crm.run import Org, SyncRun
    from tributary import connections

    _refuse_paused(connections.is_crm_paused())
    day_rules, household_rules = connections.rules()
    rules = [(r.name, r.task_subject, r.due_days) for r in day_rules]
    rules += [(r.name, r.task_subject, r.due_days) for r in household_rules]
    specs = {name: tasks.TaskSpec(subject, due_days) for name, subject, due_days in rules if subject}
    org = Org(connections.site().engine, connections.connection("salesforce"), connections.crm_settings())
    counts = tasks.sync(org, SyncRun(run_id, business_dates.business_date(None)), specs)
    return {"created": counts.created, "completed": counts.updated}


def _choose_resends(params: dict[str, Any]) -> str:
    """Return the error whose rejected records are sent again."""
    from include.crm.sync.delta import EVERY_ERROR

    return EVERY_ERROR if params["resend_refused"] else str(params["resend_error"] or "")


def _refuse_paused(is_paused: bool) -> None:
    """Skip the task if writing to Salesforce was paused during the run."""
    if is_paused:
        raise AirflowSkipException(
            "Writing to Salesforce is paused: select Resume Salesforce on the page Salesforce of Operations"
        )
