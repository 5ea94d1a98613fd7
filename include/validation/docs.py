"""Build Data Docs: validation results of every table and run, as HTML pages in staging. See `site` for the files.

Everything can be rebuilt from the partitions' `validation.json`. Builds wait for each other on a lock of the database.
"""

from __future__ import annotations

import importlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from include.errors import FatalError
from include.staging.partitions import Partition, Staging
from include.validation.site import PLACE, Result, Site, lock_site, publish, read_site

KEPT = 30
"""Maximum number of results of each table on the site: six weeks of a table that is pulled daily, a day of one that is pulled hourly.

`control.validation` has the history, and the partitions keep all results."""


def build(staging: Staging, engine: sa.Engine, partitions: Iterable[Partition], run_id: str) -> None:
    """Add the validation results of a run's partitions to the site. Running it again for the same run has no further effect.

    Args:
        staging: Where the site is.
        engine: The database whose lock builds take.
        partitions: The run's partitions; those that were not validated are skipped.
        run_id: Airflow's run id.

    Raises:
        FatalError: A page could not be rendered; the site is unchanged.
        TargetUnavailable: A page could not be written, or the lock was not free within a minute; the site is unchanged.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from include.validation.docs_result import read_result

    results = [read_result(each, run_id) for each in find_validated(partitions)]
    with lock_site(engine):
        before, pages = read_site(staging), _Pages(staging)
        try:
            with _raise_logged_errors():
                site = _extend(before, results, pages, {name for name, _ in staging.list_files(PLACE)})
        except BaseException:
            pages.folder.remove()
            raise
        publish(staging, site, before)


def expire(staging: Staging, engine: sa.Engine, before: datetime, *, is_dry: bool) -> list[tuple[datetime, int]]:
    """Remove the results whose pages were written before a time, or with `is_dry` only list them; return (time, bytes) of each page."""
    with lock_site(engine):
        site = read_site(staging)
        facts = {name: (written_at, size) for name, size, written_at in staging.list_written(PLACE)}
        due = {each.file for each in site.results if each.file in facts and facts[each.file][0] < before}
        if due and not is_dry:
            results = [each for each in site.results if each.file not in due]
            left = _index(results, site.suites, _Pages(staging))
            publish(staging, left, left)
        return [facts[file] for file in sorted(due)]


def find_validated(partitions: Iterable[Partition]) -> list[Partition]:
    """Return the partitions that were validated."""
    return [each for each in partitions if each.folder.has("validation.json")]


class _Pages:
    """Renders and writes the pages of one build.

    Attributes:
        folder: The build's folder.
    """

    def __init__(self, staging: Staging) -> None:
        from include.validation import docs_view

        self._build = uuid.uuid4().hex
        self.folder = staging.folder(f"{PLACE}/{self._build}")
        self._view, self._index_view = docs_view.PageView(), docs_view.IndexView()
        self._renderers: Any = importlib.import_module("great_expectations.render.renderer")
        self._count = 0

    def write_result(self, result: Any) -> str:
        """Write the page of a table's results; return the path of its file."""
        table = {"module_name": "include.validation.docs_view", "class_name": "ResultsTable"}
        section = {"class_name": "ValidationResultsColumnSectionRenderer", "table_renderer": table}
        return self._write(
            self._view, self._renderers.ValidationResultsPageRenderer(column_section_renderer=section).render(result)
        )

    def write_suite(self, result: Any) -> str:
        """Write the page of the suite of a result; return the path of its file."""
        from great_expectations.core import ExpectationSuite

        suite = ExpectationSuite(result.suite_name, [each.expectation_config for each in result.results])
        return self._write(self._view, self._renderers.ExpectationSuitePageRenderer().render(suite))

    def write_index(self, links: dict[str, Any]) -> str:
        """Write the index; return the path of its file."""
        return self._write(self._index_view, self._renderers.SiteIndexPageRenderer.render(links))

    def _write(self, view: Any, content: Any) -> str:
        page = view.render(content, data_context_id=None, show_how_to_buttons=False)
        name = f"{self._count}.html"
        self._count += 1
        self.folder.write(name, page.encode())
        return f"{self._build}/{name}"


def _extend(before: Site, results: Iterable[tuple[Any, Any]], pages: _Pages, stored: set[str]) -> Site:
    """Return the site with the results of a run, without the oldest ones and without pages whose file is missing."""
    by_path = {each.path: each for each in before.results if each.file in stored}
    of_run = {}
    for key, result in results:
        page = _describe(key, result, pages.write_result(result))
        by_path[page.path], of_run[page.file] = page, result
    kept, suites = _keep_newest(by_path.values()), dict(before.suites)
    for suite, newest in {each.suite: each for each in kept}.items():
        if newest.file in of_run:
            suites[suite] = pages.write_suite(of_run[newest.file])
    return _index(kept, suites, pages)


def _describe(key: Any, result: Any, file: str) -> Result:
    name, time = key.run_id.to_tuple()
    asset = result.meta["batch_spec"]["data_asset_name"]
    suite = key.expectation_suite_identifier.name
    return Result(suite, name, time, key.batch_identifier, asset, bool(result.success), file)


def _keep_newest(results: Iterable[Result]) -> list[Result]:
    """Return the newest `KEPT` results of each suite, the oldest first."""
    by_suite: dict[str, list[Result]] = {}
    for each in sorted(results, key=lambda each: each.run_time):
        by_suite.setdefault(each.suite, []).append(each)
    return sorted((each for own in by_suite.values() for each in own[-KEPT:]), key=lambda each: each.run_time)


def _index(results: Iterable[Result], suites: Mapping[str, str], pages: _Pages) -> Site:
    """Return the site of these results, with an index and the pages of their suites."""
    shown = tuple(results)
    used = {suite: file for suite, file in sorted(suites.items()) if suite in {each.suite for each in shown}}
    links = {
        "site_name": "Tributary",
        "expectations_links": [_link(suite, f"expectations/{suite}.html") for suite in used],
        "validations_links": [
            _link(each.suite, each.path) | {
                "run_id": each.run_name, "run_name": each.run_name, "run_time": each.pulled_at,
                "batch_identifier": each.day, "asset_name": each.asset, "validation_success": each.is_success,
                "expectation_suite_filepath": f"expectations/{each.suite}.html",
            }
            for each in reversed(shown)
        ],
    }  # fmt: skip
    return Site(pages.write_index(links), used, shown)


def _link(suite: str, path: str) -> dict[str, Any]:
    unknown = dict.fromkeys(("run_id", "run_name", "run_time", "batch_identifier", "asset_name", "validation_success"))
    facts: dict[str, Any] = {"batch_kwargs": {}, "batch_spec": {}, "expectation_suite_filepath": None}
    return {**unknown, **facts, "expectation_suite_name": suite, "filepath": quote(path)}


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


@contextmanager
def _raise_logged_errors() -> Iterator[None]:
    """Raise FatalError at the end of the context if Great Expectations logged an error of rendering, which it does not raise itself."""
    log, errors = logging.getLogger("great_expectations.render"), _Errors()
    log.addHandler(errors)
    try:
        yield
    finally:
        log.removeHandler(errors)
    if errors.count:
        raise FatalError(
            "Data Docs could not be built completely: see the log of Great Expectations", errors=errors.count
        )
