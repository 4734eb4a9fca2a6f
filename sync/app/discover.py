"""Find out which Pages the system users of a configuration reach. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.app.app import App
from sync.config.load import Config
from sync.core.model import Fetched, Page, SourceError
from sync.core.payload import PayloadTemplate
from sync.core.problems import Problem
from sync.core.report.discovery import Discovery, Edge, Listed, Reached, discovery, to_read
from sync.graph.examining import Examiner, Listing
from sync.graph.source import GraphSource

_NO_PAYLOAD = PayloadTemplate.parse("{token}", {})
_LONGEST_ID = 32
_LONGEST_NAME = 100
"""More than Graph allows; what stands there instead of Graph could send anything."""


def discover(app: App, config: Config) -> Discovery:
    """Read the lists of each system user, and each Page that is listed or configured by its id."""
    with app.graph() as source:
        return discovery(config.pages, [_reached(source, config, name) for name in config.settings.system_users])


def _reached(source: GraphSource, config: Config, name: str) -> Reached:
    user = config.settings.system_users[name]
    lists = _lists(source.examiner(), name, user.business)
    pages = [page for page in config.pages if page.system_user == name]
    app = user.app or ""
    app_id = config.settings.apps[app].id
    found = [Page(one, one, name, app, app_id, (), _NO_PAYLOAD) for one in to_read(lists, config.pages)]
    # Read apart, since a name of the configuration may be the id of a Page that is not listed.
    return Reached(name, lists, {**_read(source, pages), **_read(source, found)})


def _read(source: GraphSource, pages: Sequence[Page]) -> Mapping[str, Fetched | SourceError]:
    read = source.read(pages)
    return {page.id: read[page.name] for page in pages}


def _lists(examiner: Examiner, name: str, business: str | None) -> Mapping[Edge, Listed]:
    lists: dict[Edge, Listed] = {
        "assigned_pages": _listed(examiner.assigned_pages(name)),
        "accounts": _listed(examiner.listed_pages(name)),
    }
    if business is not None:
        lists["owned_pages"] = _listed(examiner.business_pages(name, business, owned=True))
        lists["client_pages"] = _listed(examiner.business_pages(name, business, owned=False))
    return lists


def _listed(found: Listing | SourceError) -> Listed:
    if isinstance(found, SourceError):
        return Listed({}, found.problem)
    names = {page_id: page.name[:_LONGEST_NAME] for page_id, page in found.pages.items() if _is_id(page_id)}
    return Listed(names, None if found.complete else _CUT_SHORT)


_CUT_SHORT = Problem("unexpected-graph-error", "Graph's list of Pages could not be read to its end.")


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID
