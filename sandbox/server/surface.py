"""The served part of a vendor's API document, and the test requests that compare the sandbox with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """An authenticated client, and the objects that exist for it.

    Attributes:
        headers: Headers of every call.
        parameters: Parameter -> values to call it with, because random ones would find nothing.
        properties: Definition -> property -> its values; every request sends all of these properties.
    """

    headers: Mapping[str, str]
    parameters: Mapping[str, Sequence[str]]
    properties: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Surface:
    """A vendor's API document, and its served part.

    Attributes:
        document: Pattern of the document's file name (OpenAPI or Swagger, JSON).
        root: Path in the sandbox under which the document's paths are served.
        routes: The document's paths with their served methods.
        log_in: Takes the sandbox's address, creates the objects that calls need, returns the caller.
        missing: Definitions that the document references but lacks.
        refused: Documented parameters that the sandbox rejects because it does not support them.
    """

    document: str
    root: str
    routes: Mapping[str, tuple[str, ...]]
    log_in: Callable[[str], Caller]
    missing: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()

    def cut(self, document: Document, caller: Caller) -> Document:
        """Return the document with only the served routes and supported parameters, limited to values that exist for `caller`."""
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
