"""What ``discover`` prints: rows for a person, or YAML to paste below ``pages:``. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from sync.config.show.example import flow
from sync.core.model import Page
from sync.core.problems import Problem, action_text
from sync.core.redact import scrub
from sync.core.report.causes import joined
from sync.core.report.discovery import Discovery, FoundPage
from sync.core.report.text import count, some
from sync.core.slug import unique_slugs

COLUMNS = ("Page", "id", "system user", "difference", "problem")
_WIDTH = 100


def rows(found: Discovery) -> list[tuple[str, ...]]:
    """Return a row for each Page that differs, the lost ones first."""
    return [
        (page.name or "-", page.id, page.system_user, difference, page.problem.code if page.problem else "-")
        for difference, pages in (("lost", found.lost), ("not listed", found.not_listed))
        for page in pages
    ]


def summary(found: Discovery, pages: Sequence[Page], *, yaml_command: str) -> list[str]:
    """Return what the answer comes to, and what to run next."""
    listed = count(len(pages), "Page")
    texts = []
    if not found.not_listed and not found.lost:
        texts.append(
            f"What could be read does not differ from the configuration ({listed})."
            if found.is_partial
            else f"Nothing differs: the configuration lists every Page that is reached, and each of its {listed} is reached."
        )
    else:
        texts.append(f"Listed: {listed}. Not listed: {len(found.not_listed):,}. Lost: {len(found.lost):,}.")
    if found.not_assigned:
        texts.append(
            f"{count(len(found.not_assigned), 'Page')} of the business {'is' if len(found.not_assigned) == 1 else 'are'} assigned to "
            "no system user of the configuration: see --output json."
        )
    if any(page.problem is None for page in found.not_listed):
        texts.append(f"To list them: {yaml_command}")
    return texts


def causes(found: Discovery) -> Iterator[tuple[str, str, str]]:
    """Yield three sentences about each problem: whom it concerns, what is wrong, and who does what."""
    # Graph's texts contain the id of the Page, and its answers an id of their own.
    grouped: dict[tuple[str, str, str], list[tuple[str, str]]] = {}

    def add(kind: str, problem: Problem, whose: str) -> None:
        key = (f"{kind} {problem.code}", problem.owner, problem.remedy)
        grouped.setdefault(key, []).append((whose, problem.message))

    for page in (*found.lost, *found.not_listed):
        if page.problem is not None:
            add("problem", page.problem, page.name or page.id)
    for one in found.unknown:
        add("unknown", one.problem, f"Page {one.page}" if one.page else f"system user {one.system_user}")
    for (head, owner, remedy), same in grouped.items():
        names, messages = (list(dict.fromkeys(texts)) for texts in zip(*same, strict=True))
        yield f"{head}: {some(names)}", joined(messages), action_text(owner, remedy)


def yaml_lines(found: Discovery, pages: Sequence[Page], *, default_user: str | None) -> Iterator[str]:
    """Yield the Pages that are not listed, as entries of ``pages:``; those that cannot be read are comments.

    ``default_user`` is the system user that an entry need not name.
    """
    taken = {name for page in pages for name in (page.name, page.id)}
    names = unique_slugs({page.id: page.name for page in found.not_listed}, taken)
    readable = [page for page in found.not_listed if page.problem is None]
    if not readable:
        yield "# No Page to add: see page-token-sync discover."
    for page in readable:
        comment = _comment(page.name) if page.name != names[page.id] else ""
        yield f"  - {_entry(page, names[page.id], default_user)}{comment}"
    for page in found.not_listed:
        if page.problem is not None:
            yield f"  # - {_entry(page, names[page.id], default_user)}{_comment(page.name)}: {page.problem.code}"
    for lost in found.lost:
        yield f"  # {lost.name} ({lost.id}) is listed and lost{f': {lost.problem.code}' if lost.problem else ''}"
    for text in dict.fromkeys(one.problem.message for one in found.unknown):
        yield from _wrapped(f"Unknown: {text}")


def _entry(page: FoundPage, name: str, default_user: str | None) -> str:
    user = {} if page.system_user == default_user else {"system_user": page.system_user}
    return flow({"id": page.id, **({"name": name} if name != page.id else {}), **user})


def _comment(name: str) -> str:
    """Return a Page's own name as a comment: on one line, without characters that a reader could take for a line break."""
    text = scrub("".join(one if one.isprintable() else " " for one in name)).strip()
    return f"  # {text}" if text else ""


def _wrapped(text: str) -> Iterable[str]:
    plain = "".join(one if one.isprintable() else " " for one in scrub(text))
    return textwrap.wrap(plain, _WIDTH, initial_indent="  # ", subsequent_indent="  #   ")
