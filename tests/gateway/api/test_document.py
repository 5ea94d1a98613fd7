"""The OpenAPI document: whole, in the version that programs import, and the one among the docs is the one that is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, validate

from include.gateway.api.app import create_app
from include.gateway.api.callers import Issuer
from include.gateway.api.document import build, render
from include.gateway.api.scopes import SCOPES
from include.gateway.api.settings import Settings
from include.warehouse import schema
from tests.gateway.api.conftest import Api

ROOT = Path(__file__).parents[3]
APP = create_app(lambda: schema.engine("postgresql://a:b@127.0.0.1:1/c"), Settings, lambda: Issuer(Settings()))
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
    kept = (ROOT / "docs" / "openapi.json").read_text()
    assert kept == render(APP), "python -m include.gateway.api.document > docs/openapi.json"


def test_document_is_one_of_version_3_0(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.0.3"
    validate(document, cls=OpenAPIV30SpecValidator)


def test_example_of_a_problem_has_every_required_field(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["Problem"]
    assert set(problem["required"]) <= problem["example"].keys()


def test_document_has_nothing_that_an_importer_is_known_to_refuse(document: dict[str, Any]) -> None:
    words = {"anyOf", "oneOf", "allOf", "const", "exclusiveMinimum", "exclusiveMaximum", "examples"}
    assert [node for node in nodes(document) if words & node.keys() or isinstance(node.get("type"), list)] == []


def test_every_operation_says_what_it_is_and_what_it_needs(document: dict[str, Any]) -> None:
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
    assert len(set(names)) == len(names) == 10


def test_a_program_that_takes_the_first_way_in_takes_the_token(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert list(schemes["oauth2"]["flows"]) == ["clientCredentials"]
    assert all(next(iter(operation["security"][0])) == "oauth2" for _, operation in operations(document))


def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    for _, operation in operations(document):
        for status, answer in operation["responses"].items():
            kind = ["application/json"] if status < "300" else ["application/problem+json"]
            kind += ["text/plain"] if status == "400" else []
            assert list(answer["content"]) == kind, (operation["operationId"], status)


def test_document_is_served_without_a_log_in_and_tells_what_the_firm_chose(api: Api) -> None:
    answer = api.http.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["paths"].keys() == build(APP, Settings())["paths"].keys()
    chosen = build(APP, Settings(token_url="https://id.example/token", url="https://t.example/api/v1"))
    assert chosen["servers"] == [{"url": "https://t.example/api/v1"}]
    flow = chosen["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "https://id.example/token"
