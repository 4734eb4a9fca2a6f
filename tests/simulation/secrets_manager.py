"""AWS Secrets Manager in memory, at the level of its JSON calls: labels, idempotence, deletion, and lists that lag.

The rules are those of the service's API reference, read November 2026. Where the reference and the emulators differ the
reference is kept: a write to what is scheduled for deletion is refused, a token that is used with other content too, and a
version without a label can still be had by its id.
"""

from __future__ import annotations

import bisect
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Json = dict[str, Any]
CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_TAG = re.compile(r"[\w \t+\-=._:/@]*")
_DELETED = "You can't perform this operation on the secret because it was marked for deletion."
_MOST_TAGS, _LONGEST, _AT_ONCE, _PAGE = 50, 65_536, 20, 100
REGION = "eu-central-1"


@dataclass(frozen=True, slots=True)
class Value:
    """One version's content; ``seen_from`` is when reads begin to return it."""

    text: str | None
    binary: str | None = None
    seen_from: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """One secret; ``labels`` has the version of each staging label; equal only to itself."""

    name: str
    arn: str
    created: float
    versions: Mapping[str, Value] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted: float | None = None
    rotates: bool = False
    primary: str | None = None

    @property
    def current(self) -> str | None:
        """The version with AWSCURRENT."""
        return self.labels.get(CURRENT)

    @property
    def text(self) -> str | None:
        """The text that applications read; None if there is none."""
        return self.versions[self.current].text if self.current is not None else None

    def stages(self) -> dict[str, list[str]]:
        """Return each version's labels, for the versions that have any."""
        found: dict[str, list[str]] = {}
        for label, version in self.labels.items():
            found.setdefault(version, []).append(label)
        return found


