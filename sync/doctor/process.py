"""What is judged of this process and its surroundings; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sync.config.listen import host_and_port
from sync.core.report.finding import Finding
from sync.doctor.checks import ok

FileUse = Literal["configuration", "credential", "certificate"]

_OTHERS_READ, _OTHERS_WRITE = 0o004, 0o002
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
AWS_ADDRESSES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_STS")
VAULT_SETTINGS = ("VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_TOKEN", "BAO_ADDR", "BAO_NAMESPACE", "BAO_TOKEN")
"""Variables by which other programs find their services; without ``trust_env`` none of them has an effect here."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that the configuration needs. ``mode`` is None where there is none; ``mounted``: it is a mount of its own."""

    path: str
    use: FileUse
    mode: int | None
    mounted: bool = False


@dataclass(frozen=True, slots=True)
class StateFacts:
    """The state file: ``problem`` is why it cannot be written, ``warning`` a sentence on why it is not used; "" where it is."""

    path: str
    problem: str = ""
    warning: str = ""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """This process and its surroundings.

    ``platform`` is what it runs in. ``warnings`` are the configuration's. ``services`` are the parts of the configuration that call something, and whether they
    use the environment (``trust_env``). ``variables`` are the names of those that are set and that no reference names.
    ``credentials`` counts the credentials of the web server, the heartbeat and the notifications, and ``unreadable``
    has the reason for each that cannot be read, by its key.
    """

    user: int
    platform: Literal["", "container", "kubernetes"]
    listen: str
    warnings: Sequence[str] = ()
    files: Sequence[FileFacts] = ()
    services: Mapping[str, bool] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()
    state: StateFacts | None = None
    credentials: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)


def process_findings(facts: ProcessFacts, *, unreached: bool) -> Iterator[Finding]:
    """Yield what is right and wrong about this process; ``unreached``: a service could not be reached, or refused the login."""
    yield _configuration(facts)
    yield _user(facts)
    yield from _files(facts)
    yield _mounts(facts)
    yield _environment(facts, unreached=unreached)
    yield _listen(facts)
    if facts.state is not None:
        yield _state(facts.state)
    yield from _credentials(facts)


def _configuration(facts: ProcessFacts) -> Finding:
    if not facts.warnings:
        return ok("process-configuration")
    remedy = "Change the configuration, or leave it so if that is meant."
    return _warn("process-configuration", " ".join(facts.warnings), remedy)


def _user(facts: ProcessFacts) -> Finding:
    if facts.user != 0:
        return ok("process-user", message=f"Runs as user {facts.user}.")
    remedy = "Run the program as a user of its own, such as the image's 65532: it needs no right of root."
    return _warn("process-user", "The program runs as root.", remedy)


def _files(facts: ProcessFacts) -> Iterator[Finding]:
    found = []
    for file in facts.files:
        if file.mode is None:
            continue
        if file.mode & _OTHERS_WRITE:
            message = f"Every user of the machine can change {file.path}, and so decide where tokens are sent."
            found.append(_warn("process-files", message, f"Run: chmod o-w {file.path}"))
        # In a container there is no other user, and Kubernetes mounts secrets readable by all by default.
        elif file.use == "credential" and file.mode & _OTHERS_READ and not facts.platform:
            message = f"Every user of the machine can read the credential in {file.path}."
            found.append(_warn("process-files", message, f"Run: chmod o-r {file.path}"))
    yield from found or [ok("process-files")]


def _mounts(facts: ProcessFacts) -> Finding:
    mounted = [file.path for file in facts.files if file.mounted]
    if not mounted:
        return ok("process-mounts")
    names = ", ".join(mounted)
    if facts.platform == "kubernetes":
        message = f"Mounted as a single file (subPath), which Kubernetes never updates: {names}."
        return _warn("process-mounts", message, "Mount the folder without subPath; until then an edit needs a restart.")
    message = f"Mounted as a single file, so that a file which replaces it outside is not seen here: {names}."
    return _warn(
        "process-mounts", message, "Mount its folder instead, write into the file in place, or restart after an edit."
    )


def _environment(facts: ProcessFacts, *, unreached: bool) -> Finding:
    """Judge the variables: those that are used may lead elsewhere, and those that are ignored may be why a service is not reached."""
    used = [name for name, trusts in facts.services.items() if trusts]
    aws = [name for name in AWS_ADDRESSES if name in facts.variables]
    if aws and used:
        message = f"{_are(aws)} used by the stores with trust_env: true, so that another service may get the tokens."
        return _warn("process-environment", message, "Unset it unless that service is meant, or set trust_env: false.")
    others = [name for name, trusts in facts.services.items() if not trusts]
    general = [name for name in (*PROXIES, *AUTHORITIES) if name in facts.variables and others]
    service = [*aws, *(name for name in VAULT_SETTINGS if name in facts.variables)]
    messages, remedies = [], []
    if general:
        messages.append(f"{_are(general)} ignored by {', '.join(others)}, since trust_env is false there.")
        remedies.append("Where calls must take that way, set proxy or ca_file beside the address, or trust_env: true.")
    if service:
        messages.append(f"{_are(service)} ignored: the configuration names the service and the login.")
        remedies.append("Check that the configuration names the service that is meant.")
    if not messages:
        return ok("process-environment")
    # Where everything is reached, nothing is missing.
    return (
        _warn("process-environment", " ".join(messages), " ".join(remedies))
        if unreached
        else ok("process-environment", message=" ".join(messages))
    )


def _are(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set, and"


def _listen(facts: ProcessFacts) -> Finding:
    if not facts.platform or not _is_loopback(facts.listen):
        return ok("process-listen", message=f"The web server of run listens on {facts.listen}.")
    message = f"The web server of run listens on {facts.listen}, which nothing outside this container reaches."
    remedy = "Set PAGE_TOKEN_SYNC_LISTEN=0.0.0.0:8087, as the image does, or web.listen."
    return _warn("process-listen", message, remedy)


def _is_loopback(listen: str) -> bool:
    host, _ = host_and_port(listen)
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _state(state: StateFacts) -> Finding:
    if not state.problem and state.warning:
        remedy = "Check whose file it is. The next cycle of this instance replaces it, unless it is another instance's."
        return _warn("process-state", state.warning, remedy)
    if not state.problem:
        return ok("process-state", message=f"{state.path} can be written.")
    remedy = "Let this program's user write to the folder of state.file, or mount a volume there."
    return Finding("process-state", "", "fail", f"{state.path} cannot be written: {state.problem}.", "operator", remedy)


def _credentials(facts: ProcessFacts) -> Iterator[Finding]:
    for key, why in facts.unreadable.items():
        remedy = f"Put the credential where {key} points."
        yield Finding("process-credentials", "", "fail", f"{key} cannot be read: {why}.", "operator", remedy)
    if not facts.unreadable and facts.credentials:
        yield ok("process-credentials")


def _warn(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, "", "warn", message, "operator", remedy)
