"""Encrypt the whole files of the staging folder again under the current staging key, so that an earlier key can be removed.

Whole files are manifests, dead letters, validation results and signed documents. Parquet parts are not changed, because each has its own
key, which the manifest contains. A file that is encrypted under the current key is skipped, so a run that was stopped can be continued.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from include.errors import FatalError
from include.keys.sealer import find_key_id
from include.staging.files import UNFINISHED
from include.staging.partitions import Staging

log = logging.getLogger(__name__)

_LOG_EVERY = 1_000


def count(staging: Staging) -> Counter[str]:
    """Return the number of whole files (all except Parquet parts), by the id of the key that encrypted them."""
    return Counter(key_id for _, _, key_id in _iterate(staging))


def reseal(staging: Staging) -> int:
    """Encrypt every whole file of an earlier key again; return the number of these files. Only one file is in memory at a time.

    A reader sees either the old or the new file. If a writer replaces a file during the work, the writer's file stays.

    Raises:
        ConfigurationError: The key of a file is not in the keyring.
        FatalError: Files were altered or moved. All other files were encrypted again.
    """
    done, broken = 0, list[str]()
    for place, name, key_id in _iterate(staging):
        if key_id == staging.key_id:
            continue
        folder = staging.folder(place)
        try:
            done += folder.reseal(name)
        except FileNotFoundError:
            continue  # deleted meanwhile
        except FatalError as error:
            if type(error) is not FatalError:
                raise
            broken.append(f"{place}/{name}")
        if done and done % _LOG_EVERY == 0:
            log.info("%s files are encrypted again", f"{done:,}")
    if broken:
        raise FatalError(
            "Files of the staging folder were altered or moved, and stay under the earlier key",
            files=len(broken), first=broken[0],
        )  # fmt: skip
    return done


def _iterate(staging: Staging) -> Iterator[tuple[str, str, str]]:
    """Yield the whole files as (folder below the root, name, key id)."""
    for place, names in staging.walk():
        for name in names:
            if name.endswith(UNFINISHED):
                continue
            if key_id := find_key_id(staging.folder(place).read_start(name)):
                yield place, name, key_id
