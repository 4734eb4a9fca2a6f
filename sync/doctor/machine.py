"""Look at this process and its surroundings; what is found is judged in ``process``."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from sync.config.errors import path_text
from sync.config.listen import LISTEN_VARIABLE
from sync.config.load import Config
from sync.config.resolve.check import needed_files
from sync.config.schema.network import Connection
from sync.config.schema.references import EnvReference, FileReference, Reference, models_in
from sync.config.source import is_file
from sync.core.secret import CredentialError, Secret
from sync.doctor.process import (
    AUTHORITIES,
    AWS_ADDRESSES,
    PROXIES,
    VAULT_SETTINGS,
    FileFacts,
    FileUse,
    ProcessFacts,
    StateFacts,
)

ReadCredential = Callable[[Reference], Secret | CredentialError]

_MARKERS = ("/.dockerenv", "/run/.containerenv")
_OCTAL = re.compile(r"\\([0-7]{3})")
_CONTAINER_VARIABLES = ("container", "ECS_CONTAINER_METADATA_URI_V4", "KUBERNETES_SERVICE_HOST")


def process_facts(
    config: Config,
    read: ReadCredential,
    *,
    state_warning: str = "",
    environment: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> ProcessFacts:
    """Find out what there is to judge about this process.

    ``state_warning`` is why the state file is not used; ``root`` is where the system's own files are looked for.
    """
    others = dict(_other_credentials(config))
    failed = {key: found for key, reference in others.items() if isinstance(found := read(reference), CredentialError)}
    return ProcessFacts(
        user=os.geteuid(),
        platform=_platform(environment, root),
        listen=environment.get(LISTEN_VARIABLE) or config.settings.web.listen,
        warnings=config.warnings,
        files=tuple(_files(config, _mounted(root))),
        services=dict(_services(config)),
        variables=_variables(config, environment),
        state=_state(config.settings.state.file, state_warning) if config.settings.state is not None else None,
        credentials=len(others),
        unreadable={key: str(error) for key, error in failed.items()},
    )


def _platform(environment: Mapping[str, str], root: Path) -> Literal["", "container", "kubernetes"]:
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    marked = any((root / marker.lstrip("/")).exists() for marker in _MARKERS)
    return "container" if marked or any(name in environment for name in _CONTAINER_VARIABLES) else ""


def _files(config: Config, mounted: frozenset[str]) -> Iterator[FileFacts]:
    settings, base = config.settings, config.base
    credentials = {
        base / part.file
        for _, part in models_in(settings, skip=("pages", "defaults"))
        if isinstance(part, FileReference)
    }
    configuration = [path for path in config.files if is_file(path)]
    for path in dict.fromkeys((*configuration, *needed_files(settings, base))):
        use: FileUse = (
            "credential" if path in credentials else "configuration" if path in configuration else "certificate"
        )
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            mode = None
        yield FileFacts(str(path), use, mode, os.path.realpath(path) in mounted)


def _mounted(root: Path) -> frozenset[str]:
    """Return every mount point; the kernel writes blanks in them as octal numbers."""
    try:
        lines = (root / "proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    points = (fields[4] for fields in map(str.split, lines) if len(fields) > 4)  # noqa: PLR2004 - proc_pid_mountinfo(5)
    return frozenset(_OCTAL.sub(lambda found: chr(int(found[1], 8)), point) for point in points)


def _services(config: Config) -> Iterator[tuple[str, bool]]:
    for path, part in models_in(config.settings, skip=("pages", "defaults")):
        if isinstance(part, Connection):
            yield path_text(path), part.trust_env


def _variables(config: Config, environment: Mapping[str, str]) -> frozenset[str]:
    """Return the variables that are set, that would lead calls elsewhere in other programs, and that no reference names."""
    settings = config.settings
    named = {part.env for _, part in models_in(settings, skip=("pages", "defaults")) if isinstance(part, EnvReference)}
    kinds = {store.type for store in settings.stores.values()}
    known = (
        *PROXIES,
        *AUTHORITIES,
        *(AWS_ADDRESSES if "aws-secrets-manager" in kinds else ()),
        *(VAULT_SETTINGS if "vault" in kinds else ()),
    )
    found = {name for name in known if environment.get(name) or environment.get(name.lower())}
    return frozenset(found - named)


def _state(file: Path, warning: str) -> StateFacts:
    """Find out whether the file could be replaced, without a write: its folder, or the first one above that exists."""
    folder = next((path for path in file.parents if path.exists()), file.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        cause = errno.EROFS if _is_read_only(folder) else errno.EACCES
        return StateFacts(str(file), f"{folder}: {os.strerror(cause)}", warning)
    return StateFacts(str(file), warning=warning)


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


_EXAMINED = frozenset({"apps", "graph", "system_users", "stores"})
"""Sections whose credentials other checks read."""


def _other_credentials(config: Config) -> Iterator[tuple[str, Reference]]:
    """Yield the credentials that no other check reads, by their keys."""
    for path, part in models_in(config.settings, skip=("pages", "defaults")):
        if isinstance(part, EnvReference | FileReference) and path[0] not in _EXAMINED:
            yield path_text(path), part
