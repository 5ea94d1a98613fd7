"""DocuSign in the sandbox."""

import pytest

from tests.running_sandbox import run_sandbox
from tests.sandbox.docusign.caller import DocuSign, give_keys


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    state = tmp_path_factory.mktemp("docusign")
    give_keys(state)
    with run_sandbox(state, households=40, pace=1.0) as sandbox:
        yield sandbox


@pytest.fixture
def docusign(used) -> DocuSign:
    return DocuSign(used).tidy()


@pytest.fixture
def reader(sandbox) -> DocuSign:
    """A caller of the shared sandbox, who must change nothing."""
    return DocuSign(sandbox).log_in()
