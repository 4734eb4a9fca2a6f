"""An account of Secrets Manager for tests of the store, and what another person does in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sync.core import marks as mark_map
from sync.core.model import Key, Removed
from sync.runtime.threads import Clock, SystemClock
from sync.stores.aws.client import Answer, AwsClient
from sync.stores.aws.entry import PREFIX
from sync.stores.aws.store import AwsSettings, AwsStore
from tests.support.fakes import Killed
from tests.support.services.aws import ACCESS_KEY, REGION, SECRET_KEY, Aws
from tests.support.store_contract import marks


class AwsRig:
    """One account, written to by the store under test and by another person."""

    name = "aws"
    counted = True
    exact_numbers = True
    canaries = (SECRET_KEY, ACCESS_KEY)
    odd_names = ("a.b", "shop-berlin", "x@y", "a+b=c", "team/berlin", "team/paris", "-", "_", "n" * 400)
    refused_paths = ("meta/../up", "meta//x", "a b", "Zürich", "", "arn:aws:secretsmanager:x", "x" * 513, "a/")

    def __init__(self, service: Aws) -> None:
        self.service = service
        self.client = service.client

    def make_store(self, clock: Clock | None = None, **changes: Any) -> AwsStore:
        """Make a store over the account."""
        return AwsStore(self.name, self.settings(**changes), clock=clock or SystemClock(), workers=4)

    def unreachable_store(self) -> AwsStore:
        """Make a store whose endpoint does not listen."""
        return self.make_store(endpoint_url="http://127.0.0.1:9")

    def settings(self, **changes: Any) -> AwsSettings:
        """Return the settings that reach the account."""
        reach = {
            "region": REGION,
            "endpoint_url": self.service.url,
            "profile": "prod",
            "timeout": 10.0,
            "name_prefix": "meta/pages/",
            "tags": {"Cost": "1"},
        }
        return AwsSettings(**{**reach, **changes})

    def key(self, name: str) -> Key:
        """Return the target of a Page below the prefix."""
        return Key(self.name, f"meta/pages/{name}")

    def bad_key(self) -> Key:
        """Forbid reading one secret's value, in batches and individually."""
        key = self.key("bad")
        self.plant(key, {"access_token": "x"})
        self.service.forbidden = key.path
        return key

    def plant(self, key: Key, payload: Mapping[str, Any], marks: Mapping[str, str] | None = None) -> None:
        """Create a secret as another person does."""
        self.client.create_secret(Name=key.path, SecretString=json.dumps(payload), Tags=self.tags(marks or {}))

    def plant_text(self, key: Key, text: str, marks: Mapping[str, str]) -> None:
        """Create a secret with this value."""
        self.client.create_secret(Name=key.path, SecretString=text, Tags=self.tags(marks))

    def text(self, key: Key) -> str:
        """Return the value that applications read."""
        return str(self.client.get_secret_value(SecretId=key.path, VersionStage="AWSCURRENT")["SecretString"])

    def numbers(self, key: Key) -> Mapping[str, str]:
        """Return the value with its numbers as texts."""
        return dict(json.loads(self.text(key), parse_float=str, parse_int=str))

    def plant_empty(self, key: Key, marks: Mapping[str, str] | None = None) -> None:
        """Create a secret without a value, as Terraform does."""
        self.client.create_secret(Name=key.path, Tags=self.tags(marks or {}))

    def unreadable(self, key: Key) -> frozenset[Key]:
        """Store a binary value."""
        tags = self.tags(mark_map.present(marks()))
        self.client.create_secret(Name=key.path, SecretBinary=b"\x00\xff", Tags=tags)
        return frozenset()

    def add_foreign_mark(self, key: Key, name: str, value: str) -> None:
        """Add a tag as another person does."""
        self.client.tag_resource(SecretId=key.path, Tags=[{"Key": name, "Value": value}])

    def unmark(self, key: Key) -> None:
        """Remove every tag of the marks."""
        tags = self.client.describe_secret(SecretId=key.path)["Tags"]
        names = [tag["Key"] for tag in tags if tag["Key"].startswith(PREFIX)]
        self.client.untag_resource(SecretId=key.path, TagKeys=names)

    def foreign_marks(self, key: Key) -> Mapping[str, str]:
        """Read the tags without the prefix of the marks."""
        tags = self.client.describe_secret(SecretId=key.path)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags if not tag["Key"].startswith(PREFIX)}

    def versions(self, key: Key) -> list[str]:
        """Return the ids of all versions."""
        return sorted(self.client.describe_secret(SecretId=key.path)["VersionIdsToStages"])

    def restore(self, key: Key, removed: Removed) -> None:
        """Call what the command calls."""
        wanted = f"aws secretsmanager restore-secret --secret-id {key.path} --region {REGION} --endpoint-url"
        assert removed.restore.startswith(wanted), removed.restore
        self.client.restore_secret(SecretId=key.path)

    def delete(self, key: Key) -> None:
        """Schedule the secret for deletion."""
        self.client.delete_secret(SecretId=key.path, RecoveryWindowInDays=7)

    def labels(self, key: Key, version: str = "") -> set[str]:
        """Return the staging labels of a version, or of the only version."""
        all_labels = self.client.describe_secret(SecretId=key.path)["VersionIdsToStages"]
        return set(all_labels.get(version, []) if version else next(iter(all_labels.values())))

    @staticmethod
    def tags(marks: Mapping[str, str]) -> list[dict[str, str]]:
        """Return marks as tags in the form of the API."""
        return [{"Key": PREFIX + key, "Value": value} for key, value in marks.items()]


class KilledClient(AwsClient):
    """A client that is killed before or after the call with one number is carried out."""

    number = 0
    after = False

    def call(self, operation: str, subject: str = "", **parameters: Any) -> Answer:
        """Make the call, or be killed."""
        self.number -= 1
        if self.number == -1 and not self.after:
            raise Killed
        answer = super().call(operation, subject, **parameters)
        if self.number == -1:
            raise Killed
        return answer
