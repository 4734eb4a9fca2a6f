"""The values that tests of the judgement start from: one Page, one valid token, and one secret that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.core.judge.decide import Action, Candidate, Current, decide
from sync.core.judge.verify import verify
from sync.core.model import NEVER, Checks, Content, Key, Marks, Page, Stored, StoreError, TokenFacts, Verdict
from sync.core.payload import Payload, PayloadTemplate
from sync.core.secret import Secret

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
INSTANCE = "acme-prod"
APP_ID, PAGE_ID, USER_ID = "123456789012345", "101010101010101", "777"
USER_TOKEN = Secret("EAAparent2parent2parent2")
USER_TOKEN_FINGERPRINT = USER_TOKEN.fingerprint
KEY = Key("vault", "meta/pages/berlin")
WEEK = timedelta(days=7)
FETCHED, OTHER = Secret("EAAfetched0fetched0fetched0"), Secret("EAAstored1stored1stored1stored1")
DEFAULT_TEMPLATE = {"access_token": "{token}", "page_id": "{id}", "app_id": "{app_id}"}
STORE_DOWN = StoreError("unreachable", "Nobody listens.", "Start it.", whole=True)


def template(fields: Mapping[str, str] | str = DEFAULT_TEMPLATE) -> PayloadTemplate:
    """Make a payload template of the Page berlin."""
    return PayloadTemplate.parse(fields, {"id": PAGE_ID, "app_id": APP_ID, "name": "berlin"})


def page(**changes: Any) -> Page:
    """Make the Page berlin."""
    whole = Page(PAGE_ID, "berlin", "main", "messenger", APP_ID, (KEY,), template())
    return replace(whole, **changes)


def facts(**changes: Any) -> TokenFacts:
    """Make the facts of a valid Page token of berlin."""
    good = TokenFacts(
        asked_at=NOW - timedelta(seconds=5),
        is_valid=True,
        type="PAGE",
        app_id=APP_ID,
        profile_id=PAGE_ID,
        user_id=USER_ID,
        scopes=frozenset({"pages_messaging"}),
        expires_at=NEVER,
        data_access_expires_at=NEVER,
    )
    return replace(good, **changes)


def fetched(token: Secret = FETCHED, *, checks: Checks | None = None, **changes: Any) -> Candidate:
    """Make a fetched token whose facts are ``facts(**changes)``."""
    verdict = verify(facts(**changes), page=page(checks=checks or Checks()), now=NOW)
    return Candidate(token, verdict, system_user_fingerprint=USER_TOKEN_FINGERPRINT, system_user_id=USER_ID)


def judged(*, checks: Checks | None = None, **changes: Any) -> Verdict:
    """Judge a stored token whose facts are ``facts(**changes)``."""
    return verify(facts(**changes), page=page(checks=checks or Checks()), now=NOW, stored=True)


def marks(token: Secret = FETCHED, **changes: Any) -> Marks:
    """Make the marks of this instance's secret that holds ``token``."""
    whole = Marks(
        INSTANCE, PAGE_ID, APP_ID, token.fingerprint, USER_ID, USER_TOKEN_FINGERPRINT, "2026-11-24T00:00:00Z", "created"
    )
    return replace(whole, **changes)


def payload(token: Secret = FETCHED, **more: Any) -> Payload:
    """Make the payload of the default template, with further keys."""
    return Payload({**more, "access_token": token.reveal(), "page_id": PAGE_ID, "app_id": APP_ID})


def stored(token: Secret = FETCHED, **changes: Any) -> Stored:
    """Make this instance's secret that holds ``token``, version 3."""
    return replace(Stored(payload(token), "3", marks(token)), **changes)


def current(content: Content, verdict: Verdict | None = None, of: Page | None = None) -> Current:
    """Make what a store holds, with the token found in it as a cycle finds it; unknown unless a verdict is given."""
    if not isinstance(content, Stored):
        return Current(content)
    fingerprint = content.marks.fingerprint if content.marks else None
    token = (of or page()).payload.token_in(content.payload, marked=fingerprint)
    return Current(content, token, verdict) if verdict else Current(content, token)


def decided(candidate: Candidate, there: Current, of: Page | None = None) -> Action:
    """Decide about the secret of berlin."""
    return decide(page=of or page(), key=KEY, instance=INSTANCE, candidate=candidate, current=there, now=NOW)
