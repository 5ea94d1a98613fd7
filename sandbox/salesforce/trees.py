"""Create records with their children in one request. If a record is rejected, none is created."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.columns import flatten_json
from sandbox.salesforce.errors import ApiError, RowError, unknown_column
from sandbox.salesforce.schema import Schema, SObject, find_children_of

MOST_RECORDS, MOST_LEVELS, MOST_OBJECTS = 200, 5, 5


@dataclass
class Node:
    """One record of a tree.

    Attributes:
        sobject: The object.
        reference: The caller's name for the record in this request.
        row: The sent values.
        level: The depth in the tree; 1 for the top.
        parent: The parent record; None at the top.
        link: The field that references the parent; empty at the top.
        id: The record's id, once it is created.
    """

    sobject: SObject
    reference: str
    row: dict[str, Any]
    level: int
    parent: "Node | None" = None
    link: str = ""
    id: str = ""


class _Failed(Exception):
    """Records of one level are rejected, so the transaction must be rolled back."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        super().__init__()
        self.results = results


def insert_tree(call: Call, name: str) -> Answer:
    """Insert records of one object and then, level by level, their children. Return 400 with the errors of the first rejected level."""
    nodes = list(_read_nodes(call.org.schema, call.org.find_object(name), call.body, 1, None))
    _check(nodes)
    nodes.sort(key=lambda node: (node.level, node.sobject.name))
    try:
        with call.write() as connection:
            writer = call.org.writer(call.user_id)
            for _, group in groupby(nodes, key=lambda node: (node.level, node.sobject.name)):
                level = list(group)
                rows = [node.row | ({node.link: node.parent.id} if node.parent else {}) for node in level]
                outcomes = writer.write(connection, level[0].sobject, "insert", rows)
                refused = [(node, each.error) for node, each in zip(level, outcomes, strict=True) if each.error]
                if refused:
                    raise _Failed([_refuse(node.reference, error) for node, error in refused])
                for node, outcome in zip(level, outcomes, strict=True):
                    node.id = outcome.id or ""
    except _Failed as failed:
        return Answer(400, {"hasErrors": True, "results": failed.results})
    return Answer(201, {"hasErrors": False, "results": [{"referenceId": n.reference, "id": n.id} for n in nodes]})


def _read_nodes(schema: Schema, sobject: SObject, body: Any, level: int, parent: Node | None) -> Iterator[Node]:
    """Yield the records of `body` and all their descendants, each parent before its children.

    Raises:
        ApiError: The body is not a tree of records, or a record has no `type`, no `referenceId` or an unknown child relationship.
    """
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of records")
    for record in records:
        value = record.get("attributes")
        attributes = value if isinstance(value, dict) else {}
        reference = attributes.get("referenceId")
        if str(attributes.get("type")).lower() != sobject.name.lower() or not isinstance(reference, str):
            message = f"Every record needs attributes with the type {sobject.name} and a referenceId"
            raise ApiError(400, "INVALID_INPUT", message)
        below = {name: value for name, value in record.items() if isinstance(value, dict) and "records" in value}
        row = flatten_json({name: value for name, value in record.items() if name not in below})
        node = Node(sobject, reference, row, level, parent)
        yield node
        for name, value in below.items():
            relation = find_children_of(schema, sobject, name)
            if relation is None:
                raise unknown_column(sobject.name, name)
            child, link = relation
            for item in _read_nodes(schema, child, value, level + 1, node):
                item.link = item.link or link.name
                yield item


def _check(nodes: list[Node]) -> None:
    if len(nodes) > MOST_RECORDS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A request holds at most {MOST_RECORDS} records")
    if max(node.level for node in nodes) > MOST_LEVELS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A tree is at most {MOST_LEVELS} levels deep")
    if len({node.sobject.name for node in nodes}) > MOST_OBJECTS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A request holds records of at most {MOST_OBJECTS} objects")
    references = [node.reference for node in nodes]
    duplicates = [reference for reference in references if references.count(reference) > 1]
    if duplicates:
        raise ApiError(400, "INVALID_INPUT", f"Duplicate ReferenceId provided in the request: {duplicates[0]}")


def _refuse(reference: str, error: RowError) -> dict[str, Any]:
    return {"referenceId": reference, "errors": [error.body]}
