"""Pages get names that are valid in the configuration, unique, and readable."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from sync.core.slug import slug, unique_slugs

_NAME = re.compile("[a-z0-9][a-z0-9._-]{0,62}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme Berlin", "acme-berlin"),
        ("Bäckerei Müller & Söhne", "baeckerei-mueller-soehne"),
        ("Ba\u0308ckerei", "baeckerei"),
        ("STRAẞE Straße", "strasse-strasse"),
        ("Café São Paulo 🍕🇧🇷", "cafe-sao-paulo"),
        ("Łódź, Malmø, Œuvre", "lodz-malmo-oeuvre"),
        ("McDonald's", "mcdonalds"),
        ("  --1984--  ", "1984"),
        ("../../etc/passwd", "etc-passwd"),
        ("\uff21\uff23\uff2d\uff25\u3000Tokyo", "acme-tokyo"),
        ("東京", ""),
        ("🍕🍕", ""),
        ("", ""),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_slug(text: str, expected: str) -> None:
    """Umlauts are spelled out, accents and emoji are left out, and all else becomes a hyphen."""
    assert slug(text) == expected


def test_names_are_unique() -> None:
    """A name that is taken has the id behind it; a text that gives no name leaves the id."""
    texts = {"101": "Berlin", "102": "berlin!", "103": "Paris", "104": "東京", "105": "x" * 80, "106": "x" * 80}
    assert unique_slugs(texts, {"paris"}) == {
        "101": "berlin",
        "102": "berlin-102",
        "103": "paris-103",
        "104": "104",
        "105": "x" * 63,
        "106": "x" * 59 + "-106",
    }


@settings(max_examples=40)
@given(st.dictionaries(st.from_regex("[1-9][0-9]{4,17}", fullmatch=True), st.text(max_size=90), max_size=20))
def test_every_name_is_one_of_the_configuration(texts: dict[str, str]) -> None:
    """Whatever Pages are called, each has a valid name of its own."""
    names = unique_slugs(texts, ())
    assert names.keys() == texts.keys()
    assert len(set(names.values())) == len(names)
    assert all(_NAME.fullmatch(name) for name in names.values())
