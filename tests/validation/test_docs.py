"""Data Docs, built by Great Expectations from the validation results in the partitions."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from include.errors import FatalError
from include.staging.partitions import Manifest, Partition, Staging
from include.validation import docs
from tests.firm_keys import KEYRING

HOSTILE = "<img src=x onerror=alert(1)>"

VALUE = {
    "name": "expect_column_values_to_be_between(value_usd)",
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "value_usd", "min_value": 0, "max_value": 2500000},
    "level": "row",
    "notes": "A made-up account holds less.",
    "success": True,
    "element_count": 1000,
    "unexpected_count": 0,
    "missing_count": 0,
    "partial_unexpected_list": [],
}
BAD_VALUE = VALUE | {"success": False, "unexpected_count": 5, "partial_unexpected_list": ["-17.5", HOSTILE]}
DEAD = {
    "name": "expect_column_values_to_be_between(dead_ratio)",
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "dead_ratio", "max_value": 0.02},
    "level": "batch",
    "notes": "",
    "success": False,
    "element_count": 1,
    "unexpected_count": 1,
    "missing_count": 0,
    "partial_unexpected_list": ["0.25"],
}


def write_validated(
    staging: Staging, table: str = "accounts", day: int = 2, results: tuple[Any, ...] = (VALUE,)
) -> Partition:
    """Write a partition with results, as validation does."""
    outcome = {"table": table, "staged": 1000, "refused": 5, "results": results, "measures": {"dead_ratio": 0.25}}
    manifest = Manifest(
        vendor="orion",
        table=table,
        business_date=date(2026, 11, day),
        pull_id=f"pull{day}",
        pulled="current",
        extracted_at=datetime(2026, 11, day, 22, tzinfo=UTC),
        api_version="v1",
        contract="",
        window=None,
        fetched=1000,
        staged=1000,
        duplicate=0,
        dead=0,
        money=None,
        undeclared=(),
        parts=(),
    )
    partition = staging.seal(manifest)
    partition.folder.write("validation.json", json.dumps(outcome).encode())
    return partition


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(str(tmp_path / "staging"), KEYRING.staging)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "docs"


def list_results(root: Path) -> list[Path]:
    return sorted((root / "site" / "validations").rglob("*.html"))


def test_an_earlier_run_stays_beside_a_later_one(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, day=2)], "scheduled__monday")
    index = docs.build(root, [write_validated(staging, day=3)], "scheduled__tuesday").read_text()
    assert index.index('id="scheduled__tuesday"') < index.index('id="scheduled__monday"')
    assert len(list_results(root)) == 2


def test_every_link_of_the_index_leads_to_a_page(staging: Staging, root: Path) -> None:
    import re
    from urllib.parse import unquote

    partitions = [write_validated(staging, table) for table in ("accounts", "clients")]
    index = docs.build(root, partitions, "scheduled__2026-11-02T22:00:00+00:00")
    links = {unquote(link) for link in re.findall(r'href="([^"]+)"', index.read_text())}
    assert len(links) == 5
    assert not [link for link in links if not (index.parent / link).exists()]


def test_a_failed_expectation_shows_its_notes_units_and_counts(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, results=(BAD_VALUE,))], "run")
    page = list_results(root)[0].read_text()
    for words in ("values must be greater than or equal to", "2500000", "A made-up account holds less.", "-17.5"):
        assert words in page
    assert "5 unexpected values found. 0.5% of 1000 total rows." in " ".join(page.split())
    assert "The row becomes a dead letter." in page


def test_a_batch_level_expectation_shows_the_measure_that_it_looked_at(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, results=(DEAD,))], "run")
    page = list_results(root)[0].read_text()
    assert "0.25" in page
    assert "The day stops before anything is loaded." in page
    assert "total rows" not in page


def test_the_suite_has_its_page_with_its_notes(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging)], "run")
    page = (root / "site" / "expectations" / "orion__accounts.html").read_text()
    assert "A made-up account holds less." in page


def test_markup_in_a_vendors_value_is_shown_as_text(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, results=(BAD_VALUE,))], "run")
    page = list_results(root)[0].read_text()
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_pages_need_no_script_and_nothing_from_elsewhere(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, results=(BAD_VALUE, DEAD))], "run")
    pages = [page.read_text() for page in (root / "site").rglob("*.html")]
    assert len(pages) == 3
    assert not [page for page in pages if "<script" in page or "://" in page]


def test_the_same_run_again_changes_nothing(staging: Staging, root: Path) -> None:
    partitions = [write_validated(staging)]
    first = docs.build(root, partitions, "run").read_text()
    assert docs.build(root, partitions, "run").read_text() == first
    assert len(list_results(root)) == 1


def test_a_table_that_was_not_validated_is_left_out(staging: Staging, root: Path) -> None:
    partitions = [write_validated(staging), staging.seal(replace(write_validated(staging).manifest, table="clients"))]
    docs.build(root, partitions, "run")
    assert [page.relative_to(root / "site" / "validations").parts[0] for page in list_results(root)] == [
        "orion__accounts"
    ]


def test_the_oldest_results_go_when_there_are_too_many(
    staging: Staging, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT", 2)
    for day in (4, 2, 3):
        index = docs.build(root, [write_validated(staging, day=day)], f"run{day}").read_text()
    assert [name for name in ("run2", "run3", "run4") if name in index] == ["run3", "run4"]
    assert len(list_results(root)) == 2


def test_the_results_of_a_table_that_is_pulled_often_leave_those_of_others(
    staging: Staging, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT", 1)
    docs.build(root, [write_validated(staging, "clients", day=2)], "run2")
    for day in (3, 4):
        index = docs.build(root, [write_validated(staging, "accounts", day=day)], f"run{day}").read_text()
    assert [name for name in ("run2", "run3", "run4") if name in index] == ["run2", "run4"]


def test_a_lost_page_is_made_again_from_its_result(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, day=2)], "run2")
    list_results(root)[0].unlink()
    docs.build(root, [write_validated(staging, day=3)], "run3")
    assert len(list_results(root)) == 2


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Limit the size of any file, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_page_that_cannot_be_written_is_an_error_the_site_stays_and_the_next_run_succeeds(
    staging: Staging, root: Path
) -> None:
    before = docs.build(root, [write_validated(staging, day=2, results=(BAD_VALUE,))], "run2").read_text()
    room = list_results(root)[0].stat().st_size - 100
    partitions = [write_validated(staging, day=3, results=(BAD_VALUE,))]
    with limit_file_size(room), pytest.raises(FatalError, match="Data Docs could not be built completely"):
        docs.build(root, partitions, "run3")
    assert (root / "site" / "index.html").read_text() == before
    assert len(list(root.glob("site-*"))) == 1
    docs.build(root, [write_validated(staging, day=4)], "run4")
    assert len(list_results(root)) == 2


def test_a_run_may_be_called_profiling(staging: Staging, root: Path) -> None:
    index = docs.build(root, [write_validated(staging)], "manual__profiling")
    assert 'id="manual__profiling"' in index.read_text()


def test_a_page_that_is_being_read_outlives_the_next_build(staging: Staging, root: Path) -> None:
    docs.build(root, [write_validated(staging, day=2)], "run2")
    reading = (root / "site").resolve() / "index.html"
    docs.build(root, [write_validated(staging, day=3)], "run3")
    assert reading.exists()
    docs.build(root, [write_validated(staging, day=4)], "run4")
    assert not reading.exists()


BUILDER = """
import sys
from pathlib import Path
from include.staging.partitions import Staging
from include.validation import docs
from tests.firm_keys import KEYRING
_, root, staging, times, run_id, *paths = sys.argv
for _ in range(int(times)):
    docs.build(Path(root), map(Staging(staging, KEYRING.staging).open, paths), run_id)
