"""The site of Data Docs in staging: which file is which page.

    pages/data_docs/site.json               the current site; replaced when a new site is complete
    pages/data_docs/<build>/<number>.html   the pages that a build rendered; never changed, and also part of later sites

An object store can't rename a folder or link to one, so a page's path on the site is not the path of its file. A reader of the previous site still
finds its files: a build deletes only those that belong to neither site.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from include.staging.files import Folder
from include.staging.partitions import Staging

PLACE = "pages/data_docs"
_SITE = "site.json"
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('data_docs'))")


@dataclass(frozen=True, slots=True)
class Result:
    """The page of one table's validation results in one run.

    Attributes:
        suite: Name of the expectation suite.
        run_name: The run's id.
        run_time: When the table was pulled, as Great Expectations writes it. It sorts by time.
        day: The business date.
        asset: Vendor and table.
        is_success: Whether all expectations were met.
        file: Path of the page's file.
    """

    suite: str
    run_name: str
    run_time: str
    day: str
    asset: str
    is_success: bool
    file: str

    @property
    def pulled_at(self) -> datetime:
        """When the table was pulled, in UTC."""
        return datetime.strptime(self.run_time, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)

    @property
    def path(self) -> str:
        """The page's path on the site."""
        return f"validations/{self.suite}/{self.run_name}/{self.run_time}/{self.day}.html"


@dataclass(frozen=True, slots=True)
class Site:
    """The pages of a site.

    Attributes:
        index: Path of the index's file; empty if there is no site.
        suites: Name of a suite -> path of the file of its page.
        results: The pages of results.
    """

    index: str = ""
    suites: dict[str, str] = field(default_factory=dict)
    results: tuple[Result, ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """Path on the site -> path of the file."""
        suites = {f"expectations/{suite}.html": file for suite, file in self.suites.items()}
        return {"index.html": self.index} | suites | {result.path: result.file for result in self.results}


def read_site(staging: Staging) -> Site:
    """Return the current site, an empty one before the first build."""
    try:
        stored = json.loads(_open(staging).read(_SITE))
    except FileNotFoundError:
        return Site()
    return Site(stored["index"], stored["suites"], tuple(Result(**each) for each in stored["results"]))


def read_page(staging: Staging, path: str) -> bytes:
    """Return a page of the current site.

    Raises:
        FileNotFoundError: The site has no such page.
    """
    file = read_site(staging).files.get(path)
    if not file:
        raise FileNotFoundError(path)
    return _open(staging).read(file)


@contextmanager
def lock_site(engine: sa.Engine) -> Iterator[None]:
    """Hold a lock of the database during the block, so that only one process changes the site. The lock ends with the process."""
    with engine.begin() as connection:
        connection.execute(_ONE_AT_A_TIME)
        yield


def publish(staging: Staging, site: Site, spared: Site) -> None:
    """Make a site the current one. Then delete all files that belong neither to it nor to `spared`, the site of readers. Hold the lock."""
    folder = _open(staging)
    folder.replace(_SITE, json.dumps(asdict(site)).encode())
    used = {*site.files.values(), *spared.files.values(), _SITE}
    for name, _ in list(staging.list_files(PLACE)):
        if name not in used:
            folder.delete(name)


def _open(staging: Staging) -> Folder:
    return staging.folder(PLACE)
