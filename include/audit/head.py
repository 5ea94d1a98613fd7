"""Published heads of the audit chain: files in a folder that the database's administrators can't change.

A firm chooses a folder where files can be added but not replaced, such as a bucket with object lock. A head is a JSON file that is named
after its day and signed with the audit key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Any

import fsspec

from include.audit.chain import Head
from include.errors import ConfigurationError, FatalError


class Heads:
    """The folder of published heads.

    Args:
        root: Its path or URL (`s3://...`).
        keys: The audit keys by key id; the last one signs.
        options: Options of the file system, as for the staging folder.
    """

    def __init__(self, root: str, keys: Mapping[str, bytes], options: Mapping[str, Any] | None = None) -> None:
        self._files, self._root = fsspec.core.url_to_fs(root, **(options or {}))
        self._keys = keys

    def publish(self, day: date, head: Head) -> bool:
        """Write a day's head, unless one exists or the chain is empty; return whether it was written.

        Raises:
            ConfigurationError: The folder can't be written.
        """
        path = f"{self._root}/{day}.json"
        key_id = list(self._keys)[-1]
        content: dict[str, Any] = {"position": head.position, "mac": head.mac.hex(), "key_id": key_id}
        try:
            if not head.position or self._files.exists(path):
                return False
            self._files.makedirs(self._root, exist_ok=True)
            with suppress(FileExistsError), self._files.open(path, "xb") as file:
                file.write(json.dumps(content | {"signature": self._sign(f"{day}.json", content)}).encode())
                return True
        except OSError as error:
            raise ConfigurationError(
                "The folder of audit heads can't be written; see tributary_audit", file=path
            ) from error
        return False

    def read(self) -> Iterator[Head]:
        """Yield all published heads.

        Raises:
            FatalError: A file was altered or renamed.
            ConfigurationError: A file was signed with a key that is not in the keyring, or the folder can't be read.
        """
        try:
            names = self._files.glob(f"{self._root}/*.json")
            for path in sorted(names):
                yield self._open(path.rpartition("/")[2], self._files.cat_file(path))
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
        if not hmac.compare_digest(self._sign(name, content), signature):
            raise FatalError("A published audit head was altered or renamed", file=name)
        return head

    def _sign(self, name: str, content: Mapping[str, Any]) -> str:
        text = json.dumps([name, content["position"], content["mac"], content["key_id"]])
        return hmac.new(self._keys[content["key_id"]], b"head " + text.encode(), hashlib.sha256).hexdigest()
