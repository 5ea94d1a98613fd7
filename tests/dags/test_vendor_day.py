"""The DAG of every vendor: its tasks, and how it handles an operator's parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.pipeline.plan import find_keyed
from include.vendors import VENDORS, named
from tests.dags.airflow_home import environment, run, said

pytestmark = pytest.mark.airflow

# There are no connections, so any request to a vendor fails.
PULL_SLOTS = 12

_LOOK = """
import json
from types import SimpleNamespace as Thing
from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
from airflow.sdk.exceptions import AirflowTaskTimeout, ParamValidationError
from include.errors import ConfigurationError
from include.vendors import VENDORS

def is_taken(dag, name, value):
    try:
        dag.params.get_param(name).resolve(value)
        return True
    except ParamValidationError:
        return False

def refusal(dag, day):
    try:
        params = dag.params.dump() | {"business_date": day}
        dag.get_task("plan_day").python_callable(dag.dag_id, params, Thing(run_type="manual", triggering_user_name=None))
    except ConfigurationError as error:
        return str(error)
    return None

def is_done_at_once(dag):
    if not dag.has_task("wait_until_closed"):
        return None
    return dag.get_task("wait_until_closed").python_callable(dag.dag_id, {}, params={"wait": False}).is_done

def out_of_time(dag, task_id):
    return dag.get_task(task_id).retry_policy.evaluate(AirflowTaskTimeout(), 1, 4).action.value

def is_pull(task):
    return task.task_id.startswith("pull")

def places(tasks):
    return sorted({(task.queue, task.pool) for task in tasks})

CALLING = ("wait_until_closed", "request_redelivery")

def look(dag, tables):
    return {
        "deadlines": [[d.name, d.interval] for d in (dag.deadline or [])],
        "retries": min(task.retries for task in dag.tasks),
        "vendor_retries": sorted({task.retries for task in dag.tasks if is_pull(task) or task.task_id in CALLING}),
        "places": places(task for task in dag.tasks if is_pull(task)),
        "others": places(task for task in dag.tasks if not is_pull(task)),
        "out_of_time": [out_of_time(dag, name) for name in ("pull", "publish")],
        "pulls": dag.get_task("pull").max_active_tis_per_dagrun,
        "pull_hours": dag.get_task("pull").execution_timeout.total_seconds() / 3600,
        "offered": dag.params.get_param("tables").schema["examples"] == tables,
        "takes": [
            is_taken(dag, "tables", tables), is_taken(dag, "tables", ["pets"]), is_taken(dag, "tables", []),
        ],
        "sunday": refusal(dag, "2026-11-22"),
        "not_waiting": is_done_at_once(dag),
        "stages": [
            [group.label, sorted(group.children)]
            for name, group in dag.task_group.get_task_group_dict().items() if name
        ],
        "doc": dag.doc_md,
    }

def look_for_clients(day, clients):
    return {
        "at_once": clients.max_active_runs,
        "places": places(clients.tasks),
        "scheduled": clients.timetable.can_be_scheduled,
        "day_takes": "keys" in day.params,
        "takes": [is_taken(clients, "keys", keys) for keys in (["a"], [])],
        "same": {t.task_id for t in day.tasks} - {t.task_id for t in clients.tasks} <= {"request_redelivery"},
    }

bag = DagBag()
print("SEEN", json.dumps({v.name: look(bag.dags[v.name], [t.name for t in v.requested_tables]) for v in VENDORS}))
print("CLIENTS", json.dumps({
    name: look_for_clients(day, bag.dags[f"{name}_on_demand"])
    for name, day in bag.dags.items() if f"{name}_on_demand" in bag.dags
}))

def create_in_task(dag_id):  # as Airflow's task_runner does
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id="pull"):
        return sorted(DagBag(conf.get("core", "dags_folder") + "/vendor_day.py").dags)

