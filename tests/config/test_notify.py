"""Errors in the keys of notifications, each with its location, cause and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.config_files import GOOD, errors, loaded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'notify: [{webhook: "https://hooks.slack.com/services/T0/B0/hunter2"}]',
            "notify[0].webhook: a value in place",
        ),
        ("notify: [{webhook: {env: URL}, format: teams}]", "notify[0].format: "),
        ("notify: [{webhook: {env: URL}, events: []}]", "notify[0].events: "),
        ("notify: [{webhook: {env: URL}, events: [all]}]", "notify[0].events[0]: "),
        ("notify: [{format: slack}]", "notify[0].webhook: webhook is missing"),
        ("notify: [{webhook: {store: volt, path: a, key: b}}]", "notify[0].webhook.store: no store of this name"),
        ("notify: [{webhook: {env: URL}, link: sync.example}]", "notify[0].link: not an http or https address"),
        (
            "notify: [{webhook: {env: URL}}, {webhook: {env: B}}, {webhook: {env: URL}, link: https://a.example}]",
            "notify[2]: the same receiver again",
        ),
        ('heartbeat: {url: "https://hc-ping.com/hunter2"}', "heartbeat.url: a value in place"),
    ],
)
def test_a_wrong_key_is_found_without_showing_the_url(tmp_path: Path, text: str, words: str) -> None:
    """The error has the key, and no part of a URL that stands in the file."""
    found = errors(tmp_path, GOOD + text + "\n")
    assert len(found) == 1
    assert words in found[0]
    assert "hunter2" not in found[0]


def test_plain_http_that_is_allowed_is_warned_about(tmp_path: Path) -> None:
    """Each start warns where messages or heartbeats may go over plain http."""
    config = loaded(
        tmp_path,
        GOOD + "notify: [{webhook: {env: URL}, allow_http: true}]\nheartbeat: {url: {env: URL}, allow_http: true}\n",
    )
    assert [warning.partition(":")[0] for warning in config.warnings] == [
        "heartbeat.allow_http",
        "notify[0].allow_http",
    ]
