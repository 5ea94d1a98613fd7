"""The OpenAPI document: complete, in a version that tools import, and the copy in the docs is the one that is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, validate

from include.contract import Table, Vendor
from include.extract.pushed import stated_columns
from include.gateway.api.app import create_app
from include.gateway.api.callers import Issuer
from include.gateway.api.document import build, render
from include.gateway.api.fields import describe_fields
from include.gateway.api.reading import is_pushable
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.vendors import VENDORS
from include.warehouse import schema
from tests.firm_keys import KEYRING
from tests.gateway.api.conftest import Api, read_body, read_problem
from tests.pushed_rows import sample_value, whole_row

ROOT = Path(__file__).parents[3]
APP = create_app(
    lambda: schema.engine("postgresql://a:b@127.0.0.1:1/c"),
    Settings,
    lambda: Issuer(Settings()),
    lambda: KEYRING.receiving_key,
)
NEEDS = "description", "operationId", "security", "summary"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build(APP, Settings())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in document["paths"].values():
        yield from path.items()


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(each)


def test_document_among_the_docs_is_the_newest() -> None:
    document_text = (ROOT / "docs" / "reference" / "openapi.json").read_text()
    assert document_text == render(APP), "python -m include.gateway.api.document > docs/reference/openapi.json"


def test_document_is_one_of_version_3_0(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.0.3"
    validate(document, cls=OpenAPIV30SpecValidator)


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    described = [node for node in nodes(document["components"]["schemas"]) if "example" in node]
    assert len(described) >= 5
    for each in described:
        OAS30Validator(each | {"components": document["components"]}).validate(each["example"])


def test_every_operation_has_a_tag_that_the_document_explains(document: dict[str, Any]) -> None:
    explained = {tag["name"] for tag in document["tags"] if tag["description"]}
    used = [operation["tags"] for _, operation in operations(document)]
    assert all(len(tags) == 1 for tags in used)
    assert {tag for [tag] in used} == explained


PUSHABLE = {f"{v.name}_{t.name}": (v, t) for v in VENDORS for t in v.requested_tables if is_pushable(v, t)}


@pytest.mark.parametrize(("vendor", "table"), PUSHABLE.values(), ids=PUSHABLE)
def test_table_schema_describes_pushed_rows(document: dict[str, Any], vendor: Vendor, table: Table) -> None:
    schema = document["components"]["schemas"][f"{vendor.name}_{table.name}"]
    fits = OAS30Validator(schema | {"components": document["components"]})
    assert fits.is_valid(whole_row(table))
    for col in stated_columns(table):
        assert not fits.is_valid(whole_row(table, **{col.source: ...})), col.source
        assert fits.is_valid(whole_row(table, **{col.source: sample_value(col)})), col.source
        assert fits.is_valid(whole_row(table, **{col.source: None})) != col.required, col.source


@pytest.mark.parametrize(("vendor", "table"), PUSHABLE.values(), ids=PUSHABLE)
def test_every_decimal_has_a_unit(vendor: Vendor, table: Table) -> None:
    decimals = [each for each in describe_fields(vendor, table) if each["type"].startswith("decimal")]
    assert [each["name"] for each in decimals if not each["unit"]] == []


def test_fields_of_a_table_are_returned(api: Api) -> None:
    vendor, table = PUSHABLE["orion_assets"]
    body = read_body(api.get(f"/vendors/{vendor.name}/tables/{table.name}"), 200)
    fields = {each["name"]: each for each in body["fields"]}
    assert list(fields) == [col.source for col in stated_columns(table)]
    assert (body["vendor"], body["name"], body["key_fields"]) == ("orion", "assets", ["id"])
    price = {"column": "price_usd", "type": "decimal(28,8)", "unit": "US dollars for one unit", "is_key": False}
    assert fields["currentPrice"].items() >= price.items()
    assert fields["id"].items() >= {"type": "integer", "is_nullable": False, "is_key": True}.items()
    read_problem(api.get("/vendors/orion/tables/pets"), 404)
    read_problem(api.get("/vendors/nobody/tables/assets"), 404)


def test_document_has_nothing_that_an_importer_is_known_to_refuse(document: dict[str, Any]) -> None:
    words = {"anyOf", "oneOf", "allOf", "const", "exclusiveMinimum", "exclusiveMaximum", "examples"}
    assert [node for node in nodes(document) if words & node.keys() or isinstance(node.get("type"), list)] == []


def test_every_operation_has_a_summary_and_its_scope(document: dict[str, Any]) -> None:
    names = []
    for method, operation in operations(document):
        assert all(operation[name] for name in NEEDS), operation
        names.append(operation["operationId"])
        first, second = operation["security"]
        [[scope]] = first.values()
        assert scope in SCOPES
        assert second == {"apiKey": []}
        assert {"401", "403", "422", "429", "503"} <= operation["responses"].keys()
        has_key = "Idempotency-Key" in [each["name"] for each in operation.get("parameters", ())]
        assert has_key == (method == "post") == ("202" in operation["responses"])
    assert len(set(names)) == len(names) == 13


def test_a_program_that_takes_the_first_way_in_takes_the_token(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert list(schemes["oauth2"]["flows"]) == ["clientCredentials"]
    assert all(next(iter(operation["security"][0])) == "oauth2" for _, operation in operations(document))


def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    for _, operation in operations(document):
        for status, response in operation["responses"].items():
            kind = ["application/json"] if status < "300" else ["application/problem+json"]
            assert list(response["content"]) == kind, (operation["operationId"], status)


def test_document_is_public_and_contains_the_firms_settings(api: Api) -> None:
    response = api.http.get("/openapi.json")
    assert response.status_code == 200
    assert response.json()["paths"].keys() == build(APP, Settings())["paths"].keys()
    chosen = build(APP, Settings(token_url="https://id.example/token", url="https://t.example/api/v1"))
    assert chosen["servers"] == [{"url": "https://t.example/api/v1"}]
    flow = chosen["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "https://id.example/token"
