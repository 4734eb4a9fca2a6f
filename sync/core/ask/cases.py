"""What decides whether a token is asked about: what is known of it, and what depends on it in the targets of its Page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sync.core.ask.inputs import Inputs
from sync.core.ask.routes import passed
from sync.core.judge.verify import expires_soon, verify
from sync.core.memory.memory import Judged
from sync.core.model import Absent, Key, Page, SourceError, State, Stored, TokenFacts
from sync.core.plan.observation import needs_verdict, stored_token
from sync.core.plan.served import is_broken
from sync.core.secret import Secret

_HOUR = timedelta(hours=1)
_RUNS_OUT = 0.75
"""The share of its time after which an answer is replaced before all but repairs; half of it is the verify interval."""
_TOKEN_REFUSED = 190
_Known = tuple[Judged | None, TokenFacts | None]
"""What is known of a token, and its facts where they still count."""


@dataclass(frozen=True, slots=True)
class PageCase:
    """What the rules look at for one Page.

    ``known`` is by token. ``lacks_token``: a target of the instance's waits for a token. ``writable`` are the stored tokens
    whose target is not blocked, ``healable`` those that may be replaced, and ``broken`` those with which no application
    works. ``unfit``: the fetched token is known not to fulfil the checks, so that it repairs nothing. ``plentiful``: the
    quota allows to ask in each cycle what is otherwise asked hourly.
    """

    inputs: Inputs
    page: Page
    candidate: Secret | None
    stored: Sequence[tuple[Stored, Secret]]
    known: Mapping[Secret, _Known]
    lacks_token: bool
    writable: frozenset[Secret]
    healable: frozenset[Secret]
    broken: frozenset[Secret]
    unfit: bool
    plentiful: bool

    @property
    def writes(self) -> bool:
        """Whether a target of the Page may be written in this cycle."""
        return self.inputs.writes and not self.page.hold

    @property
    def system_user_token_changed(self) -> bool:
        """Whether a stored token was fetched with another token of the system user's than the present one."""
        present = self.inputs.system_user_fingerprint(self.page)
        marks = (content.marks for content, _ in self.stored)
        return any(mark is not None and mark.system_user_fingerprint not in (None, present) for mark in marks)

    @property
    def read_was_refused(self) -> bool:
        """Whether Graph refused the Page itself to its system user with the code of an invalid token.

        That the system user's own token is invalid is no such refusal: it says nothing of the tokens of its Pages.
        """
        fetched = self.inputs.fetched.get(self.page.name)
        return (
            isinstance(fetched, SourceError)
            and fetched.scope == "page"
            and fetched.problem.graph_code == _TOKEN_REFUSED
        )

    @property
    def tried_within_hour(self) -> bool:
        """Whether a token other than the stored one was judged for the Page within the hour."""
        tried = self.inputs.memory.tried.get(self.page.name)
        return tried is not None and timedelta(0) <= self.inputs.now - tried < _HOUR

    @property
    def stored_are_known(self) -> bool:
        """Whether the facts of all stored tokens still count."""
        return all(self.known[token][1] is not None for _, token in self.stored)


