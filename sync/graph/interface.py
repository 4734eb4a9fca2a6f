"""What a cycle needs of Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import (
    AppToken,
    Ask,
    Fetched,
    GraphErrorFacts,
    Page,
    Probe,
    SourceError,
    SystemUserToken,
    TokenFacts,
)
from sync.core.report.report import Counts
from sync.core.secret import CredentialError, Secret


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """An app's id, and its secret as it was read at the start of the cycle, or why it could not be read."""

    name: str
    id: str
    secret: Secret | CredentialError


@dataclass(frozen=True, slots=True)
class SystemUserCredentials:
    """A system user's token as it was read at the start of the cycle, or why it could not be read."""

    name: str
    app: str
    token: Secret | CredentialError


class Source(Protocol):
    """Page tokens and facts about tokens, for one cycle. Every method may be called from any thread."""

    @property
    def requests(self) -> int:
        """HTTP requests sent to Graph so far."""
        ...

    @property
    def calls(self) -> int:
        """Calls as Meta counts them: each item of a batch is one."""
        ...

    @property
    def outcomes(self) -> Counts:
        """Ended requests to Graph so far, by endpoint and outcome."""
        ...

    @property
    def calls_by_kind(self) -> Counts:
        """Calls so far by the kind of quota that they count on."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences that an operator should see once per cycle, such as that Graph served another API version."""
        ...

    @property
    def skew(self) -> timedelta:
        """How far Meta's clock is ahead of this machine's, by the answers of this cycle; zero where none had a date."""
        ...

    @property
    def short_lists(self) -> frozenset[str]:
        """The system users whose list of Pages was read to its end and showed fewer than four fifths of their Pages."""
        ...

    @property
    def pools(self) -> Mapping[QuotaKey, Pool]:
        """Each of Meta's quotas as it was last reported; to be passed to the next cycle's source."""
        ...

    @property
    def probe_errors(self) -> Mapping[AppToken, GraphErrorFacts]:
        """What Graph said when it refused tokens in ``probe``, where it said anything."""
        ...

    def user_tokens(self) -> Mapping[str, SystemUserToken]:
        """Judge each system user's token, by the system user's name; every configured one is in the answer.

        Never raises: an unreadable credential, a refused app and a Graph that is down are verdicts.
        """
        ...

    def read(
        self,
        pages: Sequence[Page],
        *,
        individually: frozenset[str] = frozenset(),
        by_id: frozenset[str] = frozenset(),
        watched: Sequence[Page] = (),
    ) -> Mapping[str, Fetched | SourceError]:
        """Return each Page's token, by the Page's name; every Page asked for is in the answer.

        Pages in ``watched`` are only looked for in the list, and are in the answer where that shows them.

        Calls ``user_tokens`` itself where that has not been done. Pages that the list of Pages does not show are read by id;
        an empty list proves nothing. A fetched token is a string that is still to be verified. ``individually`` holds the
        Pages that are read by a request each, without list or batch; ``by_id`` those that are read without the list.
        """
        ...

    def debug(self, app: str, asks: Sequence[Ask]) -> Mapping[Secret, TokenFacts | SourceError]:
        """Return the facts of each token, by ``debug_token`` with the app's own token, in the order given.

        Tokens that the app's quota has no capacity for now are not sent, and are not in the answer.
        """
        ...

    def probe(self, app: str, pages: Mapping[Secret, str]) -> Mapping[Secret, Probe]:
        """Use each Page token for ``GET /me``, on the quota of its own Page.

        ``pages`` holds the id of the Page that debug_token names for each token. Every token is in the answer.
        """
        ...

    def exchange(self, system_user: str) -> Secret | SourceError:
        """Exchange a system user's token for a new one; the old one stays valid until it expires.

        The new token is a string that is still to be judged. Two calls return two tokens, and one that is lost does no harm.
        """
        ...
