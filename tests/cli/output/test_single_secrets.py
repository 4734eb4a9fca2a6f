"""What ``adopt`` and ``rollback`` print of single secrets."""

from __future__ import annotations

import json

import pytest

from sync.cli.output.adopted import put_adopted
from sync.cli.output.forms import Form
from sync.cli.output.rolled_back import put_rolled_back
from sync.core.model import PastVersion
from sync.core.plan.adopt import Adoption
from sync.core.plan.rollback import Rollback
from tests.support.values import KEY, NOW, OTHER, facts, page, payload, stored

WANTED = PastVersion("1", payload(OTHER), NOW)


@pytest.mark.parametrize(
    ("found", "absent", "text"),
    [
        (
            (Adoption(page(), KEY, stored(), "unchanged"),),
            1_200,
            "1 secret: 1 unchanged. Pages without a secret: 1,200.",
        ),
        ((Adoption(page(), KEY, stored(), "unchanged"),), 0, "1 secret: 1 unchanged."),
        ((), 2, "No secret to adopt. Pages without a secret: 2."),
    ],
)
def test_pages_without_a_secret(
    capsys: pytest.CaptureFixture[str], found: tuple[Adoption, ...], absent: int, text: str
) -> None:
    """They are in the counts, so that these add up to the Pages of the selection; JSON has the number too."""
    put_adopted(found, Form.TABLE, again="AGAIN", absent=absent)
    assert capsys.readouterr().out.splitlines()[-1] == text
    put_adopted(found, Form.JSON, again="AGAIN", absent=absent)
    assert json.loads(capsys.readouterr().out)["absent"] == absent


@pytest.mark.parametrize(
    ("user_id", "system_user", "whose"),
    [("4711", "main", "system user main"), ("4711", None, "4711"), (None, None, "unknown")],
)
def test_whose_a_token_of_an_earlier_version_is(
    capsys: pytest.CaptureFixture[str], user_id: str | None, system_user: str | None, whose: str
) -> None:
    """A configured system user is named as in the configuration, anybody else by the id that Meta answers."""
    known = facts(user_id=user_id)
    found = Rollback(page(), KEY, stored(), (), "roll-back", WANTED, OTHER, known, system_user)
    put_rolled_back(found, Form.TABLE, again="AGAIN", release="RELEASE")
    assert f"belongs to: {whose}.\n" in capsys.readouterr().out
    put_rolled_back(found, Form.JSON, again="AGAIN", release="RELEASE")
    assert json.loads(capsys.readouterr().out)["system_user"] == system_user


def test_a_release_that_is_interrupted_before_its_write(capsys: pytest.CaptureFixture[str]) -> None:
    """The last lines say that nothing was written, and which command ends the hold."""
    found = Rollback(page(), KEY, stored(), (), "release")
    put_rolled_back(found, Form.TABLE, again="AGAIN", release="RELEASE")
    assert capsys.readouterr().out.endswith("Interrupted. Nothing was written. To end the hold:\n  RELEASE\n")
