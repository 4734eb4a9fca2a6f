"""The one value that grows through a cycle: what was read, then what was asked and answered, then what is known of each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.core.memory.memory import Judged, Memory, Rhythm, answered, token_id
from sync.core.memory.pace import is_plentiful
from sync.core.memory.quota import QuotaKey
from sync.core.model import Answers, AppToken, Content, Fetched, GraphErrorFacts, Key, Page, Probe, Stored, TokenFacts
from sync.core.plan.observation import Observation, needs_verdict, stored_token
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class _StoredTokens:
    """The tokens in the targets that are the instance's, with what holds them, and from what they were found."""

    pages: Sequence[Page]
    current: Mapping[Key, Content]
    tokens: Mapping[Key, tuple[Stored, Secret]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(Observation):
    """An observation in the making, with all that decides what is asked and what is remembered.

    Reading fills in the first group. ``now`` is when all was read. ``force_verify``: a person selected these Pages, so their
    tokens are due, and the memory of other Pages stays as it is. ``writes`` False: the plan will not be carried out.
    ``individually`` names the Pages that were read by a request each, ``skipped`` the alarmed ones that were not read,
    ``listed`` those of the alarmed ones that the list of Pages shows.

    Asking fills in the second group: ``asked`` are the tokens that debug_token was to be asked about, ``answers`` what it
    answered, and ``probes`` how Graph accepted stored tokens themselves. ``resolve`` fills in the rest of the observation.
    """

    memory: Memory
    rhythm: Rhythm
    now: datetime
    force_verify: bool = False
    writes: bool = True
    individually: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()

    asked: frozenset[AppToken] = frozenset()
    answers: Answers = field(default_factory=dict)
    probes: Mapping[AppToken, Probe] = field(default_factory=dict)
    probe_errors: Mapping[AppToken, GraphErrorFacts] = field(default_factory=dict)

    _found: _StoredTokens | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Found once in a cycle: each rule for what is due looks at the stored tokens, and asking replaces the value often.
        if self._found is None or self._found.pages is not self.pages or self._found.current is not self.current:
            found = {
                key: at for page in self.pages for key in page.targets if (at := self._find(page, key)) is not None
            }
            object.__setattr__(self, "_found", _StoredTokens(self.pages, self.current, found))

    def _find(self, page: Page, key: Key) -> tuple[Stored, Secret] | None:
        content = self.current[key]
        if not isinstance(content, Stored) or not needs_verdict(page, content, self.instance):
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
        """Return the tokens in those targets of a Page that are the instance's, with what holds them."""
        tokens = self._found.tokens if self._found is not None else {}
        return (tokens[key] for key in page.targets if key in tokens)

    def tokens(self) -> Iterator[tuple[Page, Secret]]:
        """Return every token that is judged, some of them several times: the fetched ones and the stored ones."""
        for page in self.pages:
            candidate = self.candidate(page)
            if candidate is not None:
                yield page, candidate
            for _, token in self.stored(page):
                yield page, token

    def remembered(self, page: Page, token: Secret) -> Judged | None:
        """Return what is remembered of a token, with the probe of this cycle and without its answers."""
        judged = self.memory.judged.get(token_id(page.app_id, token))
        probe = self.probes.get((page.app, token))
        if judged is None or probe is None:
            return judged
        return judged.with_probe(probe, self.now, self.probe_errors.get((page.app, token)))

    def judged(self, page: Page, token: Secret) -> Judged | None:
        """Return what is known of a token, with the answer of this cycle if there is one."""
        remembered, answer = self.remembered(page, token), self.answers.get((page.app, token))
        if not isinstance(answer, TokenFacts):
            return remembered
        user_token, stale_after = self.system_user_fingerprint(page), self.rhythm.stale_after
        return answered(remembered, answer, system_user_fingerprint=user_token, stale_after=stale_after)

    def fresh(self, page: Page, token: Secret) -> TokenFacts | None:
        """Return the facts that are known of a token where they still count."""
        judged = self.judged(page, token)
        if judged is None:
            return None
        # An answer of this cycle came after ``now``, which is when all was read.
        now = judged.facts.asked_at if judged.facts is self.answers.get((page.app, token)) else self.now
        return judged.counting(now=now, stale_after=self.rhythm.stale_after)

    def plentiful(self, page: Page) -> bool:
        """Check whether less than half of the quota of the Page's app was in use when the cycle began."""
        return is_plentiful(self.memory.pools.get(QuotaKey(page.app_id)), self.now)
