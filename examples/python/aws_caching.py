"""Read a Page token through AWS's caching client, and past its cache after error 190.

    pip install boto3 aws-secretsmanager-caching
    AWS_SECRET_ID=meta/pages/berlin python aws_caching.py

The cache holds a value for an hour by default; a minute bounds how long an app uses a replaced token.
What the app does on Graph's errors 190, 10, 100, 200 and 368: docs/how-to/read-a-token.md.
"""

from __future__ import annotations

import hashlib
import json
import os

import boto3
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

REFRESH_SECONDS = 60


class CachedToken:
    """The token of one secret."""

    def __init__(self, secret_id: str) -> None:
        self._secret_id = secret_id
        self._cache = SecretCache(
            SecretCacheConfig(secret_refresh_interval=REFRESH_SECONDS), boto3.client("secretsmanager")
        )

    def get(self) -> str:
        """Return the token, at most a minute old."""
        return str(json.loads(self._cache.get_secret_string(self._secret_id))["access_token"])

    def get_fresh(self) -> str:
        """Return the token that is stored now, after error 190. The client waits up to 5 seconds before it asks AWS."""
        self._cache.refresh_secret_now(self._secret_id)
        return self.get()


if __name__ == "__main__":
    token = CachedToken(os.environ["AWS_SECRET_ID"]).get()
    print(hashlib.sha256(token.encode()).hexdigest()[:12])