"""


def start_builder(
    root: Path, staging: Path, times: int, run_id: str, partitions: list[Partition]
) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [
        sys.executable,
        "-c",
        BUILDER,
        str(root),
        str(staging),
        str(times),
        run_id,
        *(each.path for each in partitions),
    ]
    return subprocess.Popen(command, env=environment)


def test_two_processes_that_build_at_once_lose_nothing(staging: Staging, root: Path, tmp_path: Path) -> None:
    partitions = {
        run: [write_validated(staging, table, day) for table in ("accounts", "clients", "assets")]
        for run, day in (("run2", 2), ("run3", 3))
    }
    builders = [start_builder(root, tmp_path / "staging", 4, run, partitions[run]) for run in partitions]
    assert [builder.wait(120) for builder in builders] == [0, 0]
    assert len(list_results(root)) == 6
    index = (root / "site" / "index.html").read_text()
    assert {run for run in partitions if f'id="{run}"' in index} == set(partitions)
    assert sorted(path.name.split("-")[0] for path in root.iterdir()) == [
        ".lock",
        "results",
        "site",
        "site",
        "site",
    ]


@pytest.mark.long
def test_a_killed_build_leaves_the_pages_intact(staging: Staging, root: Path, tmp_path: Path) -> None:
    docs.build(root, [write_validated(staging, day=2)], "run2")
    random = Random(7)
    for _ in range(2):
        builder = start_builder(root, tmp_path / "staging", 1000, "run3", [write_validated(staging, day=3)])
        while not list((root / "results").rglob("*run3*")):
            time.sleep(0.01)
        time.sleep(random.random() / 2)
        builder.kill()
        builder.wait()
    docs.build(root, [write_validated(staging, day=4)], "run4")
    assert len(list_results(root)) == 3
    assert len(list(root.glob("site-*"))) == 2
