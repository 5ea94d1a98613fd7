"""Imports run one way, names follow the rules, and a vendor's name occurs in few places."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.contract import Vendor

ROOT = Path(__file__).parents[1]
TOPS = ("include", "dags", "plugins", "sandbox", "local")
SOURCES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))
FORBIDDEN = {"util", "utils", "helper", "helpers", "common", "base", "manager", "service", "handler", "misc"}


def imports(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """List imported modules; with `at_import`, only those that importing the file imports."""
    tree = ast.parse(path.read_text())
    nodes = _outside_functions(tree) if at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _outside_functions(child)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find_offenders(paths: list[Path], forbidden: tuple[str, ...]) -> dict[str, list[str]]:
    """Map each file to its forbidden imports."""
    pattern = re.compile(rf"({'|'.join(map(re.escape, forbidden))})(\.|$)")
    matches = {name_of(path): [name for name in imports(path) if pattern.match(name)] for path in paths}
    return {path: names for path, names in matches.items() if names}


def list_under(*places: str) -> list[Path]:
    paths = [path for path in SOURCES if name_of(path).startswith(places)]
    assert paths
    return paths


def test_include_never_imports_airflow_or_plugins() -> None:
    assert find_offenders(list_under("include/"), ("airflow", "tributary", "plugins")) == {}


def test_warehouse_crm_rules_and_canonical_never_import_vendors() -> None:
    places = list_under("include/warehouse/", "include/crm/", "include/rules/", "include/canonical/")
    assert find_offenders(places, ("include.vendors",)) == {}


def test_the_product_never_imports_the_sandbox_or_local() -> None:
    assert find_offenders(list_under("include/", "dags/", "plugins/"), ("sandbox", "local")) == {}


def test_sandbox_imports_nothing_of_the_product_but_the_messages_of_pubsub() -> None:
    pattern = re.compile(r"(include|local)(\.|$)")
    imported = {name for path in list_under("sandbox/") for name in imports(path) if pattern.match(name)}
    assert {name for name in imported if not name.startswith("include.crm.changes.pubsub")} <= {"include.crm.changes"}


def test_few_modules_are_outside_a_package() -> None:
    alone = {path.stem for path in (ROOT / "include").glob("*.py")} - {"__init__"}
    assert alone == {"alerts", "business_dates", "connection", "errors", "sensitive", "version", "watchdog"}


def package_of(module: str) -> str:
    """Return the package of a module; the module itself if its folder holds packages."""
    folder = ROOT.joinpath(*module.split(".")[:-1])
    return module if any(path.parent != folder for path in folder.glob("*/*.py")) else module.rpartition(".")[0]


def import_graph() -> dict[str, set[str]]:
    """Map each package to the packages that its modules import, of the product, the sandbox and the local tools."""
    paths = list_under("include/", "sandbox/", "local/")
    modules = {name_of(path).removesuffix(".py").replace("/", "."): path for path in paths}
    graph: dict[str, set[str]] = {package_of(module): set() for module in modules}
    for module, path in modules.items():
        names = {name if name in modules else f"{name}.__init__" for name in imports(path)}
        targets = {package_of(name) for name in names if name in modules}
        graph[package_of(module)] |= targets - {package_of(module)}
    return graph


def test_packages_import_each_other_in_one_direction() -> None:
    try:
        order = list(graphlib.TopologicalSorter(import_graph()).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"packages import each other in a circle: {' -> '.join(error.args[1])}")
    assert order.index("include.contract") < order.index("include.extract") < order.index("include.pipeline")


def test_temporary_tables_of_the_crm_are_declared_in_one_module() -> None:
    creates = re.compile(r"create\s+(local\s+)?temp(orary)?\b", re.IGNORECASE)
    creating = [name_of(path) for path in list_under("include/crm/") if creates.search(path.read_text())]
    assert creating == ["include/crm/temporary.py"]


def test_no_module_imports_dags() -> None:
    dags = tuple(path.stem for path in (ROOT / "dags").glob("*.py"))
    assert find_offenders(list_under("include/", "plugins/"), ("dags", *dags)) == {}


@pytest.mark.parametrize("path", list_under("include/vendors/"), ids=name_of)
def test_vendors_import_the_contract_and_names_only(path: Path) -> None:
    allowed = {"include.contract", "include.names", "include.vendors", "pyarrow", *sys.stdlib_module_names}
    foreign = [n for n in imports(path) if not any(n == a or n.startswith(f"{a}.") for a in allowed)]
    assert foreign == []
    assert not [name for name in imports(path, at_import=True) if name.startswith("pyarrow")]


@pytest.mark.parametrize("name", sorted({name_of(path).split("/")[2] for path in list_under("include/vendors/")}))
def test_a_vendor_needs_at_most_80_lines_of_code(name: str) -> None:
    trees = [
        ast.parse(path.read_text()) for path in SOURCES if f"{name_of(path)}/".startswith(f"include/vendors/{name}/")
    ]
    functions = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    assert sum(map(_count_lines, functions)) <= 80


def _count_lines(node: ast.FunctionDef) -> int:
    """Count the lines of a function without those of its docstring."""
    first = node.body[0]
    docstring = first if ast.get_docstring(node) is not None else None
    without = docstring.end_lineno - docstring.lineno + 1 if docstring and docstring.end_lineno else 0
    return int(node.end_lineno or 0) - node.lineno + 1 - without


def test_vendor_is_named_only_where_it_is_declared_or_shown(vendor: Vendor) -> None:
    # `local/` runs everything on one machine, so it logs in to the sandbox.
    allowed = (
        "include/vendors/",
        "sandbox/",
        "local/demo.py",
        "local/bench/day.py",
        "local/cli.py",
    )
    telling = [path for path in SOURCES if not name_of(path).startswith(allowed)]
    pattern = re.compile(re.escape(vendor.name), re.IGNORECASE)
    assert [name_of(path) for path in telling if pattern.search(path.read_text())] == []


def _branches_on_a_name(node: ast.AST) -> bool:
    """Whether an expression compares an entity, or the name of an entity, a table or a vendor, with a literal."""
    if not isinstance(node, ast.Compare):
        return False
    sides = (node.left, *node.comparators)
    parts = [part for side in sides for part in (side.elts if isinstance(side, (ast.Tuple, ast.Set)) else [side])]
    is_literal = any(isinstance(part, ast.Constant) and part.value and isinstance(part.value, str) for part in parts)
    pattern = re.compile(r"(.*\.)?(entity|(entity|table|vendor)\.name)")
    return is_literal and any(pattern.fullmatch(ast.unparse(part)) for part in parts)


def test_general_modules_branch_on_no_name() -> None:
    # `crm` is about Salesforce alone, `identity` about persons, households and accounts, and `retention/person` about a person.
    special = ("include/vendors/", "include/crm/", "include/identity/", "include/retention/person.py")
    general = [path for path in list_under("include/") if not name_of(path).startswith(special)]
    branches = {
        name_of(path): [
            ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if _branches_on_a_name(node)
        ]
        for path in general
    }
    assert {path: expressions for path, expressions in branches.items() if expressions} == {}


def test_dag_files_are_wiring_alone() -> None:
    for path in list_under("dags/"):
        tree = ast.parse(path.read_text())
        lengths = [int(n.end_lineno or 0) - n.lineno + 1 for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        assert len(path.read_text().splitlines()) <= 120, name_of(path)
        assert max(lengths) <= 60, name_of(path)
        assert not re.search(r"\{[{%]", path.read_text()), f"{name_of(path)}: templates belong in plugins/tributary"


def test_no_file_is_a_drawer_for_everything() -> None:
    words = {name_of(path): FORBIDDEN & set(path.stem.split("_")) for path in SOURCES}
    assert {path: forbidden for path, forbidden in words.items() if forbidden} == {}


def test_sync_to_salesforce_imports_no_library_for_columns() -> None:
    """Only the comparison with a full org needs them: they take three times the memory of a sync."""
    script = "import sys, include.crm.sync.load; print(*sorted({'duckdb', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == "\n"
    )


def test_great_expectations_folder_is_no_package() -> None:
    assert not (ROOT / "great_expectations" / "__init__.py").exists()


def test_files_stay_under_400_lines() -> None:
    assert [name_of(path) for path in SOURCES if len(path.read_text().splitlines()) > 400] == []
