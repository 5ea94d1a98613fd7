"""Surfaces: the part of a vendor's API document that the sandbox serves, and the values for requests that test it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """The credentials and values with which schemathesis calls the sandbox.

    Attributes:
        headers: Headers of every call.
        parameters: Values by name of the parameter. They refer to existing objects; random values would find none.
        properties: Values by definition and property, for request bodies. Every body has all of these properties.
    """

    headers: Mapping[str, str]
    parameters: Mapping[str, Sequence[str]]
    properties: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Surface:
    """A vendor's API document, and which part of it the sandbox serves.

    Attributes:
        document: Pattern of the document's file name (OpenAPI or Swagger, as JSON).
        root: Path in the sandbox under which the document's paths are served.
        routes: The methods that the sandbox serves, by path in the document.
        log_in: Takes the sandbox's URL, logs in, creates the objects that calls need, and returns the caller.
        missing: Names of definitions that the document references but does not contain.
        refused: Documented parameters that the sandbox rejects because it does not support them.
    """

    document: str
    root: str
    routes: Mapping[str, tuple[str, ...]]
    log_in: Callable[[str], Caller]
    missing: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()

    def cut(self, document: Document, caller: Caller) -> Document:
        """Return the document with only the served routes and the supported parameters, limited to the values in `caller`."""
        definitions = document["definitions"] | {name: {"type": "object"} for name in self.missing}
        for name, properties in caller.properties.items():
            declared = definitions[name]["properties"]
            pinned = {each: {"enum": list(values)} for each, values in properties.items()}
            body = {"properties": declared | pinned, "required": list(pinned)}
            definitions[f"{name}Sent"] = (
                definitions[name] | body
            )  # responses are checked against the document's own definition
        paths = {}
        for path, methods in self.routes.items():
            served = {method: document["paths"][path][method] for method in methods}
            for operation in served.values():
                operation["produces"] = [
                    *operation.get("produces", ()),
                    "application/json",
                ]  # error responses, which the document omits
                parameters = [each for each in operation.get("parameters", ()) if each["name"] not in self.refused]
                operation["parameters"] = parameters
                for parameter in parameters:
                    if parameter["name"] in caller.parameters:
                        parameter["enum"] = list(caller.parameters[parameter["name"]])
                    name = parameter.get("schema", {}).get("$ref", "").rpartition("/")[2]
                    if name in caller.properties:
                        parameter["schema"] = {"$ref": f"#/definitions/{name}Sent"}
            paths[path] = served
        return document | {"paths": paths, "definitions": definitions}
