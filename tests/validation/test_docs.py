"""Data Docs, built by Great Expectations from the validation results in the partitions."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import pytest
import sqlalchemy as sa

from include.errors import FatalError, TargetUnavailable
from include.staging.partitions import Manifest, Partition, Staging
from include.validation import docs, site
from tests.conftest import Database
from tests.firm_keys import KEYRING
from tests.staging.test_partitions import start_s3

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


@pytest.fixture(params=["disk", "s3"])
def staging(request: pytest.FixtureRequest, tmp_path: Path) -> Staging:
    if request.param == "disk":
        return Staging(str(tmp_path / "staging"), KEYRING.staging)
    return Staging(f"s3://staging/{tmp_path.name}", KEYRING.staging, request.getfixturevalue("s3"))


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    server, options = start_s3()
    yield options
    server.stop()


def read(staging: Staging, path: str = "index.html") -> str:
    return site.read_page(staging, path).decode()


def list_results(staging: Staging) -> list[str]:
    """The pages of results on the site."""
    return [path for path in sorted(site.read_site(staging).files) if path.startswith("validations/")]


def list_files(staging: Staging) -> set[str]:
    return {name for name, _ in staging.list_files(site.PLACE)}


def build(staging: Staging, engine: sa.Engine, partitions: list[Partition], run_id: str) -> str:
    """Build the site; return its index."""
    docs.build(staging, engine, partitions, run_id)
    return read(staging)


def test_an_earlier_run_stays_beside_a_later_one(staging: Staging, engine: sa.Engine) -> None:
    build(staging, engine, [write_validated(staging, day=2)], "scheduled__monday")
    index = build(staging, engine, [write_validated(staging, day=3)], "scheduled__tuesday")
    assert index.index('id="scheduled__tuesday"') < index.index('id="scheduled__monday"')
    assert len(list_results(staging)) == 2


def test_every_link_of_the_index_leads_to_a_page(staging: Staging, engine: sa.Engine) -> None:
    partitions = [write_validated(staging, table) for table in ("accounts", "clients")]
    index = build(staging, engine, partitions, "scheduled__2026-11-02T22:00:00+00:00")
    links = {unquote(link) for link in re.findall(r'href="([^"]+)"', index)}
    assert len(links) == 5
    assert all(read(staging, link) for link in links)


def test_pages_are_encrypted(staging: Staging, engine: sa.Engine) -> None:
    build(staging, engine, [write_validated(staging, results=(BAD_VALUE,))], "run")
    folder = staging.folder(site.PLACE)
    assert not [name for name in list_files(staging) if b"-17.5" in folder.read_raw(name)]


def test_a_failed_expectation_shows_its_notes_units_and_counts(staging: Staging, engine: sa.Engine) -> None:
    docs.build(staging, engine, [write_validated(staging, results=(BAD_VALUE,))], "run")
    page = read(staging, list_results(staging)[0])
    for words in ("values must be greater than or equal to", "2500000", "A made-up account holds less.", "-17.5"):
        assert words in page
    assert "5 unexpected values found. 0.5% of 1000 total rows." in " ".join(page.split())
    assert "The row becomes a dead letter." in page


def test_a_batch_level_expectation_shows_the_measure_that_it_looked_at(staging: Staging, engine: sa.Engine) -> None:
    docs.build(staging, engine, [write_validated(staging, results=(DEAD,))], "run")
    page = read(staging, list_results(staging)[0])
    assert "0.25" in page
    assert "The day stops before anything is loaded." in page
    assert "total rows" not in page


def test_the_suite_has_its_page_with_its_notes(staging: Staging, engine: sa.Engine) -> None:
    docs.build(staging, engine, [write_validated(staging)], "run")
    page = read(staging, "expectations/orion__accounts.html")
    assert "A made-up account holds less." in page


def test_markup_in_a_vendors_value_is_shown_as_text(staging: Staging, engine: sa.Engine) -> None:
    docs.build(staging, engine, [write_validated(staging, results=(BAD_VALUE,))], "run")
    page = read(staging, list_results(staging)[0])
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_pages_need_no_script_and_nothing_from_elsewhere(staging: Staging, engine: sa.Engine) -> None:
    docs.build(staging, engine, [write_validated(staging, results=(BAD_VALUE, DEAD))], "run")
    pages = [read(staging, path) for path in site.read_site(staging).files]
    assert len(pages) == 3
    assert not [page for page in pages if "<script" in page or "://" in page]


def test_the_same_run_again_changes_nothing(staging: Staging, engine: sa.Engine) -> None:
    partitions = [write_validated(staging)]
    first = build(staging, engine, partitions, "run")
    assert build(staging, engine, partitions, "run") == first
    assert len(list_results(staging)) == 1


def test_a_table_that_was_not_validated_is_left_out(staging: Staging, engine: sa.Engine) -> None:
    partitions = [write_validated(staging), staging.seal(replace(write_validated(staging).manifest, table="clients"))]
    docs.build(staging, engine, partitions, "run")
    assert [path.split("/")[1] for path in list_results(staging)] == ["orion__accounts"]


def test_the_oldest_results_go_when_there_are_too_many(
    staging: Staging, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT", 2)
    for day in (4, 2, 3):
        index = build(staging, engine, [write_validated(staging, day=day)], f"run{day}")
    assert [name for name in ("run2", "run3", "run4") if name in index] == ["run3", "run4"]
    assert len(list_results(staging)) == 2


def test_the_results_of_a_table_that_is_pulled_often_leave_those_of_others(
    staging: Staging, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "KEPT", 1)
    docs.build(staging, engine, [write_validated(staging, "clients", day=2)], "run2")
    for day in (3, 4):
        index = build(staging, engine, [write_validated(staging, "accounts", day=day)], f"run{day}")
    assert [name for name in ("run2", "run3", "run4") if name in index] == ["run2", "run4"]


def test_a_result_whose_page_is_lost_leaves_the_site(staging: Staging, engine: sa.Engine) -> None:
    build(staging, engine, [write_validated(staging, day=2)], "run2")
    staging.folder(site.PLACE).delete(site.read_site(staging).results[0].file)
    index = build(staging, engine, [write_validated(staging, day=3)], "run3")
    assert [run for run in ("run2", "run3") if run in index] == ["run3"]


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Limit the size of any file, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("staging", ["disk"], indirect=True)
def test_a_page_that_cannot_be_written_is_an_error_the_site_stays_and_the_next_run_succeeds(
    staging: Staging, engine: sa.Engine
) -> None:
    before = build(staging, engine, [write_validated(staging, day=2, results=(BAD_VALUE,))], "run2")
    files = list_files(staging)
    room = len(read(staging, list_results(staging)[0])) - 100
    partitions = [write_validated(staging, day=3, results=(BAD_VALUE,))]
    with limit_file_size(room), pytest.raises(TargetUnavailable):
        docs.build(staging, engine, partitions, "run3")
    assert (read(staging), list_files(staging)) == (before, files)
    build(staging, engine, [write_validated(staging, day=4)], "run4")
    assert len(list_results(staging)) == 2


def test_an_expectation_that_cannot_be_rendered_is_an_error_and_the_site_stays(
    staging: Staging, engine: sa.Engine
) -> None:
    before = build(staging, engine, [write_validated(staging, day=2)], "run2")
    broken = VALUE | {"success": False, "partial_unexpected_list": 5}
    with pytest.raises(FatalError, match="could not be built completely"):
        docs.build(staging, engine, [write_validated(staging, day=3, results=(broken,))], "run3")
    assert read(staging) == before


def test_a_run_may_be_called_profiling(staging: Staging, engine: sa.Engine) -> None:
    index = build(staging, engine, [write_validated(staging)], "manual__profiling")
    assert 'id="manual__profiling"' in index


def test_a_page_that_is_being_read_outlives_the_next_build(staging: Staging, engine: sa.Engine) -> None:
    build(staging, engine, [write_validated(staging, day=2)], "run2")
    reading = site.read_site(staging).index
    build(staging, engine, [write_validated(staging, day=3)], "run3")
    assert reading in list_files(staging)
    build(staging, engine, [write_validated(staging, day=4)], "run4")
    assert reading not in list_files(staging)


def test_another_process_sees_the_new_site_at_once(engine: sa.Engine, tmp_path: Path, s3: dict[str, Any]) -> None:
    """By default, a client of an object store caches listings."""
    cached = {name: value for name, value in s3.items() if name not in ("skip_instance_cache", "use_listings_cache")}
    place = f"s3://staging/{tmp_path.name}"
    reader, writer = Staging(place, KEYRING.staging, cached), Staging(place, KEYRING.staging, s3)
    for day in (2, 3):
        build(writer, engine, [write_validated(writer, day=day)], f"run{day}")
        assert list_files(reader) == list_files(writer)
        assert f"run{day}" in read(reader)


BUILDER = """
import json, sys
from include.staging.partitions import Staging
from include.validation import docs
from include.warehouse import schema
from tests.firm_keys import KEYRING
_, root, options, url, times, run_id, *paths = sys.argv
staging = Staging(root, KEYRING.staging, json.loads(options))
for _ in range(int(times)):
    docs.build(staging, schema.engine(url), map(staging.open, paths), run_id)
