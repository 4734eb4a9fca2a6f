"""Read the daemon's page as a person does, and compare it with its last report. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.soak.html import Node
from tools.soak.records import SERVED, page_served

Json = Mapping[str, Any]

_TITLE = re.compile(r"([a-z-]+)(?:: (app|system user|store|instance) (\S+?))?(?:, ([\d,]+) Pages?)?")
_HELD = re.compile(r"([\d,]+) writes? to store (\S+) held: (\S+)")
_MORE = re.compile(r" and ([\d,]+) more$")
_NUMBER = re.compile(r"\d[\d,]*")


@dataclass(frozen=True)
class Card:
    """A cause of problems as the page shows it."""

    code: str
    scope: str
    whose: str
    page_count: int
    since: str
    message: str
    action: str
    names: Sequence[str]
    all_named: bool
    served: Mapping[str, int]
    level: str


def cards(page: Node) -> Iterator[Card]:
    """Yield the causes that a page shows."""
    for section in page.all("section", **{"aria-labelledby": "problems"}):
        for article in section.all("article"):
            title = next(article.all("h3")).text
            found = _TITLE.fullmatch(title)
            if found is None:
                raise ValueError(f"the title of a cause is {title!r}")
            paragraphs = [one.text for one in article.all("p")]
            since = next((one.attributes["datetime"] for one in article.all("time")), "")
            named = _after(paragraphs, "Pages: ")
            names = _MORE.sub("", named).split(", ") if named else []
            yield Card(
                found[1],
                found[2] or "",
                found[3] or "",
                _number(found[4] or "0"),
                since,
                paragraphs[1 if since else 0],
                next(article.all("strong")).text,
                names,
                _MORE.search(named) is None,
                _counted(_after(paragraphs, "Served to apps now: ")),
                article.attributes["class"].removeprefix("card "),
            )


def wrong(page: Node, status: Json) -> Iterator[str]:
    """Yield each statement of a page that the report does not confirm, and each problem that the page does not show."""
    yield from _head(page, status)
    yield from _configuration(page, status)
    shown = list(cards(page))
    for card in shown:
        yield from (f"the card {card.code} {card.whose}: {what}" for what in _card(card, status))
    yield from _unshown(shown, status)
    yield from _held(page, status)
    yield from _notices(page, status)
    yield from _tables(page, status)


def _head(page: Node, status: Json) -> Iterator[str]:
    verdict = next(page.all("p", **{"class": "verdict ok"}), None)
    level = "ok" if verdict else "bad" if next(page.all("p", **{"class": "verdict bad"}), None) else "warn"
    verdict = verdict or next(page.all("p", **{"class": f"verdict {level}"}))
    for banner in page.all("p", **{"class": "card bad"}):
        yield f"the banner {banner.text!r}"
    counts = Counter(page_served(one) for one in status["pages"])
    number, unserved = len(status["pages"]), counts["broken"] + counts["absent"] + counts["foreign"]
    result, rejected = status["result"], status["config_error"] is not None
    if unserved:
        expected, numbers = "bad", [unserved, number]
    elif result == "failed":
        expected, numbers = "bad", []
    elif counts["stale"]:
        expected, numbers = "warn", [counts["stale"], number]
    elif result != "ok" or rejected:
        expected, numbers = "warn", []
    else:
        expected, numbers = "ok", [number]
    if level != expected or [_number(one) for one in _NUMBER.findall(verdict.text)] != numbers:
        yield f"the verdict is {level}, {verdict.text!r}, and follows as {expected} with {numbers}"
    if ("All is well" in verdict.text) != (expected == "ok"):
        yield f"the verdict is {verdict.text!r}, and the result is {result}"
    title = next(page.all("title")).text
    if status["instance"] not in title or verdict.text.split(" ", 1)[1].partition(".")[0] not in title:
        yield f"the title is {title!r}, and the verdict {verdict.text!r}"
    times = next(paragraph for paragraph in page.all("p") if paragraph.text.startswith("Checked "))
    found = [one.attributes["datetime"] for one in times.all("time")]
    if found != [one for one in (status["finished_at"], status["next_cycle_at"]) if one is not None]:
        yield f"checked and next check are {found}, and the report says {status['finished_at']}, {status['next_cycle_at']}"


def _configuration(page: Node, status: Json) -> Iterator[str]:
    section = next(page.all("section", **{"aria-labelledby": "config"}), None)
    errors = status["config_error"] or ()
    shown = [one.text for one in section.all("li")] if section else []
    if (section is not None) != (status["config_error"] is not None) or len(shown) != min(len(errors), 20):
        yield f"{len(shown)} errors of the configuration are shown, and there are {len(errors)}"
    for error, text in zip(errors, shown, strict=False):
        if f"{error['line']}:{error['column']}" not in text or " ".join(error["message"].split()) not in text:
            yield f"an error of the configuration is shown as {text!r}, and is {error['message']!r}"


def _card(card: Card, status: Json) -> Iterator[str]:
    pages = {page["name"]: page for page in status["pages"]}
    having = [page for page in status["pages"] if card.code in {one["code"] for one in of_page(page)}]
    problems = [one for one in of_all(status) if one["code"] == card.code]
    if not problems:
        yield "no such problem is in the report"
        return
    strangers = [name for name in card.names if pages.get(name) not in having]
    if strangers:
        yield f"{strangers} do not have it"
    if card.page_count > len(having) or (card.all_named and card.page_count != len(card.names)):
        yield f"it counts {card.page_count} Pages and names {len(card.names)}, and {len(having)} have it"
    owners = {one["owner"] for one in problems}
    owner = re.match(r"Action required \(([a-z-]+)\)", card.action)
    if (owner[1] if owner else "nobody") not in owners:
        yield f"its action is {card.action!r}, and the report's owners are {sorted(owners)}"
    if not any(_text(one["remedy"]) in card.action for one in problems):
        yield f"its action is {card.action!r}, which is no remedy of the report"
    if not any(_text(one["message"]) in card.message for one in problems):
        yield f"its message is {card.message!r}, which is no message of the report"
    if (card.level == "bad") != any(card.served.get(word) for word in ("broken", "absent", "foreign")):
        yield f"it is {card.level}, and {dict(card.served)} are served"
    if card.names and card.all_named and not strangers:
        of_pages = Counter(page_served(pages[name]) for name in card.names)
        of_targets = {
            target["served"]
            for name in card.names
            for target in pages[name]["stores"]
            if target["store"] == card.whose and card.code in {one["code"] for one in target["problems"]}
        }
        if (set(card.served) != of_targets) if card.scope == "store" else (card.served != of_pages):
            yield f"it says that {dict(card.served)} are served, and that is {of_targets or dict(of_pages)}"


def _unshown(shown: Sequence[Card], status: Json) -> Iterator[str]:
    """Yield each problem for which the page has no card, or too small ones."""
    for code in dict.fromkeys(one["code"] for one in of_all(status)):
        having = sum(code in {one["code"] for one in of_page(page)} for page in status["pages"])
        of_code = [card.page_count for card in shown if card.code == code]
        if not of_code or sum(of_code) < having:
            yield f"{having} Pages have {code}, and the page shows it for {of_code}"


def _held(page: Node, status: Json) -> Iterator[str]:
    shown: Counter[tuple[str, str]] = Counter()
    for section in page.all("section", **{"aria-labelledby": "held"}):
        for title in section.all("h3"):
            found = _HELD.fullmatch(title.text)
            if found is None:
                raise ValueError(f"the title of held writes is {title.text!r}")
            shown[found[2], found[3]] += _number(found[1])
    held = Counter(
        (target["store"], target["reason"])
        for one in status["pages"]
        for target in one["stores"]
        if target["action"] == "held"
    )
    if shown != held:
        yield f"held writes are shown as {dict(shown)}, and are {dict(held)}"


def _notices(page: Node, status: Json) -> Iterator[str]:
    shown = [
        item.text.split(":")[0].split(",")[0]
        for section in page.all("section", **{"aria-labelledby": "notices"})
        for item in section.all("li")
    ]
    having = {notice["code"] for one in status["pages"] for notice in one["notices"]}
    having |= {notice["code"] for one in status["pages"] for target in one["stores"] for notice in target["notices"]}
    missing = having - set(shown) - {one["code"] for one in of_all(status)}
    # A system user's notices are not in the report; its table shows when its token expires.
    strange = set(shown) - having - {"warning", "system-user-expiring", "not-a-system-user", "renewal-failed"}
    if missing or strange:
        yield f"the notices {sorted(missing)} are not shown, and {sorted(strange)} are not in the report"
    if shown.count("warning") != len(status["warnings"]):
        yield f"{shown.count('warning')} warnings are shown of {len(status['warnings'])}"


def _tables(page: Node, status: Json) -> Iterator[str]:
    tables = {next(table.all("caption")).text: _rows(table) for table in page.all("table")}
    users = [
        (user["name"], user["verdict"], user["expires_at"][:10] if user["expires_at"] else None)
        for user in status["system_users"]
    ]
    shown = [(*row[:2], row[2] if row[2] not in ("never", "-") else None) for row in tables["System users"]]
    if shown != users:
        yield f"the system users are shown as {shown}, and are {users}"
    targets = [(one, target) for one in status["pages"] for target in one["stores"]]
    stores = {row[0]: _counted(row[1]) for row in tables["Stores"]}
    by_store: dict[str, Counter[str]] = {}
    for _, target in targets:
        by_store.setdefault(target["store"], Counter())[target["served"]] += 1
    if stores != by_store:
        yield f"the stores are shown with {stores}, and serve {by_store}"
    caption = next(name for name in tables if "worst first" in name)
    rows = {(row[0], row[1]): row for row in tables[caption]}
    if _number(caption.split(" ")[0]) != len(targets) or len(rows) != min(len(targets), 200):
        yield f"the table is {caption!r} with {len(rows)} rows, and there are {len(targets)} secrets"
    for one, target in targets if len(targets) <= 200 else ():
        expected = _row(one, target)
        if rows.get(expected[:2]) != expected:
            yield f"a row is {rows.get(expected[:2])}, and follows as {expected}"
    order = [SERVED.index(row[2]) for row in tables[caption]]
    if order != sorted(order):
        yield "the rows are not in the order of what they serve"


def _rows(table: Node) -> list[tuple[str, ...]]:
    body = next(table.all("tbody"))
    return [tuple(cell.text for cell in row.children if isinstance(cell, Node)) for row in body.all("tr")]


def _row(page: Json, target: Json) -> tuple[str, ...]:
    verified = f"{target['verified_at'].replace('T', ' ').removesuffix('Z')} UTC" if target["verified_at"] else "-"
    same = page["fingerprint"] is not None and page["fingerprint"] == target["fingerprint"]
    never = "never" if page["fetched"] != "unknown" else "-"
    expires = (page["expires_at"][:10] if page["expires_at"] else never) if same else "-"
    codes = dict.fromkeys(one["code"] for one in (*page["problems"], *target["problems"]))
    return (
        page["name"],
        target["store"],
        target["served"],
        verified,
        expires,
        target["fingerprint"] or "-",
        ", ".join(codes) or "-",
    )


def of_page(page: Json) -> Iterator[Json]:
    """Yield the problems of a Page and of its secrets."""
    yield from page["problems"]
    for target in page["stores"]:
        yield from target["problems"]


def of_all(status: Json) -> Iterator[Json]:
    """Yield every problem of a report."""
    for user in status["system_users"]:
        yield from user["problems"]
    for page in status["pages"]:
        yield from of_page(page)


def _counted(text: str) -> dict[str, int]:
    parts = (part.split(" ") for part in text.removesuffix(".").split(", ") if part)
    return {word: _number(number) for number, word in parts}


def _after(paragraphs: Sequence[str], start: str) -> str:
    return next((one.removeprefix(start).removesuffix(".") for one in paragraphs if one.startswith(start)), "")


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _text(text: str) -> str:
    return " ".join(text.split())
