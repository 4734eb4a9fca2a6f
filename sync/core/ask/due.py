"""Which tokens debug_token is asked about now, and in which order: a table, row by row; the first match wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Literal

from sync.core.ask.cases import TokenCase, look
from sync.core.ask.inputs import Inputs
from sync.core.model import AppToken, Ask, Page, SourceError, State
from sync.core.secret import Secret

GRACE = timedelta(seconds=30)
"""A cycle that begins this much early leaves no token out."""
_DOUBTFUL = timedelta(hours=3)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Rank(IntEnum):
    """Why a token is asked about, the most pressing first."""

    NO_SECRET = 1
    KNOWN_BAD = 2
    RUNS_OUT = 3
    REFUSED = 4
    NEW = 5
    DIFFERS = 6
    EXPIRING = 7
    DUE = 8
    AGAIN = 9
    OPTIONAL = 10


URGENT = (Rank.NO_SECRET, Rank.KNOWN_BAD)
"""A repair waits for these answers, so that they may use the reserve of the quota."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule: which role of token it is for, when it applies, and the rank that it gives; None asks nothing now."""

    role: Literal["stored", "fetched", "either"]
    rank: Rank | None
    reason: str
    applies: Callable[[TokenCase], bool]


# Among the reasons that are not in the sentences: an invalid token that is about to be replaced is asked about once more,
# since a mass of them needs a second answer. Somebody may repair all other broken ones at Meta, so these are asked about as
# often as the quota allows, but after all that is due: nothing that is asked hourly makes an answer run out. Graph may
# return another token with each read, and all of them work: while the stored one is good, one such token an hour is enough.
# A token that is written is proven once more just before the write.
TABLE: Sequence[Row] = (
    Row(
        "stored",
        Rank.KNOWN_BAD,
        "Graph refused the token after debug_token answered, and a replacement is ready.",
        lambda case: case.was_refused and case.may_be_replaced,
    ),
    Row(
        "stored",
        Rank.KNOWN_BAD,
        "debug_token called the token invalid once, and a replacement is ready.",
        lambda case: case.is_invalid_once and case.may_be_replaced,
    ),
    Row("stored", Rank.REFUSED, "Graph refused the token after debug_token answered.", lambda case: case.was_refused),
    Row("stored", Rank.RUNS_OUT, "The answer of debug_token is about to be too old.", lambda case: case.runs_out),
    Row(
        "stored",
        Rank.REFUSED,
        "Graph refused the Page to its system user, and the stored token is not known to be broken.",
        lambda case: case.of.read_was_refused and case.token not in case.of.broken and case.may_repeat,
    ),
    Row(
        "stored",
        Rank.REFUSED,
        "Graph refuses the token, though debug_token called it valid.",
        lambda case: case.is_doubtful and case.may_repeat,
    ),
    Row(
        "stored",
        Rank.DIFFERS,
        "A create was interrupted, and debug_token's answer does not say whose the token is.",
        lambda case: case.lacks_user_id and case.may_repeat,
    ),
    Row(
        "stored",
        Rank.DIFFERS,
        "Another token was fetched, and nothing is known of the stored one.",
        lambda case: case.replaces_unknown,
    ),
    Row(
        "fetched",
        Rank.NO_SECRET,
        "A target holds no token, and nothing is known of the fetched one.",
        lambda case: case.of.lacks_token and case.of.writes and case.facts is None,
    ),
    Row(
        "fetched",
        Rank.KNOWN_BAD,
        "A target holds a broken token, and nothing is known of the fetched one.",
        lambda case: case.heals and case.facts is None,
    ),
    Row(
        "fetched",
        Rank.AGAIN,
        "A target holds no token or a broken one, and the fetched one failed the checks.",
        lambda case: case.repairs and case.of.unfit and case.may_repeat,
    ),
    Row(
        "fetched",
        None,
        "Another token is stored, and the fetched one is known.",
        lambda case: case.differs and case.facts is not None and not case.of.inputs.force_verify,
    ),
    Row(
        "fetched",
        Rank.NEW,
        "Another token is stored, and the system user's token has changed or a person selected the Page.",
        lambda case: case.differs and (case.of.system_user_token_changed or case.of.inputs.force_verify),
    ),
    Row(
        "fetched",
        None,
        "Another token is stored, and one that differs from it was judged within the hour.",
        lambda case: case.differs and case.of.tried_within_hour,
    ),
    Row(
        "fetched",
        Rank.OPTIONAL,
        "Another token is stored, of which the facts are known.",
        lambda case: case.differs and case.of.stored_are_known,
    ),
    Row("fetched", Rank.NEW, "Another token is stored, of which nothing is known.", lambda case: case.differs),
    Row("either", Rank.DUE, "A person selected the Page.", lambda case: case.of.inputs.force_verify),
    Row("either", Rank.DUE, "Nothing is known of the token.", lambda case: case.facts is None),
    Row(
        "either",
        Rank.NEW,
        "The system user's token has changed since debug_token answered.",
        lambda case: case.has_new_system_user_token,
    ),
    Row(
        "either",
        Rank.EXPIRING,
        "The token expires soon, and debug_token answered an hour ago or more.",
        lambda case: case.expires_soon and not case.within_hour,
    ),
    Row("either", Rank.DUE, "The verify interval has passed.", lambda case: case.has_its_turn),
    Row(
        "stored",
        Rank.AGAIN,
        "The token is broken.",
        lambda case: case.token in case.of.broken & case.of.writable and case.may_repeat,
    ),
    Row(
        "either",
        Rank.AGAIN,
        "The token fails the checks, and the quota is plentiful.",
        lambda case: case.of.unfit and case.token == case.of.candidate and case.of.plentiful,
    ),
)
"""The first row that applies to a token gives its rank; a token to which none applies is not asked about now."""


