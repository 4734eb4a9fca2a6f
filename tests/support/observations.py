"""Any observation of a cycle: tokens with any facts, in secrets in any state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from sync.core.model import (
    NEVER,
    Absent,
    Checks,
    Content,
    Fetched,
    Key,
    Marks,
    Page,
    SourceError,
    State,
    Stored,
    StoreError,
    SystemUserToken,
    TokenFacts,
    Verdict,
)
from sync.core.payload import Payload
from sync.core.plan.observation import Observation
from sync.core.problems import CATALOGUE, Problem
from sync.core.secret import Secret
from tests.support.values import (
    APP_ID,
    INSTANCE,
    KEY,
    NOW,
    PAGE_ID,
    USER_ID,
    USER_TOKEN,
    USER_TOKEN_FINGERPRINT,
    WEEK,
    page,
    template,
)
from tests.support.values import facts as good

AWS = Key("aws", "meta/pages/berlin")
TOKENS = tuple(Secret(f"EAAtoken{number}{'x' * 20}") for number in range(3))

repeatable = settings(deadline=None, derandomize=True, max_examples=200)
"""The same examples on every machine, however slow."""


def mostly(right: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw the first value most of the time, and sometimes another."""
    return st.sampled_from([right] * 4 * len(others) + [*others])


def usually(first: st.SearchStrategy[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from the first four times in five; one_of would draw from each as often."""
    return st.integers(0, 4).flatmap(lambda number: first if number else other)


problems = st.sampled_from(sorted(CATALOGUE)).map(lambda code: Problem(code, "Said."))
errors = st.builds(
    SourceError,
    problems,
    st.sampled_from([State.INVALID, State.UNKNOWN]),
    st.sampled_from(["page", "system_user", "app", "graph"]),
)


GOOD = good()
ODD: Mapping[str, Sequence[Any]] = {
    "is_valid": (False, None),
    "type": ("USER", None),
    "app_id": ("9", None),
    "profile_id": ("9", None),
    "user_id": ("9", None),
    "scopes": (frozenset(), None),
    "granular_scopes": ({"pages_messaging": frozenset({"9"})},),
    "expires_at": (None, *(NOW + timedelta(days=days) for days in (-1, 0, 1, 6, 7, 8, 13, 14, 15, 900))),
    "data_access_expires_at": (None, NOW),
}
"""What Meta may say otherwise than of a good token."""

odd_fields = [{field: value} for field, values in ODD.items() for value in values]
facts = st.lists(st.sampled_from(odd_fields), max_size=2).map(
    lambda odd: replace(GOOD, **{field: value for one in odd for field, value in one.items()})
)
answers = st.one_of(st.just(GOOD), usually(facts, errors))

pages = st.builds(
    page,
    targets=st.just((KEY, AWS)),
    payload=st.sampled_from([template(), template({"t": "Bearer {token}"}), template("{token}\n")]),
    labels=st.sampled_from([{}, {"team": "crm"}]),
    checks=st.builds(
        Checks, scopes=mostly(("pages_messaging",), ()), expires=st.sampled_from([WEEK, timedelta(0), NEVER])
    ),
)
marks = st.builds(
    Marks,
    instance=mostly(INSTANCE, "other"),
    page_id=mostly(PAGE_ID, "9"),
    app_id=mostly(APP_ID, "9"),
    fingerprint=st.sampled_from([token.fingerprint for token in TOKENS]),
    system_user_id=mostly(USER_ID, "9", None),
    system_user_fingerprint=mostly(USER_TOKEN_FINGERPRINT, "earlier", None),
    written_at=mostly("2026-11-24T00:00:00Z", ""),
    hold=mostly(None, "held"),
    labels=st.sampled_from([{}, {"team": "crm"}, {"old": "label"}]),
)
wholes = st.builds(
    Stored,
    payload=st.none(),
    version=st.sampled_from(["1", "2"]),
    marks=usually(marks, st.none()),
    state=mostly("live", "deleted", "empty"),
    first=st.booleans(),
    blocked=st.sampled_from([None] * 20 + ["rotation-enabled", "replica", "scheduled-deletion"]),
)
contents = usually(wholes, st.sampled_from([Absent(), StoreError("timeout", "Slow.", "Wait.")]))
others = mostly("template", "template", "unreadable", "nothing", "raw nothing", "earlier names")


def filled(content: Content, of_page: Page, token: Secret, what: str) -> Any:
    """Return a live secret with a payload: from the Page's template, or another."""
    if not isinstance(content, Stored) or content.state != "live":
        return content
    payloads = {
        "template": of_page.payload.render(token),
        "unreadable": None,
        "nothing": Payload({}),
        "raw nothing": Payload(""),
        "earlier names": template().render(token, over=Payload({"mine": 1})),
    }
    return replace(content, payload=payloads[what])


asked = st.sampled_from([TOKENS, TOKENS, TOKENS[:2], TOKENS[1:]])
fetched = usually(st.sampled_from([Fetched(token) for token in TOKENS]), errors)
verdicts = mostly(
    Verdict(State.VALID, facts=TokenFacts(NOW, True, "SYSTEM_USER", APP_ID, user_id=USER_ID)),
    Verdict(State.UNKNOWN),
    Verdict(State.INVALID, (Problem("system-user-invalid", "Dead."),)),
)
users = st.builds(SystemUserToken, st.just("main"), st.just("messenger"), mostly(USER_TOKEN, None), verdicts)
user_tokens = usually(users, st.none())


@st.composite
def observations(draw: st.DrawFn) -> tuple[Page, Observation]:
    """Draw a Page with two secrets and everything that a cycle may have read about it."""
    of_page = draw(pages)
    user_token = draw(user_tokens)
    return of_page, Observation(
        pages=(of_page,),
        instance=INSTANCE,
        user_tokens={} if user_token is None else {"main": user_token},
        fetched={of_page.name: draw(fetched)},
        current={
            key: filled(draw(contents), of_page, draw(st.sampled_from(TOKENS)), draw(others)) for key in of_page.targets
        },
        facts={(of_page.app, token): draw(answers) for token in draw(asked)},
    )
