"""What was read in a cycle beside what is remembered: the ground on which it is decided what to ask, and what to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.core.memory.memory import Judged, Memory, Rhythm, counting, token_id
from sync.core.model import Absent, Fetched, Key, Page, SourceError, Stored, StoreError, SystemUserToken, TokenFacts
from sync.core.plan.plan import is_to_be_judged, stored_token
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Scene:
    """One cycle's readings. ``fetched`` is by the Page's name.

    ``insist``: a person asked for these Pages, so they are due. ``writes`` False: nothing will be repaired, whatever is found.
    """

    pages: Sequence[Page]
    instance: str
    user_tokens: Mapping[str, SystemUserToken]
    fetched: Mapping[str, Fetched | SourceError]
    current: Mapping[Key, Stored | Absent | StoreError]
    memory: Memory
    rhythm: Rhythm
    now: datetime
    force_verify: bool = False
    writes: bool = True
    _found: Mapping[Key, tuple[Stored, Secret]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Found once, since it is asked for over and over.
        found = {key: at for page in self.pages for key in page.targets if (at := self._look(page, key)) is not None}
        object.__setattr__(self, "_found", found)

    def _look(self, page: Page, key: Key) -> tuple[Stored, Secret] | None:
        content = self.current[key]
        if not isinstance(content, Stored) or not is_to_be_judged(page, content, self.instance):
            return None
        token = stored_token(page, content)
        return (content, token) if token is not None else None

    @property
    def names(self) -> frozenset[str]:
        """The Pages' names."""
        return frozenset(page.name for page in self.pages)

    def candidate(self, page: Page) -> Secret | None:
        """Return the token that was fetched for a Page."""
        fetched = self.fetched.get(page.name)
        return fetched.token if isinstance(fetched, Fetched) else None

    def stored(self, page: Page) -> Iterator[tuple[Stored, Secret]]:
        """Return the tokens at those places of a Page that are ours, with what holds them."""
        return (self._found[key] for key in page.targets if key in self._found)

    def tokens(self) -> Iterator[tuple[Page, Secret]]:
        """Return every token that is judged, some of them several times: the fetched ones, and the stored ones that are ours."""
        for page in self.pages:
            candidate = self.candidate(page)
            if candidate is not None:
                yield page, candidate
            for _, token in self.stored(page):
                yield page, token

    def judged(self, page: Page, token: Secret) -> Judged | None:
        """Return what is remembered of a token."""
        return self.memory.judged.get(token_id(page.app_id, token))

    def counting(self, page: Page, token: Secret) -> TokenFacts | None:
        """Return what is remembered of a token where it still counts."""
        return counting(self.judged(page, token), now=self.now, rhythm=self.rhythm)

    def system_user_fingerprint(self, page: Page) -> str | None:
        """Return the fingerprint of the token that a Page's token is fetched with; None where it could not be read."""
        user_token = self.user_tokens.get(page.system_user)
        return user_token.token.fingerprint if user_token and user_token.token else None
