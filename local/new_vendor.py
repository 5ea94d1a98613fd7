"""Write a new vendor from the template in `local/vendor_template/`.

The path of a template is the path of the file to write, with `NAME` instead of the vendor's name and with `.txt` added. Its text contains the
placeholders `$name`, `$NAME` and `$title` (`string.Template`).
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from include.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "local" / "vendor_template"

LISTS = {
    "include/vendors/__init__.py": "from include.vendors.$name import $NAME",
    "sandbox/vendors.py": "from sandbox.$name.vendor import $NAME",
}
"""The modules with a tuple of all vendors, each with the import that a new vendor adds."""


def write_vendor(name: str, root: Path = ROOT) -> list[Path]:
    """Write the files of a new vendor and add it to the lists of vendors; return the written files, relative to `root`.

    Raises:
        ConfigurationError: The name is invalid or in use; nothing is written.
    """
    _check_name(name)
    words = {"name": name, "NAME": name.upper(), "title": name.replace("_", " ").title()}
    files = {_find_target(template, name): template for template in sorted(TEMPLATE.rglob("*.txt"))}
    for path in (Path("sandbox", name), Path("dags", f"{name}.py"), *files):
        if (root / path).exists():
            raise ConfigurationError(f"The name {name} is in use: {path} exists")
    for path, template in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(Template(template.read_text()).substitute(words))
    for module, imported in LISTS.items():
        _add_to_list(root / module, Template(imported).substitute(words), name.upper())
    return list(files)


def list_questions(paths: list[Path]) -> list[str]:
    """Return the lines with `CHANGE:`, which the engineer must edit, as `<file>:<line>`."""
    return [
        f"{path}:{number}"
        for path in paths
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if "CHANGE:" in line
    ]


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,29}", name) or keyword.iskeyword(name):
        raise ConfigurationError(
            f"Invalid name {name!r}: use a Python identifier of 2 to 30 lower-case letters, digits and underscores"
        )


def _find_target(template: Path, name: str) -> Path:
    path = template.relative_to(TEMPLATE).with_suffix("")
    return Path(*(part.replace("NAME", name) for part in path.parts))


def _add_to_list(module: Path, imported: str, constant: str) -> None:
    """Add the import in alphabetical order, and the constant at the end of the tuple."""
    lines = module.read_text().splitlines()
    imports = [line for line in lines if line.startswith("from ")]
    first, end = lines.index(imports[0]), lines.index(")")
    lines[end:end] = [f"    {constant},"]
    lines[first : first + len(imports)] = sorted([*imports, imported])
    module.write_text("\n".join(lines) + "\n")
