"""Every name in the documentation is one that the code has."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer

from sync.cli.commands.explain import explanations
from sync.cli.main import app
from sync.cli.output.words import EXITS
from sync.core import marks
from sync.core.model import Key, Marks
from sync.core.plan.rollback import RollbackKind
from sync.core.problems import CATALOGUE
from sync.core.report.discovery import discovery
from sync.core.report.inspection import Match, inspection
from sync.core.report.inspection import as_json as inspection_json
from sync.core.report.json import as_json
from sync.ops.metrics import FAMILIES
from sync.sandbox.api.states import NAMES as FAULTS
from sync.sandbox.replies import REFUSALS
from tests.support.markdown import PAGES, blocks, name, prose, spans
from tests.support.paths import ROOT
from tests.support.reports import GOOD, account, of
from tests.support.values import INSTANCE, NOW, fetched
from tools import docs

HYPHENATED = {
    # of others: programs, packages, settings and texts that a reader meets elsewhere
    "aws-secrets-manager",
    "eu-central-1",
    "facebook-business",
    "import-linter",
    "page-token-sync",
    "page-token-sync-exec",
    "python-facebook-api",
    "forward-active-node",
    "team-a",
}
UNDERSCORED = {
    # of notifications
    "apps_down",
    # a file with a credential
    "web_token",
    # of Prometheus
    "process_resident_memory_bytes",
    "scrape_configs",
    # of Graph: fields, permissions, calls and edges
    *(
        "access_token",
        "app_id",
        "appsecret_proof",
        "assigned_pages",
        "client_pages",
        "owned_pages",
        "business_management",
        "debug_token",
        "expires_at",
    ),
    *(
        "fbtrace_id",
        "is_valid",
        "pages_manage_metadata",
        "pages_manage_posts",
        "pages_messaging",
        "pages_read_engagement",
    ),
    *("pages_show_list", "profile_id", "user_id"),
    # of Vault
    *("custom_metadata", "delete_version_after", "iam_server_id_header_value", "max_versions", "sts_endpoint"),
    *("kubernetes_ca_cert", "token_reviewer_jwt"),
    # of Python
    *("assert_never", "supports_cas"),
    # of this program: fields that a report has only after a shutdown, or where Graph reported an error
    *("not_begun", "graph_code", "graph_subcode"),
    # of Meta: an address, which has the form of a key
    "graph.facebook.com",
}
_PATH = re.compile(r"(?:sync|tests|tools|docs|deploy|\.ci|\.github)(?:/[\w./-]*)?(?:::\w+)?")
_FILE = re.compile(r"[\w.-]+\.(?:md|toml|lock)|config\.example\.yaml|Makefile|Dockerfile|LICENSE")
_KEY = re.compile(r"[a-z][a-z_]*(?:\.(?:[a-z][a-z_]*|\*))*")


def closed_words() -> set[str]:
    """Return every word of every closed list: codes, reasons, events, marks, faults and their shapes."""
    of_marks = set(marks.to_map(Marks(instance="", page_id="", app_id="", fingerprint="")))
    owners = {entry.owner for entry in CATALOGUE.values()}
    return (
        {one.code for one in explanations()}
        | of_marks
        | owners
        | {*FAULTS, *REFUSALS, *MARKS, *get_args(Match), *get_args(RollbackKind)}
    )


MARKS = {"managed-by", "system-user-id", "system-user-fingerprint", "written-at"}
"""Marks that are not on every secret, and so not in the map of the least one."""


def keys() -> set[str]:
    """Return every key of the configuration as its full path, with ``*`` for a name that the file chooses."""
    return {f"{prefix}{key}".replace("[]", "") for prefix, model in docs.models() for key in model.model_fields}


def is_key(path: str) -> bool:
    """Check whether a path is that of a key, or the end of one, as in ``brake.share`` and ``checks.scopes``."""
    return any(known == path or known.endswith(f".{path}") for known in keys())


def fields() -> set[str]:
    """Return the names of all fields of a report, of other answers and of a log line, and of all metrics."""
    page = (ROOT / "docs" / "reference" / "log-events.md").read_text()
    logged = re.findall(r"`(\w+)`", page[page.index("## Fields") : page.index("## Events")])
    check = inspection_json(inspection(of(fetched(), GOOD), instance=INSTANCE, now=NOW))
    discovered = discovery([], []).as_json()
    return set(logged) | set(_names([report(), check, discovered])) | set(FAMILIES)


def report() -> dict[str, object]:
    """Return a report with every part, as JSON."""
    return as_json(account(of(fetched(), GOOD), orphans=(Key("vault", "x"),)))


def _names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    """Each path of the repository that a page names exists, and so does the test that it names in a file."""
    for span in spans(page):
        path, _, test = span.partition("::")
        if _PATH.fullmatch(span):
            assert (ROOT / path).exists(), span
            assert not test or f"def {test}(" in (ROOT / path).read_text(), span
        elif _FILE.fullmatch(span) and span != "plan.md":
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_modules_exist(page: Path) -> None:
    """Each module that a page runs with ``python -m`` exists."""
    shell = [block.text for block in blocks(page) if block.language == "sh"]
    for module in re.findall(r"python3? -m ([\w.]+)", "\n".join([*shell, *spans(page)])):
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_codes_exist(page: Path) -> None:
    """Each word with a hyphen between backticks is a problem code, a reason, an error code, a mark, a fault or known to be another's."""
    known = closed_words() | HYPHENATED
    for span in spans(page):
        word = re.split(r"[=:]", span)[0]
        if re.fullmatch(r"[a-z]+(?:-[a-z0-9]+)+", word):
            assert word in known, span


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_fields_events_and_keys_exist(page: Path) -> None:
    """Each word with an underscore between backticks is an event, a field, a key or known to be another's."""
    known = closed_words() | fields() | UNDERSCORED | {part for key in keys() for part in key.split(".")}
    for span in spans(page):
        if re.fullmatch(r"[a-z]+(?:_[a-z0-9]+)+", span):
            assert span in known, span


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_keys_exist(page: Path) -> None:
    """Each path of a key, and each key with a value, between backticks is one of the configuration."""
    sections = {key.split(".")[0] for key in keys()} | {"auth", "checks"}
    for span in spans(page):
        path, colon, value = span.partition(": ")
        if not _KEY.fullmatch(path) or (not colon and "." not in path) or path in fields() | UNDERSCORED:
            continue
        # What has blanks behind the colon is a sentence, unless it is a mapping.
        pair = bool(colon) and (" " not in value or value.startswith("{"))
        if pair or (path.split(".")[0] in sections and not colon):
            assert is_key(path), span


def test_names_that_do_not_exist_are_found() -> None:
    """What the tests above look for is known where it exists, and unknown where it does not."""
    assert is_key("brake.share")
    assert is_key("stores.*.auth.method")
    assert not is_key("brake.part")
    assert "secret-foreign" in closed_words()
    assert "secret-strange" not in closed_words()
    assert "plan_checksum" in fields()


def test_the_reference_has_every_key_of_the_report() -> None:
    """Each key of a report stands in the reference's table of it, in the row of what it belongs to."""
    page = (ROOT / "docs" / "reference" / "report.md").read_text()
    document = report()
    (one,), (user,), (orphan,) = document["pages"], document["system_users"], document["orphans"]  # type: ignore[misc]
    for row, names in (
        ("system_users[]", user),
        ("pages[]", one),
        ("pages[].stores[]", one["stores"][0]),
        ("orphans[]", orphan),
    ):
        (meaning,) = re.findall(rf"^\| `{re.escape(row)}` \| (.*)", page, re.MULTILINE)
        assert [key for key in names if f"`{key}`" not in meaning and key != "stores"] == [], row
    assert [key for key in document if not re.search(rf"^\|.*`{key}(\[\])?`.* \| ", page, re.MULTILINE)] == []


def test_every_fault_of_the_sandbox_is_named() -> None:
    """The sandbox's page names each fault, and each way in which Graph refuses a Page's token."""
    page = (ROOT / "docs" / "reference" / "sandbox.md").read_text()
    assert [fault for fault in (*FAULTS, *REFUSALS) if not re.search(rf"`{fault}[`=]", page)] == []


def test_every_exit_code_is_named() -> None:
    """The help and the page of exit codes name each of them."""
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text()
    epilog = str(typer.main.get_command(app).epilog)
    for code in EXITS:
        assert re.search(rf"\b{code} [a-z]", epilog), code
        assert f"\n| `{code}` |" in page, code


def test_the_catalogue_names_nothing_that_does_not_exist() -> None:
    """No remedy names a command that this version does not have."""
    text = " ".join(entry.remedy for entry in CATALOGUE.values())
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    missing = {"adopt", "doctor", "prune", "rollback", "discover"} - set(program.commands)
    assert set(re.findall(r"page-token-sync ([a-z]+)", text)) <= set(program.commands)
    assert missing.isdisjoint(re.findall(r"\b[a-z]+\b", text))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_one_sentence_is_one_line(page: Path) -> None:
    """A sentence of the prose begins on a line of its own, so that a change shows what it changes."""
    for line in prose(page).splitlines():
        if not line.lstrip().startswith(("|", ">", "#", "<")):
            assert not re.search(r"[a-z)`*]{2}\. [A-Z]", line), line
