"""Published heads of the audit chain, as files outside the database.

The firm should choose a folder that the database's administrators can't change, and where files can be added but not replaced or removed,
such as a bucket with object lock. Each head is a JSON file, signed with the audit key; its name is the time of publication.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import fsspec

from include.audit.chain import Head
from include.errors import ConfigurationError, FatalError

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z\.json")


class Heads:
    """The folder of published heads.

    Args:
        root: Path or URL (`s3://...`) of the folder.
        keys: The audit keys by key id, oldest first; the last one signs.
        options: Options of the file system, such as `key` and `secret` of a bucket.
    """

    def __init__(self, root: str, keys: Mapping[str, bytes], options: Mapping[str, Any] | None = None) -> None:
        self._files, self._root = fsspec.core.url_to_fs(root, **(options or {}))
        self._keys = keys

    def publish(self, now: datetime, head: Head) -> bool:
        """Write a head; return whether it was written. An empty chain, or a second head in the same second, is not written.

        Raises:
            ConfigurationError: The folder can't be written.
        """
        name = f"{now.astimezone(UTC):%Y-%m-%dT%H%M%SZ}.json"
        path = f"{self._root}/{name}"
        key_id = list(self._keys)[-1]
        content: dict[str, Any] = {"position": head.position, "mac": head.mac.hex(), "key_id": key_id}
        try:
            if not head.position or self._files.exists(path):
                return False
            self._files.makedirs(self._root, exist_ok=True)
            with suppress(FileExistsError), self._files.open(path, "xb") as file:
                file.write(json.dumps(content | {"signature": self._sign(name, content)}).encode())
                return True
        except OSError as error:
            raise ConfigurationError(
                "The folder of audit heads can't be written; see tributary_audit", file=path
            ) from error
        return False

    def read(self, most: int | None = None) -> Iterator[Head]:
        """Yield the published heads, oldest first.

        Args:
            most: Yield only the newest `most` heads; None for all.

        Raises:
            FatalError: A file was altered or renamed, or is not a head.
            ConfigurationError: A file was signed with a key that is not in the keyring, or the folder can't be read.
        """
        try:
            paths = self._files.glob(f"{self._root}/*.json")
            names = sorted(path.rpartition("/")[2] for path in paths)
            if strange := [name for name in names if not _NAME.fullmatch(name)]:
                raise FatalError("Unexpected file in the folder of audit heads", file=strange[0])
            for name in names[-most if most else 0 :]:
                yield self._open(name, self._files.cat_file(f"{self._root}/{name}"))
        except OSError as error:
            raise ConfigurationError(
                "The folder of audit heads can't be read; see tributary_audit", folder=self._root
            ) from error

    def _open(self, name: str, text: bytes) -> Head:
        try:
            content = json.loads(text)
            signature = content.pop("signature")
            head, key_id = Head(content["position"], bytes.fromhex(content["mac"])), content["key_id"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FatalError("A published audit head was altered", file=name) from error
        if key_id not in self._keys:
            raise ConfigurationError("An audit key is missing from tributary_keys", key_id=key_id, file=name)
        if not hmac.compare_digest(self._sign(name, content).encode(), str(signature).encode()):
            raise FatalError("A published audit head was altered or renamed", file=name)
        return head

    def _sign(self, name: str, content: Mapping[str, Any]) -> str:
        text = json.dumps([name, content["position"], content["mac"], content["key_id"]])
        return hmac.new(self._keys[content["key_id"]], b"head " + text.encode(), hashlib.sha256).hexdigest()
