"""What may never be shown is not, whatever it stands in."""

from __future__ import annotations

import pytest

from sync.core.secret import fingerprint
from sync.ops.redact import scrub, without_tokens

META = "EAA" + "Zk3Bq9" * 20
APP = "123456789012345|0123456789abcdef0123456789abcdef"
VAULT = "hvs." + "CAESIJ" * 12
OPENBAO = "s." + "a1B2c3D4" * 3
AWS = "AKIA" + "ABCDEFGH12345678"


@pytest.mark.parametrize("token", [META, APP, VAULT, OPENBAO, AWS])
@pytest.mark.parametrize("around", ["{}", "token={}&x=1", '{{"access_token":"{}"}}', "https://h/?t={}#f", "({})\n"])
def test_tokens_of_every_kind_become_fingerprints(token: str, around: str) -> None:
    """A token of Meta's, Vault's, OpenBao's or AWS's is shown as its fingerprint wherever it stands."""
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
def test_what_is_no_token_stays(text: str) -> None:
    """Checksums, cycles, paths, ids, fingerprints and names of any language are left as they are."""
    assert scrub(text) == text


@pytest.mark.parametrize(
    "forger", ["\n", "\r", "\x1b[2J", "\x9b31m", "\x00", "\u2028", "\u202e", "\udc80", "\ufeff", "\x7f"]
)
def test_characters_that_forge_become_codes(forger: str) -> None:
    """No control, no mark of direction and no half of a character reaches a terminal or a log."""
    shown = scrub(f"a{forger}b")

    assert forger[0] not in shown
    assert shown.startswith("a\\u")
    assert shown.endswith("b")
    shown.encode()


def test_lines_of_our_own_stay() -> None:
    """Text of ours that has lines keeps them, and loses its tokens all the same."""
    assert without_tokens(f"a\n{META}\nb").count("\n") == 2
    assert META not in without_tokens(f"a\n{META}\nb")
