"""The base of every kind of store; the rest of the configuration uses nothing else of a kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from sync.config.errors import KeyPath
from sync.config.schema.types import ConfigModel, PositiveDuration
from sync.core.marks import to_map
from sync.core.model import Marks
from sync.core.payload import PLACEHOLDERS, fill, fixed_part

MARKS = len(to_map(Marks(instance="", page_id="", app_id="", fingerprint="")))
"""The number of marks that a secret may have in addition to its labels."""

PLACEHOLDERS_TEXT = "Placeholders: {name} {id} {app} {app_id} {system_user} {instance}; {{ is a brace."
TYPE_TEXT = "The kind of store."
Timeout = Annotated[
    PositiveDuration,
    Field(
        description="The timeout of one whole call, including a slow answer. A store that timed out is not called again in that cycle."
    ),
]


class Fault(NamedTuple):
    """A value that the store would refuse: its path inside the store's entry, and the code, message and remedy of the error."""

    path: KeyPath
    code: str
    message: str
    remedy: str


class StoreConfig(ConfigModel):
    """One kind of store: its keys, its address and its limits, which are checked before anything is sent.

    Each kind has a ``type``, a Literal of one word, and a ``timeout``.
    """

    template_key: ClassVar[str] = "name"
    """The key of the template of a secret's path or name."""
    holds_text: ClassVar[bool] = True
    """Whether a secret may be one text instead of a JSON object."""
    example: ClassVar[tuple[str, Mapping[str, Any]]]
    """Its entry in config.example.yaml: the name, and the keys that are not comments there."""

    @property
    def template(self) -> str:
        """The template of a secret's path or name."""
        template: str = getattr(self, self.template_key)
        return template

    @abstractmethod
    def root(self) -> tuple[str, ...]:
        """Return the address of all secrets of the store: two stores with the same root have the same secrets.

        A path is appended to the last element.
        """

    def faults(self) -> Iterable[Fault]:
        """Return the errors in the keys of the store itself."""
        return ()

    def label_faults(self, labels: Mapping[str, str]) -> Iterable[tuple[str | None, str]]:  # noqa: ARG002 - for kinds with limits
        """Return each label that the store would refuse, with what is wrong; None stands for their number."""
        return ()

    def path_fault(self, path: str) -> str | None:  # noqa: ARG002 - for kinds with limits
        """Return why the store would refuse the path of a Page's secret; None if it would not."""
        return None

    def warnings(self, paths: Sequence[str]) -> Iterable[str]:  # noqa: ARG002 - for kinds with something to warn about
        """Return sentences about the paths of all Pages' secrets, to show at each start."""
        return ()

    def contains(self, file: Path) -> bool:  # noqa: ARG002 - for kinds on this machine
        """Check whether a file is inside the store."""
        return False

    def listed_prefix(self, instance: str) -> str:
        """Return what the paths of an instance's secrets begin with: no others are listed."""
        return fixed_part(self.template, {"instance": instance})

    def filled(self) -> str:
        """Return the template with a letter for every placeholder."""
        return fill(self.template, dict.fromkeys(PLACEHOLDERS, "x"))


def target(root: tuple[str, ...], path: str) -> tuple[str, ...]:
    """Return the address of one secret, from the ``root`` of its store and its path."""
    return (*root[:-1], root[-1] + path)


def below(root: tuple[str, ...], other: tuple[str, ...]) -> str | None:
    """Return the path at which the root of another store lies in the store at ``root``, "" for the same root; None elsewhere."""
    (*service, start), (*same, inner) = root, other
    return inner.removeprefix(start) if service == same and inner.startswith(start) else None


def leads_into(root: tuple[str, ...], path: str, other: tuple[str, ...]) -> bool:
    """Check whether a path in the store at ``root`` is inside the root of another store, which lies in a folder of it."""
    folder = below(root, other)
    return bool(folder) and path.startswith(folder or "")