@dataclass(frozen=True, slots=True)
class TokenCase:
    """One token of a Page: ``judged`` is what is known of it, ``facts`` are None where that does not count any more."""

    of: PageCase
    token: Secret
    judged: Judged | None
    facts: TokenFacts | None

    @property
    def within_hour(self) -> bool:
        """Whether debug_token answered for the token within the hour, and the answer counts."""
        return self.facts is not None and timedelta(0) <= self.of.inputs.now - self.facts.asked_at < _HOUR

    @property
    def may_repeat(self) -> bool:
        """Whether a question that nothing new calls for may be asked: in each cycle, or hourly where the quota is scarce."""
        return self.of.plentiful or not self.within_hour

    @property
    def was_refused(self) -> bool:
        """Whether Graph refused the token itself since debug_token answered for it."""
        return self.judged is not None and self.judged.refused

    @property
    def is_doubtful(self) -> bool:
        """Whether Graph refuses the token itself, though debug_token called it valid since."""
        return self.judged is not None and self.judged.probe == "refused"

    @property
    def lacks_user_id(self) -> bool:
        """Whether an interrupted create waits to be marked for the id of the user that the token hangs on."""
        unmarked = any(content.marks is None and token == self.token for content, token in self.of.stored)
        return unmarked and self.facts is not None and self.facts.is_valid is True and self.facts.user_id is None

    @property
    def is_invalid_once(self) -> bool:
        """Whether debug_token called the token invalid, and did so once: a mass of them needs a second answer."""
        judged = self.judged
        return judged is not None and judged.facts.is_valid is False and not judged.invalid_twice

    @property
    def may_be_replaced(self) -> bool:
        """Whether a fetched token is ready to replace this stored one in this cycle if it is invalid."""
        of = self.of
        return of.candidate not in (None, self.token) and not of.unfit and of.writes and self.token in of.healable

    @property
    def repairs(self) -> bool:
        """Whether a target waits for the fetched token: it holds none, or a broken one."""
        return self.of.lacks_token or bool(self.of.broken & self.of.writable)

    @property
    def heals(self) -> bool:
        """Whether the fetched token may replace a broken one in this cycle."""
        return self.of.writes and bool(self.of.broken & self.of.healable - {self.token})

    @property
    def differs(self) -> bool:
        """Whether another token than the fetched one is stored."""
        return any(token != self.of.candidate for _, token in self.of.stored)

    @property
    def replaces_unknown(self) -> bool:
        """Whether another token was fetched than this stored one, whose facts do not count any more."""
        return self.of.candidate not in (None, self.token) and self.facts is None

    @property
    def has_new_system_user_token(self) -> bool:
        """Whether debug_token answered while the system user had another token."""
        present = self.of.inputs.system_user_fingerprint(self.of.page)
        return (
            present is not None
            and self.judged is not None
            and self.judged.system_user_fingerprint not in (None, present)
        )

    @property
    def expires_soon(self) -> bool:
        """Whether the token expires within twice the minimum life that the checks demand."""
        expires_at = self.judged.facts.expires_at if self.judged is not None else None
        return expires_soon(expires_at, self.of.page.checks, self.of.inputs.now)

    @property
    def has_its_turn(self) -> bool:
        """Whether the Page's own moment of the verify interval has passed since debug_token answered."""
        inputs, page = self.of.inputs, self.of.page
        every = inputs.rhythm.verify_every
        return self.judged is not None and passed(page.id, every, since=self.judged.facts.asked_at, now=inputs.now)

    @property
    def runs_out(self) -> bool:
        """Whether the answer will soon be too old to count."""
        if self.judged is None or self.facts is None:
            return False
        age = self.of.inputs.now - self.facts.asked_at
        return age >= _RUNS_OUT * self.judged.lasts(self.of.inputs.rhythm.stale_after)


def look(inputs: Inputs, page: Page) -> PageCase:
    """Return what the rules look at for a Page."""
    candidate, stored = inputs.candidate(page), list(inputs.stored(page))
    # Each token once, since most Pages have one in both roles.
    tokens = {token for _, token in stored} | ({candidate} if candidate is not None else set())
    known = {token: (inputs.judged(page, token), inputs.fresh(page, token)) for token in tokens}
    # What is blocked or held nobody may write, so that nothing depends on its token.
    unblocked = [(content, token) for content, token in stored if not _is_left(content)]
    return PageCase(
        inputs=inputs,
        page=page,
        candidate=candidate,
        stored=stored,
        known=known,
        lacks_token=any(_lacks_token(inputs, page, key) for key in page.targets),
        writable=frozenset(token for _, token in unblocked),
        healable=frozenset(token for content, token in unblocked if content.marks is not None),
        broken=frozenset(token for _, token in stored if _is_broken(inputs, page, known[token][0])),
        unfit=candidate is not None and _is_unfit(inputs, page, known[candidate][1]),
        plentiful=inputs.plentiful(page),
    )


def _lacks_token(inputs: Inputs, page: Page, key: Key) -> bool:
    """Check whether a target of the instance's waits for a token: it does not exist, or holds none."""
    content = inputs.current[key]
    if isinstance(content, Absent):
        return True
    if not isinstance(content, Stored) or _is_left(content) or not needs_verdict(page, content, inputs.instance):
        return False
    return content.state != "live" or stored_token(page, content) is None


def _is_left(content: Stored) -> bool:
    """Check whether a secret is blocked, or held since a rollback."""
    return content.blocked is not None or (content.marks is not None and content.marks.hold is not None)


def _is_broken(inputs: Inputs, page: Page, judged: Judged | None) -> bool:
    """Check whether no application works with a stored token, by the last answer."""
    return judged is not None and is_broken(verify(judged.facts, page=page, now=inputs.now, stored=True))


def _is_unfit(inputs: Inputs, page: Page, facts: TokenFacts | None) -> bool:
    """Check whether a fetched token is known not to fulfil the checks."""
    return facts is not None and verify(facts, page=page, now=inputs.now).state is State.INVALID
