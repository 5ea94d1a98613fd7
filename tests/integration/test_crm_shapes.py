"""Two days of a small firm in each shape of org besides the managed package, which has a week in `test_crm_month`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.postgres import Postgres
from tests.integration.crm_truth_plain import PLAIN
from tests.integration.crm_truth_standard import STANDARD
from tests.integration.test_crm_month import WEEK, Month, run_month

TRUTHS = (STANDARD, PLAIN)


@pytest.fixture(scope="module", params=TRUTHS, ids=[truth.settings.shape for truth in TRUTHS])
def days(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Month]:
    with run_month(postgres, tmp_path_factory.mktemp("crm-days"), WEEK[-2:], request.param, households=6) as month:
        yield month


def test_after_each_day_salesforce_is_the_warehouse_field_by_field(days: Month) -> None:
    assert [(step.day, step.differing, step.differing_tasks) for step in days.steps if step.differing] == []


def test_each_day_exactly_the_changed_records_were_sent(days: Month) -> None:
    assert [step.changed for step in days.steps] == [step.moved for step in days.steps]
    assert all(len(step.changed["household"]) for step in days.steps)
