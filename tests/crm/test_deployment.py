"""The metadata that a firm deploys is generated from the mappings, and the generated files are committed."""

from __future__ import annotations

from include.crm.deployment import HANDWRITTEN, METADATA, ROOT, locate, render


def test_committed_files_are_the_generated_ones() -> None:
    files = render()
    differing = [
        name for name, text in files.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    ]
    assert differing == [], "make generate"


def test_every_other_field_is_listed_as_handwritten() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / METADATA).glob("objects/*/fields/*.xml")}
    assert files - render().keys() == {locate(field) for field in HANDWRITTEN}
