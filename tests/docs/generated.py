"""The pages of the documentation that follow from tables in the code; ``python -m tests.docs.generated`` writes them."""

from __future__ import annotations

from collections.abc import Mapping

from sync.cli.output.words import ACTIONS, FAILURES, REASONS, STORE_FAILURES, Word
from sync.config.errors import CODES
from sync.config.schema.pages import Defaults
from sync.config.schema.settings import Brake, Graph, Settings, State, SystemUser
from sync.config.schema.values import Part
from sync.config.show.example import default
from sync.core.problems import CATALOGUE
from sync.core.report.events import EVENTS
from tests.support.paths import ROOT

DOCS = ROOT / "docs"

_CAUSES = {
    "token-invalid": "A revoked token, a changed app secret, a Page that was deleted. The subcode in the message says more: 458 the app was "
    "removed, 460 a password changed, 466 revoked by a call, 467 logged out.",
    "no-access": "Graph has several shapes for this and does not tell them apart: the field is left out, `(#100)`, `100/33`, `(#10)`, "
    "`190/492` and others all mean that this system user gets no token of this Page. It may pass: the stored secret is never touched for it.",
    "system-user-invalid": "Nothing is fetched with a dead token. Stored Page tokens are judged all the same, and stay. The Pages are counted "
    "under the one cause.",
    "renewal-failed": "With `system_users.*.renew_before` only. The message names the cause: Meta refused the exchange, the new token was not as good "
    "as the old one, or the store did not take it. The old token works on until its own end, and changes no result.",
    "throttled": "No call of that app is made for the rest of the cycle. Each item of a batch counts as a call at Meta, so a shorter "
    "`schedule.every` costs quota, batches or not.",
    "debug-unavailable": "Without `debug_token` no token is proven, so nothing is written with a new one.",
    "secret-foreign": "No mark of ours, the mark of another instance, or of another Page. A secret that a crash of this program left unmarked is "
    "recognised and marked by itself.",
    "store-failed": "The message names the cause: unreachable, sealed, no permission (with the path and the capability), a wrong mount, KV "
    "version 1, a refused login, a lost race, a full disk. The other stores and Pages are not concerned.",
}


def problems() -> str:
    """Return docs/problems.md."""
    lines = [
        "# Problems, and who acts",
        "",
        "Every problem in a report, a table or a log line has one of these codes. Its `message` is the particular of the case, `who` is",
        "who must act, `remedy` is what that person does. *nobody* means that it heals or passes by itself.",
        "",
    ]
    for code, entry in CATALOGUE.items():
        lines += [f"## {code}", "", entry.meaning]
        if code in _CAUSES:
            lines += ["", _CAUSES[code]]
        lines += ["", f"- **Who acts:** {entry.owner}", f"- **What to do:** {entry.remedy}", ""]
    return "\n".join(lines).rstrip() + "\n"


def events() -> str:
    """Return the table of events in docs/reference.md."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items()]
    return "\n".join(["| event | what it says |", "|---|---|", *rows])


def configuration_errors() -> str:
    """Return the table of configuration errors in docs/reference.md."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in CODES.items()]
    return "\n".join(["| code | what it says |", "|---|---|", *rows])


def words(of: Mapping[str, Word], title: str) -> str:
    """Return a table of one of the report's closed lists."""
    rows = [f"| `{code}` | {word.meaning} |" for code, word in of.items()]
    return "\n".join([f"| {title} | what it says |", "|---|---|", *rows])


def keys() -> str:
    """Return the table of the keys that say how much is done, and how often."""
    rows = []
    for model, before, names in _KEYS:
        for name in names:
            field = model.model_fields[name]
            rows.append(f"| `{before}{name}` | {_default(model, name)} | {field.description} |")
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


_KEYS: tuple[tuple[type[Part], str, tuple[str, ...]], ...] = (
    (Settings, "", ("mode",)),
    (Defaults, "defaults.", ("hold",)),
    (Settings, "", ("probe_every", "verify_every")),
    (Graph, "graph.", ("budget",)),
    (Brake, "brake.", ("share", "min_changes")),
    (SystemUser, "system_users.*.", ("renew_before",)),
    (State, "state.", ("file",)),
)


def _default(model: type[Part], name: str) -> str:
    told = default(model, name)
    return f"`{told}`" if told else "none"


def into(page: str, marker: str, table: str) -> str:
    """Put a table between the two comments that name it in a page."""
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{table}\n{end}{after}"


def reference(page: str) -> str:
    """Return docs/reference.md with its tables made again."""
    tables = {
        "events": events(),
        "configuration errors": configuration_errors(),
        "keys": keys(),
        "actions": words(ACTIONS, "action"),
        "reasons": words(REASONS, "reason"),
        "failures": words(FAILURES, "code"),
        "store failures": words(STORE_FAILURES, "error"),
    }
    for marker, table in tables.items():
        page = into(page, marker, table)
    return page


if __name__ == "__main__":
    (DOCS / "problems.md").write_text(problems())
    path = DOCS / "reference.md"
    path.write_text(reference(path.read_text()))
