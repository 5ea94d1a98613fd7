"""The text on the page of a vendor's DAG."""

from __future__ import annotations

import re

import pytest

from include.contract import Vendor
from include.vendors import VENDORS, named
from plugins.tributary.dag_docs import describe_cron, describe_daily, describe_on_demand
from tests.dags.airflow_home import ROOT


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 6 * * 1-5", "on weekdays at 06:00, New York time"),
        ("0 4 * * 6", "every Saturday at 04:00, New York time"),
        ("30 2 * * 0", "every Sunday at 02:30, New York time"),
        ("15 5 * * *", "every day at 05:15, New York time"),
        ("40 * * * *", "every hour, 40 minutes past the hour, New York time"),
        ("10 */4 * * *", "every 4 hours, 10 minutes past the hour, New York time"),
        ("0 5 1 1,4,7,10 *", "on day 1 of January, April, July and October at 05:00, New York time"),
        ("0 5 1 3 *", "on day 1 of March at 05:00, New York time"),
        ("*/5 7-20 * * 1-5", "by `*/5 7-20 * * 1-5`, New York time"),
        ("*/5 * * * *", "by `*/5 * * * *`, New York time"),
    ],
)
def test_a_schedule_is_written_in_words(cron: str, words: str) -> None:
    assert describe_cron(cron, "America/New_York") == words


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_the_text_has_the_schedule_and_guides_that_exist(vendor: Vendor) -> None:
    text = describe_daily(vendor)
    assert "by `" not in text.partition("---")[0]
    assert f"/operations/vendors/{vendor.name}" in text
    guides = re.findall(r"docs/how-to/\w+\.md", text + describe_on_demand(named("emoney"), "clients"))
    assert len(guides) == 3
    assert all((ROOT / guide).exists() for guide in guides)
