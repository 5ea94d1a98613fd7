"""A secrets backend as a firm's: it reads connections from AWS Secrets Manager."""

from __future__ import annotations

from typing import Any

import boto3
from airflow.secrets import BaseSecretsBackend


class SecretStore(BaseSecretsBackend):
    """Reads the connections of one prefix."""

    def __init__(self, prefix: str, **options: Any) -> None:
        super().__init__()
        self._prefix, self._client = prefix, boto3.client("secretsmanager", **options)

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        try:
            value: str = self._client.get_secret_value(SecretId=f"{self._prefix}/{conn_id}")["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            return None
        return value
