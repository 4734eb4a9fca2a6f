"""No secret is shown, whatever surrounds it, and no text controls a terminal or a log."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.core.redact import scrub, scrub_message, without_tokens
from sync.core.secret import Secret, fingerprint

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

META = "EAA" + "Zk3Bq9" * 20
APP = "123456789012345|0123456789abcdef0123456789abcdef"
VAULT = "hvs." + "CAESIJ" * 12
OPENBAO = "s." + "a1B2c3D4" * 3
AWS = "AKIA" + "ABCDEFGH12345678"
QUOTED = "EAAGm0PX4ZCpsBAOZBtc7Kz9ZAyVhZCx1TnQ2"


@pytest.mark.parametrize("token", [META, APP, VAULT, OPENBAO, AWS])
@pytest.mark.parametrize("around", ["{}", "token={}&x=1", '{{"access_token":"{}"}}', "https://h/?t={}#f", "({})\n"])
def test_tokens_of_every_kind_become_fingerprints(token: str, around: str) -> None:
    """A token of Meta's, Vault's, OpenBao's or AWS's is shown as its fingerprint, whatever surrounds it."""
    shown = scrub(around.format(token))

    assert token not in shown
    assert token[6:22] not in shown
    assert fingerprint(token) in shown


def test_app_tokens_in_urls_become_fingerprints() -> None:
    """An app token whose bar is percent-encoded is recognised too."""
    assert "0123456789abcdef" not in scrub(APP.replace("|", "%7C"))


@pytest.mark.parametrize(
    "text",
    [
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "01M885NEM3GVMK5ZZTWYZP4M91",
        "meta/pages/berlin",
        "101010101010101",
        "Seite für Köln",
        "9f86d081884c > 0edf72f1cf72",
    ],
)
def test_other_text_stays(text: str) -> None:
    """Checksums, cycles, paths, ids, fingerprints and names of any language are left as they are."""
    assert scrub(text) == text


@pytest.mark.parametrize(
    "forger", ["\n", "\r", "\x1b[2J", "\x9b31m", "\x00", "\u2028", "\u202e", "\udc80", "\ufeff", "\x7f"]
)
def test_unsafe_characters_become_codes(forger: str) -> None:
    """No control character, direction mark or lone surrogate reaches a terminal or a log."""
    shown = scrub(f"a{forger}b")

    assert forger[0] not in shown
    assert shown.startswith("a\\u")
    assert shown.endswith("b")
    shown.encode()


def test_line_breaks_of_own_text_stay() -> None:
    """Text of this program keeps its lines and loses its tokens."""
    assert without_tokens(f"a\n{META}\nb").count("\n") == 2
    assert META not in without_tokens(f"a\n{META}\nb")


@pytest.mark.parametrize(
    "text",
    [
        f"Malformed access token {QUOTED}",
        f"Malformed access token {QUOTED[:20]}...",
        f"next: https://graph.facebook.com/v25.0/me/accounts?access_token={QUOTED}&limit=25",
        f"Invalid input_token: {QUOTED}",
        f"app token 123456789012345|{QUOTED[4:31]} refused",
        f"proof {QUOTED[4:]} refused",
        f"access_token%3D{QUOTED}",
    ],
)
def test_what_looks_like_a_token_is_removed(text: str) -> None:
    """Tokens that Graph quotes, complete, in part, or in a URL, are not shown even if they are unknown."""
    shown = scrub_message(text)
    assert not any(QUOTED[start : start + 12] in shown for start in range(4, len(QUOTED) - 12))
    assert "[removed]" in shown


def test_a_known_secret_is_shown_by_its_fingerprint() -> None:
    """A secret in use is recognised whatever its form."""
    secret = Secret("hunter two!")
    assert scrub_message("The token hunter two! is bad", [secret]) == f"The token [{secret.fingerprint}] is bad"


@pytest.mark.parametrize(
    "text",
    [
        "(#10) requires the pages_read_engagement permission or the 'Page Public Metadata Access' feature",
        "Any of the pages_read_user_content, pages_manage_instant_articles permission(s) must be granted",
        "(#21) Page ID 123456789012345 was migrated to page ID 5432109876543210.",
        "Error validating access token: Session has expired on Tuesday, 24-Nov-26 12:00:00 PST.",
    ],
)
def test_permissions_ids_and_dates_stay(text: str) -> None:
    """Permissions, ids and dates are no secrets."""
    assert scrub_message(text) == text


def test_control_characters_do_not_pass() -> None:
    """No text forges a line, a colour, or the direction of writing."""
    assert scrub_message("a\nb\x1b[31mc\u202ed\u2028e\x00f\ud800g") == "a b [31mc d e f g"


def test_a_long_text_is_cut() -> None:
    """A message of a megabyte becomes three hundred characters."""
    assert len(scrub_message("word " * 300_000)) == 300


@calm
@given(st.text(), st.text(min_size=1))
def test_a_known_secret_is_never_shown(text: str, value: str) -> None:
    """Whatever surrounds it, a known secret is not shown, unless the fingerprint happens to contain it."""
    secret = Secret(value)
    marked = f"[{secret.fingerprint}]"
    shown = scrub_message(f"{text}{value}{text}", [secret])
    assert len(shown) <= 300
    assert value not in shown or value in marked or value in text.replace(value, marked) or len(value) < 16