"""


@dataclass(frozen=True)
class Store:
    """Where processes of a test build a site."""

    root: str
    options: dict[str, Any]
    url: str

    @property
    def staging(self) -> Staging:
        return Staging(self.root, KEYRING.staging, self.options)

    def start_builder(self, times: int, run_id: str, partitions: list[Partition]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        arguments = [self.root, json.dumps(self.options), self.url, str(times), run_id]
        command = [sys.executable, "-c", BUILDER, *arguments, *(each.path for each in partitions)]
        return subprocess.Popen(command, env=environment)


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Store:
    if request.param == "disk":
        return Store(str(tmp_path / "staging"), {}, database.url())
    return Store(f"s3://staging/{tmp_path.name}", request.getfixturevalue("s3"), database.url())


def test_two_processes_that_build_at_once_lose_nothing(store: Store) -> None:
    staging = store.staging
    partitions = {
        run: [write_validated(staging, table, day) for table in ("accounts", "clients", "assets")]
        for run, day in (("run2", 2), ("run3", 3))
    }
    builders = [store.start_builder(4, run, partitions[run]) for run in partitions]
    assert [builder.wait(120) for builder in builders] == [0, 0]
    assert len(list_results(staging)) == 6
    assert {run for run in partitions if f'id="{run}"' in read(staging)} == set(partitions)


@pytest.mark.long
def test_a_killed_build_leaves_the_pages_intact(store: Store, engine: sa.Engine) -> None:
    staging = store.staging
    build(staging, engine, [write_validated(staging, day=2)], "run2")
    random = Random(7)
    for _ in range(2):
        builder = store.start_builder(1000, "run3", [write_validated(staging, day=3)])
        while len(list_results(staging)) < 2:
            time.sleep(0.01)
        time.sleep(random.random() / 2)
        builder.kill()
        builder.wait()
    build(staging, engine, [write_validated(staging, day=4)], "run4")
    build(staging, engine, [write_validated(staging, day=4)], "run4")
    assert len(list_results(staging)) == 3
    now = site.read_site(staging)
    assert len(list_files(staging) - set(now.files.values()) - {"site.json"}) <= 3  # of the site before
