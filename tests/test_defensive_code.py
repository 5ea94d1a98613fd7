"""What the code of the product never does, whatever data it reads."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUSPECT = ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
READS_XML_OR_CODE = re.compile(r"(pickle|marshal|shelve|dill|cloudpickle|yaml|xml|lxml|subprocess)(\.|$)")
RANDOM = {"include/outbound/deliver.py"}
"""Files that may import `random`, whose numbers can be guessed: for the time of the next try."""


@functools.cache
def read_sources() -> dict[str, ast.Module]:
    """Parse every file of the product: path -> tree."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for top in ("include", "dags", "plugins", "docker")
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def find_calls(name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(read_sources()[name]) if isinstance(node, ast.Call))


def find_imports(name: str) -> Iterator[str]:
    for node in ast.walk(read_sources()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def find_arguments(name: str) -> Iterator[str]:
    """List the named arguments of all calls, as they are written."""
    return (f"{keyword.arg}={ast.unparse(keyword.value)}" for call in find_calls(name) for keyword in call.keywords)


def test_no_data_is_executed_as_code_or_by_a_shell() -> None:
    assert len(read_sources()) > 200
    calls = {(name, ast.unparse(call.func)) for name in read_sources() for call in find_calls(name)}
    assert {(name, called) for name, called in calls if called in SUSPECT} == set()
    assert [name for name in read_sources() if "shell=True" in find_arguments(name)] == []


def test_no_format_that_can_run_code_or_fetch_files_is_read() -> None:
    imported = {
        (name, module) for name in read_sources() for module in find_imports(name) if READS_XML_OR_CODE.match(module)
    }
    assert imported == {
        ("include/crm/metadata_xml.py", "xml.sax.saxutils"),  # `escape`, for XML that it writes
        ("include/firm/document.py", "yaml"),  # the nodes of a file, from which nothing is constructed
        ("include/watchdog.py", "subprocess"),  # celery's own command, with a list of arguments
        ("include/recovery/pgbackrest.py", "subprocess"),  # PostgreSQL's programs, with a list of arguments
    }


def test_yaml_constructs_no_object() -> None:
    called = {ast.unparse(call.func) for call in find_calls("include/firm/document.py")}
    assert {name for name in called if name.startswith("yaml.")} == {"yaml.compose", "yaml.scan"}


def test_only_sha_256_is_used_as_a_hash_function() -> None:
    used = {
        (name, node.attr)
        for name, tree in read_sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hashlib"
    }
    # PostgreSQL shortens long keys of Salesforce records by md5, which protects nothing there.
    assert {each for each in used if each[1] != "sha256"} == {("include/crm/objects/long_key.py", "md5")}
    assert not any("hashlib" in ast.unparse(node) for tree in read_sources().values() for node in ast.walk(tree)
                   if isinstance(node, ast.ImportFrom))  # fmt: skip


def test_numbers_that_can_be_guessed_are_no_secrets() -> None:
    assert {name for name in read_sources() if "random" in find_imports(name)} == RANDOM


def test_no_client_skips_the_check_of_a_certificate() -> None:
    text = re.compile(r"(verify|check_hostname|tls_verify)=False")
    assert [name for name in read_sources() for argument in find_arguments(name) if text.fullmatch(argument)] == []
    anywhere = re.compile(r"CERT_NONE|_create_unverified_context|\.(verify|check_hostname) = False")
    assert [name for name, tree in read_sources().items() if anywhere.search(ast.unparse(tree))] == []


def test_no_request_to_another_system_follows_a_redirect() -> None:
    calls = [(name, call) for name in read_sources() for call in find_calls(name)]
    sent = {
        (name, call.lineno): {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        for name, call in calls
        if isinstance(call.func, ast.Attribute) and {"timeout"} & {keyword.arg for keyword in call.keywords}
        and call.func.attr in ("request", "get", "post", "put", "send")
    }  # fmt: skip
    assert (
        len(sent) == 5
    )  # vendors, their logins, Salesforce, its login, and our gateway; subscribers and issuers have tests of their own
    assert {place for place, arguments in sent.items() if arguments.get("allow_redirects") != "False"} == set()
