"""Foreign words are shown without secrets, and without power over a terminal or a log."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.core.secret import Secret
from sync.graph.scrub import scrub

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

TOKEN = "EAAGm0PX4ZCpsBAOZBtc7Kz9ZAyVhZCx1TnQ2"


@pytest.mark.parametrize(
    "text",
    [
        f"Malformed access token {TOKEN}",
        f"Malformed access token {TOKEN[:20]}...",
        f"next: https://graph.facebook.com/v25.0/me/accounts?access_token={TOKEN}&limit=25",
        f"Invalid input_token: {TOKEN}",
        f"app token 123456789012345|{TOKEN[4:31]} refused",
        f"proof {TOKEN[4:]} refused",
        f"access_token%3D{TOKEN}",
    ],
)
def test_what_looks_like_a_token_is_removed(text: str) -> None:
    """Tokens that Graph quotes, whole, in part, or in a URL, are not shown even if nobody knew them."""
    shown = scrub(text)
    assert not any(TOKEN[start : start + 12] in shown for start in range(4, len(TOKEN) - 12))
    assert "[removed]" in shown


def test_a_known_secret_is_shown_by_its_fingerprint() -> None:
    """A secret in play is recognised whatever it looks like."""
    secret = Secret("hunter two!")
    assert scrub("The token hunter two! is bad", [secret]) == f"The token [{secret.fingerprint}] is bad"


@pytest.mark.parametrize(
    "text",
    [
        "(#10) requires the pages_read_engagement permission or the 'Page Public Metadata Access' feature",
        "Any of the pages_read_user_content, pages_manage_instant_articles permission(s) must be granted",
        "(#21) Page ID 123456789012345 was migrated to page ID 5432109876543210.",
        "Error validating access token: Session has expired on Tuesday, 24-Nov-26 12:00:00 PST.",
    ],
)
def test_what_helps_a_person_stays(text: str) -> None:
    """Permissions, ids and dates are no secrets."""
    assert scrub(text) == text


def test_control_characters_do_not_pass() -> None:
    """No text forges a line, a colour, or the direction of writing."""
    assert scrub("a\nb\x1b[31mc\u202ed\u2028e\x00f\ud800g") == "a b [31mc d e f g"


def test_a_long_text_is_cut() -> None:
    """A megabyte of error is a sentence long."""
    assert len(scrub("word " * 300_000)) == 300


@calm
@given(st.text(), st.text(min_size=1))
def test_a_known_secret_is_never_shown(text: str, value: str) -> None:
    """Whatever surrounds it, a secret that is known does not survive, unless the fingerprint spells it."""
    secret = Secret(value)
    fingerprint = f"[{secret.fingerprint}]"
    shown = scrub(f"{text}{value}{text}", [secret])
    assert len(shown) <= 300
    assert value not in shown or value in fingerprint or value in text.replace(value, fingerprint) or len(value) < 16
