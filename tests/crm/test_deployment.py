"""The metadata that a firm deploys is generated from the mappings, and the generated files are committed."""

from __future__ import annotations

import re

from include.crm.deployment import EVERY_SHAPE, METADATA, ROOT, render, render_changed
from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Settings


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


def test_a_plain_org_gets_only_what_it_lacks() -> None:
    mappings = list_mappings(Settings("sample", shape="plain"))
    known: dict[str, dict[str, int]] = {}
    for mapping in mappings:
        fields = {f.name.replace("__r.Tributary_Key__c", "__c"): f.length for f in mapping.fields}
        known.setdefault(mapping.sobject, {mapping.key_field: 120}).update(fields)
    del known["Tributary_Holding__c"]["Security__c"]
    known["Tributary_Security__c"]["Security_Name__c"] = 80
    files = render_changed(mappings, known, "plain")
    lacking = [name for name in files if "/fields/" in name and "/Activity/" not in name and "__e/" not in name]
    assert lacking == [
        "objects/Tributary_Security__c/fields/Security_Name__c.field-meta.xml",
        "objects/Tributary_Holding__c/fields/Security__c.field-meta.xml",
    ]
    assert "<referenceTo>Tributary_Security__c</referenceTo>" in files[lacking[1]]


def test_names_of_relationships_fit_and_differ() -> None:
    names = [
        (path.rpartition("/fields/")[0], re.findall("<referenceTo>(.*)<", text)[0], name)
        for path, text in render().items()
        for name in re.findall("<relationshipName>(.*)<", text)
    ]
    assert [name for _, _, name in names if len(name) > 40] == []
    assert len(names) == len({*names}) > 10
