"""Generate the reference page of licenses from the SBOM of the image's packages.

python -m local.licenses_page sbom.json > docs/reference/licenses.md
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_HEAD = """# Licenses

For legal and security reviewers: look up the license of each component that Tributary runs with. `make sbom` writes this page and `sbom.json`, a CycloneDX
document with the same packages and their dependencies. A test compares the versions with `constraints.txt`.

Tributary's own code is licensed under Apache-2.0 (`LICENSE`).

## Copyleft

A firm that runs Tributary for itself distributes nothing, so none of these licenses requires anything of it. A firm that gives the image to others
must pass on the license texts, and for the LGPL and the MPL offer the source of these packages. Tributary changes none of them.

| license | components | why the license does not extend to Tributary's code |
|---|---|---|
| LGPL-3.0 | psycopg, psycopg-binary, psycopg2-binary | libraries, installed unchanged from wheels, imported and replaceable |
| MPL-2.0 | certifi, orjson, pathspec, tqdm | the license covers the files of the package only |
| GPL-2.0-or-later or Artistic | text-unidecode | dual license: used under the Artistic License |
| AGPL-3.0, RSALv2 or SSPLv1 | Redis 8 | a separate server, unchanged, reached over its protocol; only with `--profile celery` |

## Images

| image | license | used |
|---|---|---|
| `python` (Debian, CPython) | PSF-2.0; Debian's packages under their own | base of Tributary's image |
| `postgres` | PostgreSQL | always |
| `caddy` | Apache-2.0 | always |
| `redis` | AGPL-3.0, RSALv2 or SSPLv1 | with `--profile celery` |
| `chrislusf/seaweedfs` | Apache-2.0 | with `--profile object-store` |
| `apache/airflow` (PgBouncer, its exporter) | ISC, MIT | on Kubernetes |

## Python packages of the image

| package | version | license |
|---|---|---|
"""

_CORRECTED = {
    "dumb-init": "MIT",
    "protobuf": "BSD-3-Clause",
    "psycopg2-binary": "LGPL-3.0-or-later, with exceptions",
    "text-unidecode": "Artistic-1.0-Perl OR GPL-2.0-or-later",
}
"""Licenses of packages that declare none, or not all of them, in a form that the SBOM tool reads."""

_PREFIX = re.compile(r"License :: (OSI Approved :: )?")


def render(sbom: dict[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        sbom: A CycloneDX document.
    """
    components = sorted(sbom["components"], key=lambda component: component["name"].lower())
    return _HEAD + "".join(f"| {each['name']} | {each['version']} | {_name_license(each)} |\n" for each in components)


def _name_license(component: dict[str, Any]) -> str:
    if corrected := _CORRECTED.get(component["name"]):
        return corrected
    declared = [each.get("license", {"id": each.get("expression")}) for each in component.get("licenses", [])]
    identifiers = [each["id"] for each in declared if each.get("id")]
    names = identifiers or [_PREFIX.sub("", each["name"]) for each in declared]
    if not names:
        raise ValueError(f"{component['name']} declares no license: add it to _CORRECTED in {__file__}")
    return ", ".join(names)


if __name__ == "__main__":
    sys.stdout.write(render(json.loads(Path(sys.argv[1]).read_text())))
