"""The types of value that keys of the configuration hold, and the base class of all its models.

Names, ids, addresses, paths, templates, durations and shares; references to secrets are in ``references``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from sync.config.listen import host_and_port
from sync.core.model import NEVER, Never
from sync.core.payload import PLACEHOLDERS, TemplateError, fill

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"


def wrong(code: str, message: str, remedy: str) -> NoReturn:
    """Raise pydantic's error with a code of the closed list; neither sentence may contain the value."""
    raise PydanticCustomError(code, "refused", {"message": message, "remedy": remedy})


class ConfigModel(BaseModel):
    """The base of all models: no unknown keys, no conversion of types, no change after validation.

    The text below a key is its description, in errors, the JSON Schema and the example.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _matching(pattern: str, code: str, message: str, remedy: str) -> AfterValidator:
    """Return the validator of a text that matches a pattern."""

    def match(value: str) -> str:
        return value if re.fullmatch(pattern, value) else wrong(code, message, remedy)

    return AfterValidator(match)


def _graph_id(value: str) -> str:
    if re.fullmatch(r"[0-9]{1,32}", value):
        return value
    if re.fullmatch(r"[0-9.]+[eE][-+]?[0-9]+", value):
        wrong(
            "altered-id",
            "a floating-point number: a template turned the id into a number and lost its last digits",
            'quote the id in the values file too, and write {{ .id | quote }} in a Helm template: id: "101010101010101"',
        )
    wrong("bad-value", "not a Graph id", 'write digits only, in quotes: "101010101010101"')


_NAME_REMEDY = "use at most 63 lower-case letters, digits, '.', '_' and '-'; the first is a letter or digit"
Name = Annotated[
    str,
    _matching(NAME, "bad-name", "not a name", _NAME_REMEDY),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"}),
]
GraphId = Annotated[str, AfterValidator(_graph_id), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,32}$"})]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        wrong("bad-address", "not an address", "write https://HOST or https://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        wrong("secret-in-file", "the address contains a user name or password", "remove everything up to the @")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\\]", value):
        wrong("bad-address", "not an http or https address", "write https://HOST or https://HOST:PORT")
    if not value.isascii():
        wrong(
            "bad-address", "characters that are not ASCII", "write the host in its ASCII form, which begins with xn--"
        )
    if not _is_host(parts.hostname) or parts.port == 0:
        wrong("bad-address", "no address has such a host or port", "write https://HOST or https://HOST:PORT")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        wrong("bad-address", "an address with a query or fragment", "end it before the ? or #")
    return value.rstrip("/")


def _is_host(host: str) -> bool:
    """Check whether a text can be the name or number of a host. A name may have underscores, as Docker's have."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        labels = host.removesuffix(".").split(".")
        # A name whose last label is a number is read as an address (WHATWG URL, host parsing).
        return (
            all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit() and len(host) <= _LONGEST_HOST
        )
    return True


_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST_HOST = 254


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
"""An http or https address without a slash at its end."""


def _listen(value: str) -> str:
    try:
        host_and_port(value)
    except ValueError:
        wrong("bad-address", "not an address to listen on", "write HOST:PORT, such as 127.0.0.1:8087 or [::]:8087")
    return value


Listen = Annotated[str, AfterValidator(_listen)]
"""The address of a server of this program. Port 0 is any free port."""


def is_plain_http(address: str) -> bool:
    """Check whether secrets sent to this address could be read on a network: http, and not to this machine.

    Only the literal host counts: a name other than ``localhost`` may resolve to any address.
    """
    parts = urlsplit(address)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _from_folder(value: Path, info: ValidationInfo) -> Path:
    return Path(info.context["base"]) / value if info.context else value


FilePath = Annotated[
    Path, Field(strict=False), AfterValidator(_from_folder), WithJsonSchema({"type": "string", "minLength": 1})
]
"""A path of the file system, made absolute, relative to the folder of the main configuration file."""


def path_fault(path: str) -> str | None:
    """Return why a secret's path or name is not safe; None if it is safe."""
    if path.startswith("/"):
        return "it begins with a slash"
    if path.endswith("/"):
        return "it ends with a slash"
    segments = path.split("/")
    if "" in segments:
        return "it has an empty segment"
    if not {".", ".."}.isdisjoint(segments):
        return "it has a segment . or .."
    return None if path.isprintable() else "it contains a character that cannot be printed"


def _filled(value: str, *more: str) -> str:
    try:
        return fill(value, dict.fromkeys((*PLACEHOLDERS, *more), "x"))
    except TemplateError as error:
        wrong("bad-template", str(error), "write {{ and }} for literal braces")


def _secret_path(value: str) -> str:
    fault = path_fault(_filled(value))
    if fault:
        wrong("bad-path", f"not a path for a secret: {fault}", "write it like meta/pages/{name}")
    return value


def _payload_text(value: str) -> str:
    _filled(value, "token")
    return value


REGION = r"[a-z]{2,4}(?:-[a-z]{2,5})?-(?:central|north|south|(?:north|south)?(?:east|west))-[0-9]{1,2}"


Region = Annotated[
    str,
    _matching(REGION, "bad-value", "not a region of AWS", "write it like eu-central-1"),
    WithJsonSchema({"type": "string", "pattern": f"^{REGION}$"}),
]
PathTemplate = Annotated[Text, AfterValidator(_secret_path)]


def _mount_fault(path: str) -> str | None:
    if set("{}") & set(path):
        return "it contains a brace, and a mount has no placeholders"
    return "it contains a blank" if re.search(r"\s", path) else path_fault(path)