class Failure(Exception):  # noqa: N818 - what AWS calls it is in its code
    """A call that is refused, with AWS's code and message."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.status = status


Changed = Callable[[object, str, Secret | None, Secret | None], None]
Shown = Callable[[object, str, Secret | None], None]
Valued = Callable[[object, str, str | None], None]
"""Called with each value that an answer shows; GetSecretValue shows no tags, so the owner is unknown."""


class SecretsManager:
    """One account in one region. ``list_lag`` draws how long a change is hidden from lists, ``gap`` from reads by version."""

    def __init__(self, unix: Callable[[], float]) -> None:
        self.unix = unix
        self.secrets: dict[str, Secret] = {}
        self.forbidden: str | None = None
        self.changed: Changed = lambda *_: None
        self.shown: Shown = lambda *_: None
        self.valued: Valued = lambda *_: None
        self.list_lag: Callable[[], float] = lambda: 0.0
        self.gap: Callable[[], float] = lambda: 0.0
        self.lock = threading.RLock()
        self._listed: dict[str, list[tuple[float, Secret | None]]] = {}
        self._tokens: set[str] = set()

    def call(self, operation: str, body: Json, *, owner: object = None) -> tuple[int, Json]:
        """Carry out one call; return the HTTP status and the body."""
        act = _OPERATIONS.get(operation)
        with self.lock:
            try:
                if act is None:
                    raise Failure("UnknownOperationException", operation)  # noqa: TRY301 - answered as any other
                return 200, act(self, body, owner)
            except Failure as failure:
                return failure.status, {"__type": failure.code, "Message": failure.text}

    def calm(self) -> None:
        """Let lists and reads show everything at once."""
        self.list_lag = self.gap = lambda: 0.0
        for name, secret in list(self.secrets.items()):
            self._listed[name] = [(self.unix(), secret)]
            shown = {version: replace(value, seen_from=0.0) for version, value in secret.versions.items()}
            self.secrets[name] = replace(secret, versions=shown)

    def put(self, secret: Secret, *, owner: object = None) -> None:
        """Store a secret whatever forbids it."""
        self._change(owner, secret.name, secret)

    def _change(self, owner: object, name: str, after: Secret | None) -> None:
        before = self.secrets.get(name)
        if after is None:
            self.secrets.pop(name, None)
        else:
            self.secrets[name] = after
        history = self._listed.setdefault(name, [])
        last = history[-1][0] if history else 0.0
        history.append((max(last, self.unix() + self.list_lag()), after))
        self.changed(owner, name, before, after)

    def _find(self, body: Json) -> Secret:
        wanted = str(body.get("SecretId", ""))
        found = self.secrets.get(wanted) or next((one for one in self.secrets.values() if one.arn == wanted), None)
        if found is None:
            raise Failure("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return found

    def _to_write(self, body: Json) -> Secret:
        found = self._find(body)
        if found.primary is not None:
            raise Failure("InvalidRequestException", "Operation not permitted on a replica secret.")
        if found.deleted is not None:
            raise Failure("InvalidRequestException", _DELETED)
        return found

    # The operations.

    def create(self, body: Json, owner: object) -> Json:
        """CreateSecret."""
        name, token = str(body.get("Name", "")), _token(body)
        if not _NAME.fullmatch(name):
            raise Failure("ValidationException", "Invalid name.")
        tags = _tags(body, {})
        value = self._value(body)
        old = self.secrets.get(name)
        if old is not None and old.deleted is not None:
            text = "You can't create this secret because a secret with this name is already scheduled for deletion."
            raise Failure("InvalidRequestException", text)
        if old is not None:
            same = old.versions.get(token)
            if value is None or same is None or (same.text, same.binary) != (value.text, value.binary):
                raise Failure(
                    "ResourceExistsException", f"The operation failed because the secret {name} already exists."
                )
            return {"ARN": old.arn, "Name": name, "VersionId": token}
        arn = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:{name}-{abs(hash_of(name)) % 10**6:06d}"
        versions, labels = ({token: value}, {CURRENT: token}) if value is not None else ({}, {})
        self._change(owner, name, Secret(name, arn, self.unix(), versions, labels, tags))
        self.shown(owner, name, self.secrets[name])
        return {"ARN": arn, "Name": name, **({"VersionId": token} if value is not None else {})}

    def put_value(self, body: Json, owner: object) -> Json:
        """PutSecretValue."""
        found, token, value = self._to_write(body), _token(body), self._value(body)
        if value is None:
            raise Failure("InvalidParameterException", "You must provide either SecretString or SecretBinary.")
        old = found.versions.get(token)
        if old is not None:
            if (old.text, old.binary) != (value.text, value.binary):
                raise Failure("ResourceExistsException", "This ClientRequestToken is in use with other content.")
            return self._version(found, token)
        stages = list(body.get("VersionStages") or [CURRENT])
        labels = dict(found.labels)
        if not found.versions and CURRENT not in stages:
            stages.append(CURRENT)
        for stage in stages:
            labels = _moved(labels, stage, token)
        after = replace(found, versions={**found.versions, token: value}, labels=labels)
        self._change(owner, found.name, after)
        return self._version(after, token)

    def move_stage(self, body: Json, owner: object) -> Json:
        """UpdateSecretVersionStage."""
        found, label = self._to_write(body), str(body.get("VersionStage", ""))
        to, source = body.get("MoveToVersionId"), body.get("RemoveFromVersionId")
        for version in filter(None, (to, source)):
            if version not in found.versions:
                raise Failure("ResourceNotFoundException", "Secrets Manager can't find the specified secret version.")
        holder = found.labels.get(label)
        if source is not None and holder != source:
            raise Failure("InvalidParameterException", f"The label {label} is not attached to version {source}.")
        if to is not None and holder is not None and source is None and holder != to:
            raise Failure("InvalidParameterException", f"The label {label} is attached to version {holder}.")
        if to is None and label == CURRENT:
            raise Failure("InvalidParameterException", "AWSCURRENT can be moved, and not removed.")
        labels = _moved(dict(found.labels), label, to) if to is not None else _without(found.labels, label)
        after = replace(found, labels=labels)
        self._change(owner, found.name, after)
        return {"ARN": found.arn, "Name": found.name}

    def get_value(self, body: Json, owner: object) -> Json:
        """GetSecretValue."""
        found = self._find(body)
        if found.name == self.forbidden:
            raise Failure("AccessDeniedException", "not authorized")
        if found.deleted is not None:
            raise Failure("InvalidRequestException", _DELETED)
        version, stage = body.get("VersionId"), body.get("VersionStage")
        if version is None:
            version = found.labels.get(stage or CURRENT)
        elif stage is not None and found.labels.get(stage) != version:
            raise Failure("InvalidRequestException", "You provided a VersionStage that is not on this VersionId.")
        value = found.versions.get(version) if version is not None else None
        if value is None or version is None or (body.get("VersionId") and value.seen_from > self.unix()):
            what = f"VersionId: {version}" if body.get("VersionId") else f"staging label: {stage or CURRENT}"
            raise Failure("ResourceNotFoundException", f"Secrets Manager can't find the secret value for {what}")
        self.valued(owner, found.name, value.text)
        return self._content(found, version, value)

    def batch(self, body: Json, owner: object) -> Json:
        """BatchGetSecretValue."""
        names = body.get("SecretIdList") or []
        if not 1 <= len(names) <= _AT_ONCE:
            raise Failure("ValidationException", "Value at 'secretIdList' failed to satisfy constraint.")
        values, errors = [], []
        for name in names:
            try:
                values.append(self.get_value({"SecretId": name}, owner))
            except Failure as failure:
                errors.append({"SecretId": name, "ErrorCode": failure.code, "Message": failure.text})
        return {"SecretValues": values, "Errors": errors}

    def describe(self, body: Json, owner: object) -> Json:
        """DescribeSecret."""
        found = self._find(body)
        self.shown(owner, found.name, found)
        return {**self._row(found), "VersionIdsToStages": found.stages()}

    def list_versions(self, body: Json, owner: object) -> Json:
        """ListSecretVersionIds, of the versions without a label only where the request includes them."""
        found, stages = self._find(body), self._find(body).stages()
        self.shown(owner, found.name, found)
        shown = [version for version in found.versions if version in stages or body.get("IncludeDeprecated")]
        rows = [{"VersionId": one, "VersionStages": stages.get(one, []), "CreatedDate": found.created} for one in shown]
        return {"ARN": found.arn, "Name": found.name, "Versions": rows}

    def list(self, body: Json, owner: object) -> Json:
        """ListSecrets, with the account's state of some time ago."""
        size = int(body.get("MaxResults", _PAGE))
        if not 1 <= size <= _PAGE:
            raise Failure("ValidationException", "Value at 'maxResults' failed to satisfy constraint.")
        token = body.get("NextToken")
        if token is not None and token not in self._tokens:
            raise Failure("InvalidNextTokenException", "The NextToken value is invalid.")
        start = int(token.partition("-")[2]) if token else 0
        prefixes = [value for one in body.get("Filters") or [] if one["Key"] == "name" for value in one["Values"]]
        rows = []
        for name in sorted(self._listed):
            found = self._as_listed(name)
            if found is None or (found.deleted is not None and not body.get("IncludePlannedDeletion")):
                continue
            if prefixes and not any(name.startswith(prefix) for prefix in prefixes):
                continue
            rows.append({**self._row(found), "SecretVersionsToStages": found.stages()})
            self.shown(owner, name, found)
        more = {"NextToken": f"page-{start + size}"} if len(rows) > start + size else {}
        self._tokens.update(more.values())
        return {"SecretList": rows[start : start + size], **more}

    def tag(self, body: Json, owner: object) -> Json:
        """TagResource."""
        found = self._to_write(body)
        self._change(owner, found.name, replace(found, tags={**found.tags, **_tags(body, found.tags)}))
        return {}

    def untag(self, body: Json, owner: object) -> Json:
        """UntagResource."""
        found = self._to_write(body)
        gone = set(body.get("TagKeys") or [])
        tags = {key: value for key, value in found.tags.items() if key not in gone}
        self._change(owner, found.name, replace(found, tags=tags))
        return {}

    def delete(self, body: Json, owner: object) -> Json:
        """DeleteSecret, after some days or at once."""
        found = self._find(body)
        now = self.unix()
        force = body.get("ForceDeleteWithoutRecovery") is True
        days = int(body.get("RecoveryWindowInDays", 30))
        self._change(owner, found.name, None if force else replace(found, deleted=now))
        return {"ARN": found.arn, "Name": found.name, "DeletionDate": now + (0 if force else days * 86_400)}

    def restore(self, body: Json, owner: object) -> Json:
        """RestoreSecret."""
        found = self._find(body)
        self._change(owner, found.name, replace(found, deleted=None))
        return {"ARN": found.arn, "Name": found.name}

    def _as_listed(self, name: str) -> Secret | None:
        history = self._listed[name]
        target = bisect.bisect_right(history, self.unix(), key=lambda entry: entry[0])
        return history[target - 1][1] if target else None

    def _value(self, body: Json) -> Value | None:
        text, binary = body.get("SecretString"), body.get("SecretBinary")
        if text is None and binary is None:
            return None
        if text is not None and len(text.encode()) > _LONGEST:
            raise Failure("ValidationException", "Value at 'secretString' failed to satisfy constraint.")
        return Value(text, binary, self.unix() + self.gap())

    def _version(self, secret: Secret, version: str) -> Json:
        stages = secret.stages().get(version, [])
        return {"ARN": secret.arn, "Name": secret.name, "VersionId": version, "VersionStages": stages}

    def _content(self, secret: Secret, version: str, value: Value) -> Json:
        content = {"SecretString": value.text} if value.text is not None else {"SecretBinary": value.binary}
        return {**self._version(secret, version), **content, "CreatedDate": secret.created}

    def _row(self, secret: Secret) -> Json:
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "Tags": [{"Key": key, "Value": value} for key, value in secret.tags.items()],
            "CreatedDate": secret.created,
            **({"DeletedDate": secret.deleted} if secret.deleted is not None else {}),
            **({"RotationEnabled": True} if secret.rotates else {}),
            **({"PrimaryRegion": secret.primary} if secret.primary is not None else {}),
        }


