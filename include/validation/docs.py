"""Build Data Docs: validation results of every table and run, as HTML pages.

    <root>/results/    Great Expectations' store of results, JSON; the newest `KEPT` of each table
    <root>/site        symbolic link to the current site; replaced when a new site is complete
    <root>/site-*/     the current site and the previous one, which readers may still have open

Everything can be rebuilt from the partitions' `validation.json`. Great Expectations runs in an ephemeral context: a
file context rewrites its own configuration. Builds wait for each other on a file lock, which ends with its process.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.errors import FatalError
from include.staging.partitions import Partition

KEPT = 30
"""Maximum number of results of each table on the site: six weeks of a table that is pulled daily, a day of one that is pulled hourly.

`control.validation` has the history, and the partitions keep all results."""

_VIEW = "include.validation.docs_view"


def build(root: Path, partitions: Iterable[Partition], run_id: str) -> Path:
    """Add the validation results of a run's partitions to the site. Running it again for the same run has no further effect.

    Args:
        root: Folder of Data Docs, shared by all processes that build and serve them.
        partitions: The run's partitions; those that were not validated are skipped.
        run_id: Airflow's run id.

    Returns:
        The index page, `<root>/site/index.html`.

    Raises:
        FatalError: A page could not be rendered or written; the site is unchanged.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from include.validation.docs_result import read_result

    results = [read_result(each, run_id) for each in find_validated(partitions)]
    keys = [key for key, _ in results]
    root.mkdir(parents=True, exist_ok=True)
    with lock_site(root):
        context = _open_context(root)
        for key, result in results:
            _store_result(context, root, key, result)
        _delete_oldest(context.validation_results_store)
        fresh = _copy_site(root)
        try:
            with _raise_logged_errors():
                _render(context, fresh, keys)
            _swap(root, fresh)
        except BaseException:
            shutil.rmtree(fresh)
            for key in keys:  # otherwise the next run fails on the same result
                context.validation_results_store.remove_key(key)
            raise
    return root / "site" / "index.html"


def find_validated(partitions: Iterable[Partition]) -> list[Partition]:
    """Return the partitions that were validated."""
    return [each for each in partitions if each.folder.has("validation.json")]


@contextmanager
def lock_site(root: Path) -> Iterator[None]:
    """Hold a lock on the site below `root` during the block, against other builds. The lock ends with the process."""
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


@contextmanager
def _raise_logged_errors() -> Iterator[None]:
    """Raise FatalError at the end of the context if Great Expectations logged a render or write error, which it does not raise itself."""
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


def _open_context(root: Path) -> Any:
    from great_expectations.data_context.data_context.context_factory import get_context
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    defaults = InMemoryStoreBackendDefaults()
    results = {"class_name": "ValidationResultsStore", "store_backend": _filesystem_backend(root / "results")}
    stores = defaults.stores | {defaults.validation_results_store_name: results}
    config = DataContextConfig(store_backend_defaults=defaults, stores=stores)
    return get_context(mode="ephemeral", project_config=config)


def _filesystem_backend(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "TupleFilesystemStoreBackend",
        "base_directory": str(folder.absolute()),
        "suppress_store_backend_id": True,
    }


def _store_result(context: Any, root: Path, key: Any, result: Any) -> None:
    """Write a result to the store's path atomically, because a partial file of a killed process would break every later build."""
    path = (root / "results" / Path(*key.to_tuple())).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = root / ".result"
    whole.write_text(context.validation_results_store.serialize(result))
    whole.replace(path)


def _delete_oldest(results: Any) -> None:
    by_table: dict[str, list[Any]] = {}
    for key in sorted(results.list_keys(), key=_run_time):
        by_table.setdefault(key.expectation_suite_identifier.name, []).append(key)
    for keys in by_table.values():
        for key in keys[:-KEPT]:
            results.remove_key(key)


def _run_time(key: Any) -> Any:
    return key.run_id.run_time


def _copy_site(root: Path) -> Path:
    """Create the folder of a new site with hard links to the current pages. Pages are never modified in place, so links are enough.

    Pages of changes to Salesforce, which earlier versions wrote into the site, are left out: they need another right.
    """
    fresh = root / f"site-{uuid.uuid4().hex}"
    if (root / "site").exists():
        shutil.copytree(
            root / "site",
            fresh,
            copy_function=os.link,
            ignore=shutil.ignore_patterns("index.html", "salesforce-*.html"),
        )
    else:
        fresh.mkdir()
    return fresh


def _render(context: Any, site: Path, keys: list[Any]) -> None:
    """Render a page for each result in `keys`, for each other result that has no page yet, and for each suite; then render the index."""
    from great_expectations.core import ExpectationSuite
    from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier
    from great_expectations.render.renderer.site_builder import SiteBuilder

    results = context.validation_results_store
    newest = {key.expectation_suite_identifier.name: key for key in sorted(results.list_keys(), key=_run_time)}
    for name, key in newest.items():
        expectations = [result.expectation_config for result in results.get(key).results]
        context.suites.add(ExpectationSuite(name, expectations))
    view = {"view": {"module_name": _VIEW, "class_name": "PageView"}}
    table = {"module_name": _VIEW, "class_name": "ResultsTable"}
    renderer = {
        "class_name": "ValidationResultsPageRenderer",
        "column_section_renderer": {"class_name": "ValidationResultsColumnSectionRenderer", "table_renderer": table},
    }
    builder = SiteBuilder(
        context,
        store_backend=_filesystem_backend(site),
        site_name="Tributary",
        show_how_to_buttons=False,
        site_section_builders={
            "expectations": view,
            # By default, a run whose id contains "profiling" gets no page. This filter excludes nothing: no run id contains a slash.
            "validations": view | {"renderer": renderer, "run_name_filter": {"not_includes": "/"}},
            "profiling": "None",
        },
        site_index_builder={
            "class_name": "DefaultSiteIndexBuilder",
            "view": {"module_name": _VIEW, "class_name": "IndexView"},
        },
    )
    pages = builder.target_store.store_backends[ValidationResultIdentifier]
    for key in keys:
        (site / "validations" / Path(*key.to_tuple())).with_suffix(".html").unlink(missing_ok=True)
    shutil.rmtree(site / "expectations", ignore_errors=True)
    missing = [key for key in results.list_keys() if not pages.has_key(key.to_tuple())]
    builder.site_section_builders["expectations"].build()
    if missing:
        builder.site_section_builders["validations"].build(missing)
    builder.site_index_builder.build()


def _swap(root: Path, fresh: Path) -> None:
    """Switch to the new site atomically; delete all sites except the new one and the previous one."""
    before = (root / "site").resolve().name
    link = root / ".site"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(root / "site")
    for site in root.glob("site-*"):
        if site.name not in (fresh.name, before):
            shutil.rmtree(site)
