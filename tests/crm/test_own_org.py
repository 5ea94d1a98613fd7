"""A database knows the records of one org, and nothing works with another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from include.crm import tasks
from include.crm.adoption import adopt
from include.crm.run import SyncRun
from include.crm.sync import readback
from include.errors import ConfigurationError
from sandbox.salesforce.org import ORG_ID
from tests.crm.conftest import Crm

DAY = date(2026, 11, 20)
OTHER = "insert into control.crm_org (org_id) values ('00DHp0000000002AAC')"

WORK: dict[str, Callable[[Crm], object]] = {
    "sync": lambda crm: crm.sync(),
    "tasks": lambda crm: tasks.sync(crm.org, SyncRun("r", DAY), {}),
    "read-back": lambda crm: readback.read_back(crm.org, "r", print),
    "comparison": lambda crm: adopt.compare(crm.org, "r", DAY, print),
    "adoption": lambda crm: adopt.adopt(crm.org, "r", DAY, print),
}


def test_the_first_sync_records_the_org(crm: Crm) -> None:
    crm.sync()
    assert crm.database.value("select org_id from control.crm_org") == ORG_ID


def test_a_comparison_does_not_tie_the_database_to_the_org(crm: Crm) -> None:
    WORK["comparison"](crm)
    assert crm.database.value("select count(*) from control.crm_org") == 0


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_another_org_is_refused_before_anything_is_written(crm: Crm, work: Callable[[Crm], object]) -> None:
    crm.database.do(OTHER)
    with pytest.raises(ConfigurationError, match=rf"another org.*org_id={ORG_ID} known=00DHp0000000002AAC"):
        work(crm)
    assert crm.records("Account") == {}
    assert crm.database.value("select count(*) from control.api_call where vendor = 'salesforce'") == 0


@pytest.mark.synced
def test_an_id_without_its_checksum_is_the_same_org(crm: Crm) -> None:
    crm.database.do("update control.crm_org set org_id = :id", id=ORG_ID[:15])
    assert crm.sent() == {}
