"""Adobe Sign in the sandbox."""

from collections.abc import Iterator

import pytest

from tests.running_sandbox import run_sandbox
from tests.sandbox.adobe_sign.caller import AdobeSign


@pytest.fixture
def shared(sandbox) -> AdobeSign:
    """A shared, read-only caller."""
    return AdobeSign(sandbox)


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Iterator[AdobeSign]:
    """A shared caller for tests that use only agreements of their own."""
    with run_sandbox(tmp_path_factory.mktemp("lived"), households=4) as sandbox:
        yield AdobeSign(sandbox)


@pytest.fixture
def adobe(start_sandbox) -> AdobeSign:
    """A caller of a fresh sandbox with the vendor's own limits."""
    return AdobeSign(start_sandbox(households=4))