def _without_slashes(noun: str, remedy: str, fault: Callable[[str], str | None] = path_fault) -> AfterValidator:
    """Return the validator of a path without placeholders, which removes slashes around it: Vault's documentation uses both forms."""

    def path(value: str) -> str:
        inner = value.strip("/")
        found = fault(inner)
        if found:
            wrong("bad-path", f"not the path of {noun}: {found}", remedy)
        return inner

    return AfterValidator(path)


_NAMESPACE = ("a namespace", "write it like team-a or admin/team-a")
Namespace = Annotated[Text, _without_slashes(*_NAMESPACE)]
LoginNamespace = Annotated[
    str,
    StringConstraints(max_length=4096),
    _without_slashes(*_NAMESPACE, lambda path: path_fault(path) if path else None),
]
"""Like a Namespace, or empty for the root."""
MountPath = Annotated[Text, _without_slashes("a mount", "write it like secret or kv/meta", _mount_fault)]
"""Where an engine of secrets is mounted."""
LoginMount = Annotated[Text, _without_slashes("a mount", "write it like approle or prod/kubernetes", _mount_fault)]
"""Where a method of authentication is mounted, without auth/."""
SecretPath = Annotated[Text, _without_slashes("a secret", "write it like meta/system-user")]
"""The path of one secret in a store."""
PayloadText = Annotated[str, StringConstraints(max_length=60_000), AfterValidator(_payload_text)]


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_LONGEST = timedelta(days=3650)


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        wrong("bad-duration", "not a duration", "write an integer and a unit: 500ms, 90s, 15m, 24h or 7d")
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if duration > _LONGEST:
        wrong("bad-duration", "longer than ten years", "the maximum is 3650d")
    return duration


def duration_text(value: timedelta | Never) -> str:
    """Return a duration as the configuration writes it, in the largest unit that gives an integer."""
    if isinstance(value, Never):
        return "never"
    for unit in ("d", "h", "m", "s"):
        count = value / timedelta(seconds=_UNITS[unit])
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{round(value / timedelta(milliseconds=1))}ms" if value else "0s"


def _at_least(least: timedelta, fault: str, remedy: str) -> AfterValidator:
    def compare(value: timedelta) -> timedelta:
        return value if value >= least else wrong("bad-duration", fault, remedy)

    return AfterValidator(compare)


_LIFE = timedelta(days=60)  # of a system user token that expires (Meta's guide of system users, read 2026-11-24)


def _renew_before(value: timedelta | Never) -> timedelta | Never:
    if isinstance(value, Never):
        return value
    if value < timedelta(hours=1):
        wrong("bad-duration", "too short to renew a token in time", "write at least 1h, such as 14d; or never")
    if value >= _LIFE:
        wrong(
            "bad-duration",
            "not shorter than the lifetime of such a token, which would be renewed in each cycle",
            "write less than 60d, such as 14d; or never",
        )
    return value


_DURATION_SCHEMA = {"type": "string", "pattern": f"^{_DURATION.pattern}$"}
Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(duration_text), WithJsonSchema(_DURATION_SCHEMA)
]
_NOT_ZERO = _at_least(timedelta(milliseconds=1), "zero", "write at least 1ms")
_SECOND = _at_least(timedelta(seconds=1), "shorter than a second", "write at least 1s")
_TEN_SECONDS = _at_least(timedelta(seconds=10), "shorter than ten seconds", "write at least 10s; 15m is usual")
PositiveDuration = Annotated[Duration, _NOT_ZERO, WithJsonSchema(_DURATION_SCHEMA)]
Interval = Annotated[Duration, _SECOND, WithJsonSchema(_DURATION_SCHEMA)]
CycleInterval = Annotated[Duration, _TEN_SECONDS, WithJsonSchema(_DURATION_SCHEMA)]
_EXPIRES_SCHEMA = {"type": "string", "pattern": f"^(never|{_DURATION.pattern})$"}
Expires = Annotated[
    timedelta | Never,
    BeforeValidator(
        lambda value: value if isinstance(value, Never) else NEVER if value == "never" else _duration(value)
    ),
    PlainSerializer(duration_text),
    WithJsonSchema(_EXPIRES_SCHEMA),
]
RenewBefore = Annotated[Expires, AfterValidator(_renew_before), WithJsonSchema(_EXPIRES_SCHEMA)]
"""How long before it expires a token is renewed, or NEVER."""


_SHARE = re.compile(r"(0|[1-9][0-9]{0,2})%")
_WHOLE, _MOST_OF_BUDGET = 1.0, 0.94


def _share(value: object) -> object:
    if isinstance(value, float):
        return value
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        wrong("bad-share", "not a percentage", "write an integer and the percent sign: 30% (not 0.3)")
    return int(match[1]) / 100


def _of_the_whole(value: float) -> float:
    if value > _WHOLE:
        wrong("bad-share", "more than 100%", "the maximum is 100%")
    return value


def share_text(value: float) -> str:
    """Return a share as the configuration writes it."""
    return f"{round(100 * value)}%"


def _budget(value: float) -> float:
    if not value:
        wrong("bad-share", "zero: stored tokens would never be verified again", "write at least 1%")
    if value > _MOST_OF_BUDGET:
        wrong("bad-share", "above 94%: no call is made from 95% of the usage that Meta reports", "the maximum is 94%")
    return value


_SHARE_SCHEMA = {"type": "string", "pattern": f"^{_SHARE.pattern}$"}
_Written = Annotated[float, BeforeValidator(_share), PlainSerializer(share_text)]
Share = Annotated[_Written, AfterValidator(_of_the_whole), WithJsonSchema(_SHARE_SCHEMA)]
"""From 0 to 1; written from 0% to 100%."""
Budget = Annotated[_Written, AfterValidator(_budget), WithJsonSchema(_SHARE_SCHEMA)]
