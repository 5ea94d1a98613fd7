"""The metadata that a firm deploys is generated from the mappings, and the generated files are committed."""

from __future__ import annotations

from include.crm.deployment import EVERY_SHAPE, METADATA, ROOT, render


def test_committed_files_are_the_generated_ones() -> None:
    files = render()
    differing = [
        name for name, text in files.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    ]
    assert differing == [], "make generate"


def test_every_other_file_is_in_the_folder_of_handwritten_ones() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / METADATA).rglob("*.xml")}
    others = files - render().keys()
    assert {name for name in others if not name.startswith(f"{EVERY_SHAPE}/")} == set()
    assert len(others) == 4