print("IN_TASK", json.dumps({name: create_in_task(name) for name in bag.dags if bag.dags[name].has_task("pull")}))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("airflow")
    return run(
        environment(folder / "home", {}) | {"TRIBUTARY_DEADLINE_HOURS": "1.5", "TRIBUTARY_PULL_SLOTS": str(PULL_SLOTS)},
        _LOOK,
    )


@pytest.fixture(scope="module")
def parsed(output: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(said(output, "SEEN"))
    return facts


each_vendor = pytest.mark.parametrize("name", [vendor.name for vendor in VENDORS])


@each_vendor
def test_a_runs_deadline_comes_from_the_environment(parsed: dict[str, Any], name: str) -> None:
    [[title, seconds]] = parsed[name]["deadlines"]
    assert "within 1.5 hours" in title
    assert seconds == 5400


@each_vendor
def test_every_task_is_tried_again_and_only_pulls_wait_in_their_queue(parsed: dict[str, Any], name: str) -> None:
    assert (parsed[name]["retries"], parsed[name]["vendor_retries"]) == (4, [12])
    assert parsed[name]["places"] == [["pulls", "pulls"]]
    assert parsed[name]["others"] == [["default", "default_pool"]]


@each_vendor
def test_a_pull_may_take_as_long_as_the_vendors_limits_need_and_resumes_after_that(
    parsed: dict[str, Any], name: str
) -> None:
    two_thousand = max((2000 / (calls * 0.8) for calls in named(name).budget.calls_per_hour.values()), default=0)
    assert parsed[name]["pull_hours"] > two_thousand
    assert parsed[name]["out_of_time"] == ["retry", "fail"]


@each_vendor
def test_one_run_also_of_a_backfill_leaves_half_of_the_slots_to_another(parsed: dict[str, Any], name: str) -> None:
    assert parsed[name]["pulls"] == PULL_SLOTS // 2


@each_vendor
def test_the_form_offers_the_vendors_tables_and_takes_no_other_and_not_none(parsed: dict[str, Any], name: str) -> None:
    assert parsed[name]["offered"]
    assert parsed[name]["takes"] == [True, False, False]


@each_vendor
def test_a_day_that_is_no_session_stops_the_plan(parsed: dict[str, Any], name: str) -> None:
    assert "2026-11-22 is not a trading day" in parsed[name]["sunday"]


@each_vendor
def test_a_run_waits_only_for_vendors_with_a_closed_day_unless_switched_off(parsed: dict[str, Any], name: str) -> None:
    assert parsed[name]["not_waiting"] is (True if named(name).closed else None)


@each_vendor
def test_each_stage_of_several_is_a_group_that_names_its_tables(parsed: dict[str, Any], name: str) -> None:
    stages = named(name).stages
    groups = parsed[name]["stages"]
    assert len(groups) == (len(stages) if len(stages) > 1 else 0)
    for number, (label, tasks) in enumerate(groups):
        assert label.startswith(f"{number + 1}. {stages[number][0]}")
        suffix = f"__{number}" if number else ""
        assert tasks == [f"list_tables{suffix}", f"pull{suffix}"]  # ids without the group, as in earlier runs


@each_vendor
def test_the_text_of_the_dag_has_its_schedule_in_words_and_a_guide(parsed: dict[str, Any], name: str) -> None:
    assert "New York time. A step that is late" in parsed[name]["doc"]
    assert "docs/how-to/fixing_a_failed_run.md" in parsed[name]["doc"]


def test_a_task_creates_only_its_own_dag(output: str) -> None:
    created = json.loads(said(output, "IN_TASK"))
    assert len(created) > len(VENDORS)
    assert created == {name: [name] for name in created}


@pytest.mark.parametrize("name", [vendor.name for vendor in VENDORS if find_keyed(vendor)])
def test_single_clients_wait_for_no_day_and_share_no_slots_with_one(output: str, name: str) -> None:
    assert json.loads(said(output, "CLIENTS"))[name] == {
        "at_once": 4,
        "places": [["default", "default_pool"]],
        "scheduled": False,
        "day_takes": False,
        "takes": [True, False],
        "same": True,
    }