_OPERATIONS: Mapping[str, Callable[[SecretsManager, Json, object], Json]] = {
    "CreateSecret": SecretsManager.create,
    "PutSecretValue": SecretsManager.put_value,
    "UpdateSecretVersionStage": SecretsManager.move_stage,
    "GetSecretValue": SecretsManager.get_value,
    "BatchGetSecretValue": SecretsManager.batch,
    "DescribeSecret": SecretsManager.describe,
    "ListSecrets": SecretsManager.list,
    "ListSecretVersionIds": SecretsManager.list_versions,
    "TagResource": SecretsManager.tag,
    "UntagResource": SecretsManager.untag,
    "DeleteSecret": SecretsManager.delete,
    "RestoreSecret": SecretsManager.restore,
}
READS: frozenset[str] = frozenset(
    {"GetSecretValue", "BatchGetSecretValue", "DescribeSecret", "ListSecrets", "ListSecretVersionIds"}
)
Fault = Literal["throttled", "internal"]


def hash_of(text: str) -> int:
    """Return a number that depends on the text alone, in every process."""
    return sum(ord(letter) * 31**target for target, letter in enumerate(text[-40:]))


def _moved(labels: dict[str, str], label: str, to: str) -> dict[str, str]:
    """Move a label to a version; AWSPREVIOUS goes to where AWSCURRENT was."""
    before = labels.get(label)
    labels[label] = to
    if label == CURRENT and before is not None and before != to:
        labels[PREVIOUS] = before
    if label == CURRENT and labels.get(PREVIOUS) == to:
        del labels[PREVIOUS]
    return labels


def _without(labels: Mapping[str, str], label: str) -> dict[str, str]:
    return {name: version for name, version in labels.items() if name != label}


def _token(body: Json) -> str:
    token = str(body.get("ClientRequestToken", ""))
    if not 32 <= len(token) <= 64:
        raise Failure("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
    return token


def _tags(body: Json, old: Mapping[str, str]) -> dict[str, str]:
    tags = {str(tag["Key"]): str(tag.get("Value", "")) for tag in body.get("Tags") or []}
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise Failure("InvalidParameterException", "Tag keys that start with aws: are reserved.")
        if not (1 <= len(key) <= 128 and len(value) <= 256 and _TAG.fullmatch(key) and _TAG.fullmatch(value)):
            raise Failure("InvalidParameterException", "A tag has characters or a length that is not allowed.")
    if len({*old, *tags}) > _MOST_TAGS:
        raise Failure("InvalidParameterException", "A secret can have at most 50 tags.")
    return tags
