"""The usage headers: every form that was seen, and whatever else a header may hold."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.model import Fetched, TokenFacts
from sync.graph.usage import app_usage, business_usage, regain_minutes
from tests.support.graph_stage import Stage, ordinary

PAGES = {"type": "pages", "call_count": 97, "total_cputime": 3, "total_time": 5}


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ('{"call_count":28,"total_time":25,"total_cputime":25}', 28.0),
        ('{"call_count":12,"total_cputime":0,"total_time":40}', 40.0),
        ('{"call_count":"28"}', 28.0),
        ('{"call_volume":10,"cpu_time":30}', 30.0),
        ('"17%"', 17.0),
        ("17%", 17.0),
        ("17", 17.0),
        ("9.67", 9.67),
        (None, None),
        ("", None),
        ("{}", None),
        ("[]", None),
        ("null", None),
        ("true", None),
        ("{broken", None),
        ("[" * 5000, None),
        ("9" * 5000, 1000.0),
        ('{"call_count":NaN}', None),
        ('{"call_count":Infinity}', None),
        ('{"call_count":-1}', None),
        ('{"call_count":true}', None),
        ('{"call_count":1e99}', 1000.0),
        ('{"call_count": 1855, "total_time": 3}', 1000.0),
        ('{"call_count": "1855%"}', 1000.0),
        ("12345%", 1000.0),
        ('{"call_count":' + "9" * 400 + "}", 1000.0),
        ('{"call_count":{}}', None),
        ('{"call_count":5,"x":"' + "y" * 3_000_000 + '"}', None),
    ],
)
def test_an_apps_usage_is_read_or_unknown(text: str | None, used: float | None) -> None:
    """The largest count is used, however large; a header that cannot be read does not mean zero."""
    assert app_usage(text) == used


def test_quotas_of_pages_and_businesses_are_read() -> None:
    """Each has an id, a type, percent and minutes; an odd row affects no other."""
    rows = {"1": [{**PAGES, "estimated_time_to_regain_access": 12}, 7, {}, {"call_count": 5}], "2": "x", "3": [None]}
    found = list(business_usage(json.dumps(rows)))
    assert [(quota.id, quota.type, quota.used, quota.minutes) for quota in found] == [
        ("1", "pages", 97.0, 12),
        ("1", "", 5.0, 0),
    ]


@pytest.mark.parametrize(("minutes", "named"), [(15, 15), ("15", 15), (0, None), (-3, None), (None, None), ([], None)])
def test_zero_minutes_state_no_time(minutes: object, named: int | None) -> None:
    """Meta sends 0 also where the quota is almost used up."""
    assert regain_minutes(json.dumps({"1": [{**PAGES, "estimated_time_to_regain_access": minutes}]})) == named


@given(
    st.text()
    | st.recursive(
        st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(json.dumps)
)
def test_no_header_raises(text: str) -> None:
    """Whatever text it holds, it is read or ignored."""
    app_usage(text)
    list(business_usage(text))


@pytest.mark.parametrize("text", ["17%", "{broken", '{"call_count":"x"}', "y" * 60_000])
def test_an_odd_header_changes_no_answer(text: str) -> None:
    """Pages are read and tokens judged as if the header were absent."""
    stage = Stage(3)

    def odd(request: httpx.Request) -> httpx.Response:
        stage.before = None
        answer = stage.answer(request)
        stage.before = odd
        headers = {"X-App-Usage": text, "X-Business-Use-Case-Usage": text}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)

    stage.before = odd
    source = stage.source()
    tokens = [one.token for one in source.read(stage.pages()).values() if isinstance(one, Fetched)]
    assert len(tokens) == 3
    assert all(isinstance(one, TokenFacts) for one in source.debug("messenger", ordinary(tokens)).values())
