"""The values in force after all defaults, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sync.config.load import load_with_sources
from sync.config.schedule import verify_every
from sync.config.schema.settings import Settings
from sync.config.show.show import shown_pages, shown_settings
from tests.support.config_files import GOOD, loaded

LONG = "x" * 30


def shown(folder: Path, text: str, **others: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all settings, and all values of Pages under PAGE KEY, each as value and FILE:LINE or default."""
    loaded(folder, text, **others)
    config, sources = load_with_sources(folder / "config.yaml")

    def located(values: Any, before: str = "") -> dict[str, Any]:
        return {
            f"{before}{one.key}": (one.value, f"{Path(one.file).name}:{one.line}" if one.file else "default")
            for one in values
        }

    pages: dict[str, Any] = {}
    for page in shown_pages(config, sources):
        pages |= located(page.values, f"{page.name} ")
    return located(shown_settings(config, sources)), pages


def test_configured_keys_have_their_line(tmp_path: Path) -> None:
    """A key of the file is shown with its line, and any other key as a default."""
    settings, _ = shown(tmp_path, f"{GOOD}graph:\n  budget: 50%\nbrake: {{min_changes: 7}}\n")

    assert settings["instance"] == ("acme", "config.yaml:1")
    assert settings["graph.budget"] == ("50%", "config.yaml:11")
    assert settings["brake.min_changes"] == (7, "config.yaml:12")
    assert settings["brake.share"] == ("30%", "default")
    assert settings["mode"] == ("sync", "default")
    assert settings["schedule.every"] == ("15m", "default")
    assert settings["state"] == (None, "default")


def test_every_key_is_shown(tmp_path: Path) -> None:
    """Every key of the models is shown, except pages, which have their own list."""
    settings, _ = shown(tmp_path, GOOD)
    assert {key.split(".")[0] for key in settings} == set(Settings.model_fields) - {"pages"}


def test_implied_choices_are_shown(tmp_path: Path) -> None:
    """A choice that is left out is shown as the only possible one, and checks as their defaults."""
    settings, _ = shown(tmp_path, GOOD)

    assert settings["defaults.system_user"] == ("main", "default")
    assert settings["defaults.stores"] == (["vault"], "default")
    assert settings["system_users.main.app"] == ("messenger", "default")
    assert settings["defaults.checks.scopes"] == (["pages_messaging"], "default")
    assert settings["defaults.checks.expires"] == ("7d", "default")


def test_values_of_pages_have_their_line(tmp_path: Path) -> None:
    """Each value of a Page is shown with the line of the Page, that of defaults, or as a default."""
    text = f"""{GOOD}pages_from: [more.yaml]
defaults:
  labels: {{team: crm, tier: gold}}
  checks: {{expires: never}}
"""
    _, pages = shown(tmp_path, text, more='- id: "2"\n  hold: true\n  labels:\n    team: sales\n')

    assert pages["berlin id"] == ("101010101010101", "config.yaml:9")
    assert pages["berlin labels.team"] == ("crm", "config.yaml:12")
    assert pages["berlin checks.expires"] == ("never", "config.yaml:13")
    assert pages["berlin checks.scopes"] == (["pages_messaging"], "default")
    assert pages["berlin hold"] == (False, "default")
    assert pages["berlin stores"] == (["vault:meta/pages/berlin"], "default")
    assert pages["berlin payload.page_id"] == ("101010101010101", "default")
    assert pages["2 name"] == ("2", "more.yaml:1")
    assert pages["2 hold"] == (True, "more.yaml:2")
    assert pages["2 labels.team"] == ("sales", "more.yaml:4")
    assert pages["2 labels.tier"] == ("gold", "config.yaml:12")


def test_payload_is_shown_without_token(tmp_path: Path) -> None:
    """A payload is shown with its placeholders filled in, except {token}."""
    text = GOOD.replace("name: berlin", 'name: berlin, payload: {a: "x {token} {name}"}')
    _, pages = shown(tmp_path, text)
    assert {key: value for key, value in pages.items() if "payload" in key} == {
        "berlin payload.a": ("x {token} berlin", "config.yaml:9")
    }

    text = GOOD.replace("\npages:", "\n  disk: {type: file, directory: out}\npages:")
    _, pages = shown(tmp_path, text.replace("name: berlin", 'stores: [disk], payload: "T={token}"'))
    assert pages["101010101010101 payload"] == ("T={token}", "config.yaml:10")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """References are shown and not resolved; free text that could be a secret is hidden."""
    (tmp_path / "app").write_text("sekrit")
    text = f"{GOOD}defaults: {{labels: {{a: {LONG}}}, payload: {{t: '{{token}}', k: {LONG}}}}}\n"
    settings, pages = shown(tmp_path, text)

    assert settings["apps.messenger.secret"] == ({"file": "app"}, "config.yaml:3")
    assert settings["system_users.main.token"] == ({"env": "TOKEN"}, "config.yaml:5")
    assert settings["stores.vault.auth.token"][0] == {"file": "vault"}
    assert [settings["defaults.labels.a"][0], pages["berlin labels.a"][0], pages["berlin payload.k"][0]] == ["?"] * 3
    assert LONG not in repr((settings, pages))
    assert "sekrit" not in repr((settings, pages))


def test_slowest_app_sets_the_interval(tmp_path: Path) -> None:
    """If an app's quota is too small to verify all its Pages in time, the interval is as long as needed."""
    few = loaded(tmp_path, GOOD)
    assert verify_every(few.settings, few.pages) == few.settings.verify_every

    more = "".join(f'- {{id: "{n}"}}\n' for n in range(10_000))
    many = loaded(tmp_path, f"{GOOD}pages_from: [more.yaml]\n", more=more)
    hours = verify_every(many.settings, many.pages).total_seconds() / 3600
    assert round(hours) == round(10_001 / (0.75 * 0.75 * 200))
