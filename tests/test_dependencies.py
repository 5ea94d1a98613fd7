"""Every package that the project installs is pinned, and its hash is verified."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKED = [
    each.replace("\\\n", "").split()
    for each in re.findall(r"^[a-z].*(?:\n +--hash.*)*", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
]
PINS = {line[0] for line in LOCKED}


def read_product() -> list[Requirement]:
    """Return the direct dependencies of the product and of the image."""
    return [
        Requirement(line)
        for name in ("requirements.txt", "requirements-production.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith("#")
    ]


def read_direct() -> list[Requirement]:
    """Return the direct dependencies of the product, the image, the tests and the documentation site."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [*read_product(), *(Requirement(line) for group in groups.values() for line in group)]


def test_the_decision_about_dependencies_names_each_of_the_product() -> None:
    words = set(re.findall(r"[\w-]+", (ROOT / "docs/decisions/0010-dependencies.md").read_text()))
    assert {each.name for each in read_product()} - words == set()


def test_every_direct_dependency_is_locked_at_its_version() -> None:
    assert {f"{canonicalize_name(each.name)}{each.specifier}" for each in read_direct()} - PINS == set()


def test_every_locked_package_has_hashes() -> None:
    assert len(LOCKED) > 200
    for line in LOCKED:
        hashes = [word for word in line if word.startswith("--hash=sha256:")]
        assert hashes, line[0]
        assert all(len(each) == len("--hash=sha256:") + 64 for each in hashes), line[0]


def test_the_lock_names_no_package_index() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text()


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_every_installation_verifies_hashes(name: str) -> None:
    commands = re.findall(r"pip install .*?(?<!\\)$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) >= 2  # uv by pip, and all others by uv
    assert all("--require-hashes" in command for command in commands)


def test_the_pages_name_every_image() -> None:
    dockerfiles = [ROOT / "Dockerfile", *(ROOT / "docker").glob("*.Dockerfile")]
    images = {name for path in dockerfiles for name in re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)}
    images |= set(re.findall(r"^ +image: ([^$\s]+:[^$\s]+)$", (ROOT / "docker-compose.yaml").read_text(), re.MULTILINE))
    images = {name for name in images if not name.startswith("tributary:")}
    pinned, licensed = (
        (ROOT / "docs" / page).read_text() for page in ("how-to/updating_dependencies.md", "reference/licenses.md")
    )
    assert len(images) == 5
    assert f"for image in {' '.join(sorted(images))}; do" in pinned
    assert all(f"| `{image.partition(':')[0]}`" in licensed for image in images)