def asks(inputs: Inputs) -> Mapping[str, Sequence[Ask]]:
    """Return what debug_token is asked in this cycle, by the app's name, the most pressing first and then the oldest answer.

    Repairs come first, then the answers that run out, then the rest. In each of the three the system users of an app take
    turns, so that however many tokens one of them has to ask about, the others have their share. Empty where nothing is due.
    """
    best: dict[AppToken, tuple[Rank, datetime, str]] = {}
    for page in inputs.pages:
        for token, rank in ranks(inputs, page):
            judged = inputs.judged(page, token)
            order = (rank, judged.facts.asked_at if judged else _EPOCH, page.system_user)
            key = (page.app, token)
            best[key] = min(best.get(key, order), order)
    turns: Counter[tuple[str, int, str]] = Counter()
    ordered: list[tuple[int, int, Rank, datetime, AppToken]] = []
    for key in sorted(best, key=lambda key: (*best[key], key[1].fingerprint)):
        rank, asked_at, system_user = best[key]
        stage = max(rank, Rank.KNOWN_BAD) if rank <= Rank.RUNS_OUT else Rank.REFUSED
        turn = turns[key[0], stage, system_user]
        turns[key[0], stage, system_user] += 1
        ordered.append((stage, turn, rank, asked_at, key))
    found: dict[str, list[Ask]] = {}
    for *_, rank, _, (app, token) in sorted(ordered, key=lambda one: one[:4]):
        found.setdefault(app, []).append(Ask(token, urgent=rank in URGENT))
    return found


def ranks(inputs: Inputs, page: Page) -> Iterator[tuple[Secret, Rank]]:
    """Return the tokens of a Page that are asked about, each with its rank by the table; a token in both roles twice."""
    of = look(inputs, page)
    roles = [("stored", token) for _, token in of.stored]
    if of.candidate is not None:
        roles.append(("fetched", of.candidate))
    for role, token in roles:
        case = TokenCase(of, token, *of.known[token])
        row = next((row for row in TABLE if row.role in (role, "either") and row.applies(case)), None)
        if row is not None and row.rank is not None:
            yield token, row.rank


def probes(
    inputs: Inputs, every: timedelta, *, exclude: Collection[AppToken] = ()
) -> Mapping[str, Mapping[Secret, str]]:
    """Return the stored tokens that Graph is to be called with, by the app's name, each with the id of the Page that it is of.

    That is the Page that debug_token names: a token may be stored for another Page, or for several, and Graph answers alike.
    One that debug_token names no Page for is of a wrong type, which no call changes.

    Those in ``exclude`` are asked about, and need no call, unless Graph refuses them though debug_token calls them valid:
    only a call shows that this is over. It is made every three hours, since each refusal voids the answer before it. A
    token is called at once where Graph refused the Page itself: what took the Page from its system user may have ended the
    stored token too.
    """
    found: dict[str, dict[Secret, str]] = {}
    read_at = inputs.memory.read_at
    for page in inputs.pages:
        for _, token in inputs.stored(page):
            key, judged = (page.app, token), inputs.judged(page, token)
            if judged is None or not judged.facts.is_valid or key in inputs.probes:
                continue
            page_id = judged.facts.profile_id
            if page_id is None:
                continue
            if judged.probe == "refused" and judged.probed_at is not None:
                since, wait = judged.probed_at, max(every, _DOUBTFUL)
            elif key in exclude:
                continue
            elif page.name not in inputs.skipped and _is_refused(inputs, page):
                since, wait = judged.confirmed_at, timedelta(0)
            else:
                # What was answered in the last cycle counts from its beginning: a long cycle leaves no token out of the next.
                since, wait = judged.confirmed_at if read_at is None else min(judged.confirmed_at, read_at), every
            if not timedelta(0) <= inputs.now - since < wait - GRACE:
                found.setdefault(page.app, {})[token] = page_id
    return found


def verify_interval(wanted: timedelta, *, tokens: int, calls_per_hour: float) -> timedelta:
    """Return the interval at which ``tokens`` can be judged: the wanted one, or as long as their number makes it.

    A quarter of the calls is kept for repairs and for new tokens.
    """
    return max(wanted, timedelta(hours=tokens / (0.75 * calls_per_hour)))


def _is_refused(inputs: Inputs, page: Page) -> bool:
    """Check whether Graph refused the Page itself to its system user."""
    fetched = inputs.fetched.get(page.name)
    return isinstance(fetched, SourceError) and fetched.state is State.INVALID
