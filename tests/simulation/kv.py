"""A KV version 2 engine as pure functions: a secret and a request in, an answer and the changed secret out.

Statuses, texts and bodies are those of OpenBao 2.7.2, as it gave them on 2026-11-25.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
CAS = "check-and-set parameter did not match the current version"
_KEPT = 10
_LONGEST_KEY, _LONGEST_VALUE, _MOST = 128, 512, 64


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret; a destroyed one has no ``data``."""

    data: Json | None
    created: str
    deletion: str = ""
    destroyed: bool = False

    @property
    def live(self) -> bool:
        """Whether the version can be read."""
        return not self.deletion and not self.destroyed


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """One secret: its versions by number, the newest number (0 for none yet) and the map that marks are kept in.

    It is equal only to itself, so that what is made of it can be kept.
    """

    created: str
    updated: str
    versions: Mapping[int, Version] = field(default_factory=dict)
    current: int = 0
    custom: Mapping[str, str] | None = None
    patched: int = 0

    @property
    def newest(self) -> Version | None:
        """The newest version; None if there is none."""
        return self.versions.get(self.current)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status and body. ``bare`` is an error or an absence, which has no index header."""

    status: int
    body: Json = field(default_factory=dict)
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a request does to a secret: ``after`` None removes it."""

    after: Secret | None


def refused(status: int, *texts: str) -> Response:
    """Return an error in Vault's form."""
    return Response(status, {"errors": list(texts)}, bare=True)


NOTHING = refused(404)
Outcome = tuple[Response, Change | None]


def read(secret: Secret | None, number: str = "") -> Response:
    """Answer GET data, of the newest version or of one with a number."""
    if number and not number.isdecimal():
        return refused(400, f'strconv.ParseInt: parsing "{number}": invalid syntax')
    if number and secret is not None:
        secret = replace(secret, current=int(number)) if int(number) in secret.versions else None
    if secret is None or secret.newest is None:
        return NOTHING
    newest = secret.newest
    body = {"data": newest.data if newest.live else None, "metadata": _of_version(secret)}
    return Response(200 if newest.live else 404, {"data": body})


def metadata(secret: Secret | None) -> Response:
    """Answer GET metadata."""
    return NOTHING if secret is None else Response(200, {"data": described(secret)})


def described(secret: Secret) -> Json:
    """Return a secret's metadata, as its own endpoint and the detailed listing do."""
    return {
        "cas_required": False,
        "created_time": secret.created,
        "current_metadata_version": secret.patched,
        "current_version": secret.current,
        "custom_metadata": dict(secret.custom) if secret.custom is not None else None,
        "delete_version_after": "0s",
        "max_versions": 0,
        "metadata_cas_required": False,
        "oldest_version": min(secret.versions) if secret.current > _KEPT else 0,
        "updated_time": secret.updated,
        "versions": {
            str(number): {"created_time": one.created, "deletion_time": one.deletion, "destroyed": one.destroyed}
            for number, one in secret.versions.items()
        },
    }


def write(secret: Secret | None, body: Json, now: str) -> Outcome:
    """Answer POST data, with or without ``cas``."""
    if "data" not in body or not isinstance(body["data"], dict):
        return refused(400, "no data provided"), None
    current = secret.current if secret is not None else 0
    cas = (body.get("options") or {}).get("cas")
    if cas is not None and int(cas) != current:
        return refused(400, CAS), None
    before = secret or Secret(created=now, updated=now)
    number = current + 1
    versions = {**before.versions, number: Version(_as_go_reads(body["data"]), now)}
    after = replace(
        before,
        versions={kept: one for kept, one in versions.items() if kept > number - _KEPT},
        current=number,
        updated=now,
    )
    return Response(200, {"data": _of_version(after)}), Change(after)


def patch(secret: Secret | None, body: Json, kind: str, now: str) -> Outcome:
    """Answer PATCH metadata: a merge, in which null removes."""
    if kind != MERGE:
        return refused(415, f"PATCH requires Content-Type of {MERGE}, provided {kind}"), None
    if secret is None:
        return Response(404), None
    custom = dict(secret.custom or {})
    for key, value in (body.get("custom_metadata") or {}).items():
        if value is None:
            custom.pop(key, None)
        else:
            custom[key] = str(value)
    wrong = _invalid(custom)
    if wrong is not None:
        return wrong, None
    return Response(204), Change(replace(secret, custom=custom, patched=secret.patched + 1, updated=now))


def put_metadata(secret: Secret | None, body: Json, now: str) -> Outcome:
    """Answer POST metadata, which replaces the whole map."""
    custom = {key: str(value) for key, value in (body.get("custom_metadata") or {}).items()}
    wrong = _invalid(custom)
    if wrong is not None:
        return wrong, None
    before = secret or Secret(created=now, updated=now)
    return Response(204), Change(replace(before, custom=custom, patched=before.patched + 1, updated=now))


def delete(secret: Secret | None, numbers: list[int] | None, now: str) -> Outcome:
    """Answer DELETE data (``numbers`` None: the newest version) and POST delete, recoverably."""
    if secret is None:
        return Response(204), None
    gone = set(numbers if numbers is not None else [secret.current])
    versions = {n: replace(v, deletion=now) if n in gone and v.live else v for n, v in secret.versions.items()}
    return Response(204), Change(replace(secret, versions=versions))


def undelete(secret: Secret | None, numbers: list[int]) -> Outcome:
    """Answer POST undelete."""
    if secret is None:
        return Response(204), None
    versions = {n: replace(v, deletion="") if n in numbers else v for n, v in secret.versions.items()}
    return Response(204), Change(replace(secret, versions=versions))


def destroy(secret: Secret | None, numbers: list[int]) -> Outcome:
    """Answer POST destroy, which cannot be undone. The time of an earlier deletion stays."""
    if secret is None:
        return Response(204), None
    versions = {n: replace(v, data=None, destroyed=True) if n in numbers else v for n, v in secret.versions.items()}
    return Response(204), Change(replace(secret, versions=versions))


def _of_version(secret: Secret) -> Json:
    newest = secret.versions[secret.current]
    return {
        "created_time": newest.created,
        "custom_metadata": dict(secret.custom) if secret.custom is not None else None,
        "deletion_time": newest.deletion,
        "destroyed": newest.destroyed,
        "version": secret.current,
    }


def _invalid(custom: Mapping[str, str]) -> Response | None:
    if len(custom) > _MOST:
        return refused(
            400, f"1 error occurred:\n\t* payload must contain at most {_MOST} keys, provided {len(custom)}\n\n"
        )
    for key, value in custom.items():
        if not 0 < len(key.encode()) <= _LONGEST_KEY or not 0 < len(value.encode()) <= _LONGEST_VALUE:
            return refused(400, f'1 error occurred:\n\t* custom_metadata validation failed: length of "{key}"\n\n')
        if not (key.isprintable() and value.isprintable()):
            return refused(400, f'1 error occurred:\n\t* custom_metadata validation failed: "{key}" is unprintable\n\n')
    return None


_GOS_EXPONENT = 1e21
"""From here on Go writes a number with an exponent, as Python does from 1e16 on."""


def _as_go_reads(value: Any) -> Any:
    """Pass JSON through Go's float64 numbers: 123456789012345678 becomes 123456789012345680, and 1.0 becomes 1."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            number = float(value)
            return int(number) if number.is_integer() and abs(number) < _GOS_EXPONENT else number
        case dict():
            return {key: _as_go_reads(inner) for key, inner in value.items()}
        case _:
            return [_as_go_reads(inner) for inner in value]
