"""Every shape of org: a day with trades, goals, roles and findings arrives in it, field by field as the golden file says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from include.check.org_plan import plan_org
from include.control.ledger import Counts
from include.crm import tasks
from include.crm.objects.portfolio import list_mappings
from include.crm.run import SyncRun
from include.crm.settings import Persons, ShapeName
from include.crm.sync.readback import read_back
from local.postgres import Postgres
from tests.conftest import new_database
from tests.crm.conftest import BULK, Crm, Start, run_crm
from tests.crm.objects.test_planning import COLLEGE, Office
from tests.crm.test_tasks import SPECS, find
from tests.running_sandbox import LAST

GOLDENS = Path(__file__).parent / "shapes"
SUBJECTS = ("account", "household", "person")


@dataclass(frozen=True)
class Shown:
    """The org of a shape after a first sync, the name of its golden, and what that sync sent."""

    crm: Crm
    golden: str
    counts: dict[str, Counts]


# `tests/integration/test_crm_shapes.py` has the standard objects with the other way of persons.
WAYS: dict[str, tuple[ShapeName, Persons]] = {
    "managed_package": ("managed_package", "individuals"),
    "standard_objects": ("standard_objects", "person_accounts"),
    "plain": ("plain", "individuals"),
}


@pytest.fixture(scope="module", params=WAYS)
def shown(
    request: pytest.FixtureRequest, postgres: Postgres, loaded: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shape")
    shape, persons = WAYS[request.param]
    with (
        new_database(postgres, loaded.database) as database,
        run_crm(database, folder, loaded, shape=shape) as crm,
    ):
        crm.settings = replace(BULK, shape=shape, persons=persons, has_transactions=True)
        if persons == "person_accounts":
            crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True}).raise_for_status()
        database.do(
            "update warehouse.registration_party set role = 'trustee' where role = 'grantor' and person_id is not null"
        )
        office = Office(crm, folder / "staging")
        office.plan("0.8125", COLLEGE)
        office.numbers(45, 62)
        for subject in SUBJECTS:
            find(crm, entity=subject)
        database.do("update control.finding set household_id = subject_id where subject_entity = 'household'")
        yield Shown(crm, request.param, crm.sync())
        for vendor in (office.planner, office.risk):
            vendor.engine.dispose()


def read_payloads(shown: Shown) -> dict[str, Any]:
    """Return one record of each entity, as Salesforce accepted it: the one with the most values, and of several the one with the first key."""
    found = {}
    for mapping in list_mappings(shown.crm.settings):
        entity = "person" if mapping.entity == "contact" else mapping.entity
        [row, *_] = shown.crm.database.rows(
            """
            select external_key as key, payload from control.crm_state where sobject = :sobject and external_key like :keys
            order by (select count(*) from jsonb_each(payload) where value <> 'null') desc, payload::text collate "C" limit 1
            """,
            sobject=mapping.sobject, keys=f"%:{entity}:%",
        ) or [None]  # fmt: skip
        found[f"{mapping.entity} ({mapping.sobject})"] = row and dict(sorted(row["payload"].items()))
    return found


def test_each_object_gets_the_fields_of_its_golden(shown: Shown) -> None:
    golden, payloads = GOLDENS / f"{shown.golden}.json", read_payloads(shown)
    if not golden.exists():
        golden.write_text(json.dumps(payloads, indent=2, ensure_ascii=False) + "\n")
        pytest.fail(f"{golden.name} was missing, and is written: read it")
    assert payloads == json.loads(golden.read_text())


def test_salesforce_accepts_every_record(shown: Shown) -> None:
    assert {entity for entity, counts in shown.counts.items() if counts.sent} == {*shown.counts} - {"envelope"}
    assert {entity: counts for entity, counts in shown.counts.items() if counts.created != counts.sent} == {}


def test_a_second_sync_sends_nothing(shown: Shown) -> None:
    assert shown.crm.sent() == {}


def test_a_read_back_finds_what_was_sent(shown: Shown) -> None:
    found = read_back(shown.crm.org, "read", lambda _: None)
    assert {entity: each for entity, each in found.items() if not each.is_as_expected} == {}


def test_an_org_with_the_deployed_metadata_lacks_nothing(shown: Shown) -> None:
    plan = plan_org(shown.crm.org, list_mappings(shown.crm.settings), "plan")
    assert [str(each) for each in plan.findings if each.state in ("red", "amber")] == []


def test_each_finding_gets_a_task_about_its_record(shown: Shown) -> None:
    tasks.sync(shown.crm.org, SyncRun("tasks", LAST), SPECS)
    object_of = {each.entity: each.sobject for each in list_mappings(shown.crm.settings)}
    keys = {record["Id"]: key for subject in SUBJECTS for key, record in shown.crm.records(object_of[subject]).items()}
    about = [
        (name, keys[record[name]].split(":")[2])
        for record in shown.crm.records("Task").values()
        for name in ("WhatId", "WhoId")
        if record.get(name)
    ]
    person = "WhoId" if object_of["person"] == "Contact" else "WhatId"
    assert sorted(about) == sorted([("WhatId", "account"), ("WhatId", "household"), (person, "person")])
