"""What a cycle asks of Graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sync.core.memory.quota import Pool
from sync.core.model import Ask, Fetched, Page, Probe, SourceError, SystemUserToken, TokenFacts
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
    def warnings(self) -> Sequence[str]:
        """Sentences that an operator should see once per cycle, such as that Graph served another version."""
        ...

    @property
    def skew(self) -> timedelta:
        """How far Meta's clock is ahead of this machine's, as far as this cycle's answers told; nothing where none did."""
        ...

    @property
    def short_lists(self) -> frozenset[str]:
        """Return the system users whose list of Pages was read whole, and showed fewer than four fifths of theirs."""
        ...

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Each of Meta's quotas as it was told last, by a name of ours; to be handed to the next cycle's source."""
        ...

    def user_tokens(self) -> Mapping[str, SystemUserToken]:
        """Judge each system user's token, by the system user's name; every configured one is in the answer.

        Never raises: a credential that could not be read, an app that is refused and a Graph that is down are verdicts.
        """
        ...

    def read(
        self, pages: Sequence[Page], *, individually: frozenset[str] = frozenset(), by_id: frozenset[str] = frozenset()
    ) -> Mapping[str, Fetched | SourceError]:
        """Get each Page's token from its system user's token, by the Page's name; every Page asked for is in the answer.

        Calls ``parents`` itself where that has not been done. What a listing does not show is asked for by id; an empty
        listing is no proof of anything. A fetched token is a string still to be verified. ``alone`` names the Pages that
        are read by a request each, so that neither a list nor a batch speaks for them; ``by_id`` those for which no list speaks.
        """
        ...

    def debug(self, app: str, asks: Sequence[Ask]) -> Mapping[Secret, TokenFacts | SourceError]:
        """Have Meta say what each token is, asked with the app's own token, the first ones first.

        What the app's quota leaves no room for now is not asked, and is not in the answer.
        """
        ...

    def probe(self, app: str, pages: Mapping[Secret, str]) -> Mapping[Secret, Probe]:
        """Ask with each Page token itself whether it is alive: ``GET /me``, on the quota of its own Page.

        ``pages`` gives the id of the Page that each token should be of. Every token is in the answer.
        """
        ...

    def exchange(self, system_user: str) -> Secret | SourceError:
        """Get a new token in exchange for a system user's, which works on until its own end.

        What is had is a string that is still to be judged. Asked twice it gives two, and one that is lost does no harm.
        """
        ...
