"""Examine each dependency in the order of Meta's guide. It writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sync.config.load import Config
from sync.config.resolve.uses import uses
from sync.config.schema.references import StoreReference
from sync.core.judge.verify import verify
from sync.core.model import Ask, Fetched, Page, SourceError, State, TokenFacts, Verdict
from sync.core.report.finding import Finding
from sync.doctor.facts import AppFacts, GraphFacts, PageFacts, UserFacts
from sync.doctor.machine import ReadCredential, process_facts
from sync.doctor.meta import Failures, meta_findings
from sync.doctor.pages import page_findings
from sync.doctor.process import process_findings
from sync.graph.examining import Examiner
from sync.graph.source import GraphSource
from sync.runtime.threads import Clock, each
from sync.stores.interface import Store

_MOST_NODES = 20
"""Pages without a token whose id is looked up, a call each; more have a common cause."""
_WORKERS = 8
_WAYS = frozenset({"graph-dns", "graph-reached", "store-reached", "store-login", "store-mount"})
"""Checks that fail where a variable of the environment was meant to lead elsewhere."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is examined: Pages of the configuration, system users and their apps, and stores.

    ``state_warning`` is why the state file is not used. ``proven`` are facts of debug_token about Page tokens that are recent
    enough to count, by app id and fingerprint.
    """

    config: Config
    pages: Sequence[Page]
    users: Sequence[str]
    source: GraphSource
    stores: Mapping[str, Store]
    read: ReadCredential
    state_warning: str
    proven: Mapping[tuple[str, str], TokenFacts]
    clock: Clock

    def run(self) -> list[Finding]:
        """Examine everything, and return the findings in the order of the chain."""
        wanted = uses(self.config.settings, self.pages)

        def one(name: str) -> Sequence[Finding]:
            if not name:
                return self._graph_findings()
            return self.stores[name].examine(wanted[name], self.config.settings.instance)

        jobs = ("", *self.stores)
        found = each(one, jobs, workers=_WORKERS, clock=self.clock)
        others = [finding for name in jobs for finding in found[name]]
        unreached = any(finding.status == "fail" and finding.id in _WAYS for finding in others)
        process = process_findings(
            process_facts(self.config, self.read, state_warning=self.state_warning), unreached=unreached
        )
        return [*process, *others]

    def _graph_findings(self) -> Sequence[Finding]:
        facts, failures = self._facts(), Failures()
        return [*meta_findings(facts, failures), *page_findings(facts, failures)]

    def _facts(self) -> GraphFacts:
        settings, examiner = self.config.settings, self.source.examiner()
        graph, unreached = settings.graph, examiner.reach()
        used = dict.fromkeys(settings.system_users[name].app or "" for name in self.users)
        names = {app: examiner.app_name(app) for app in used}
        user_facts = {name: self._user(examiner, name) for name in self.users}
        pages = self._pages(examiner, user_facts)
        # The reads may have shown meanwhile that a token is invalid.
        tokens = self.source.user_tokens()
        user_facts = {name: replace(user, token=tokens[name]) for name, user in user_facts.items()}
        apps = {
            name: AppFacts(settings.apps[name].id, found, self._app_business(examiner, name))
            for name, found in names.items()
        }
        skew = self.source.skew_meter
        return GraphFacts(
            address=graph.base_url,
            version=graph.version,
            now=self.clock.now(),
            via=examiner.via,
            issuer=examiner.issuer() if unreached is None or unreached.transport == "tls" else "",
            unreached=unreached,
            skew=skew.skew if skew.is_known else None,
            other_version=self.source.other_version,
            apps=apps,
            users=user_facts,
            pages=pages,
        )

    def _app_business(self, examiner: Examiner, app: str) -> str | SourceError | None:
        users = (user for user in self.config.settings.system_users.values() if user.app == app)
        return examiner.app_business(app) if any(user.business for user in users) else None

    def _user(self, examiner: Examiner, name: str) -> UserFacts:
        configured, token = self.config.settings.system_users[name], self.source.user_tokens()[name]
        works = token.verdict.state is not State.INVALID
        business = configured.business
        of_business = (
            [examiner.business_pages(name, business, owned=owned) for owned in (True, False)]
            if works and business is not None
            else [None, None]
        )
        return UserFacts(
            token=token,
            scopes=tuple(
                dict.fromkeys(scope for page in self.pages if page.system_user == name for scope in page.checks.scopes)
            ),
            business=business,
            renew_before=configured.renew_before,
            in_store=isinstance(configured.token, StoreReference),
            assigned=examiner.assigned_pages(name) if works else None,
            owned=of_business[0],
            shared=of_business[1],
        )

    def _pages(self, examiner: Examiner, users: Mapping[str, UserFacts]) -> list[PageFacts]:
        fetched = self.source.read(self.pages)
        verdicts = self._verdicts(fetched)
        refused = {
            page.name: page
            for page in self.pages
            if isinstance(found := fetched[page.name], SourceError)
            and found.state is State.INVALID
            and users[page.system_user].token.verdict.state is not State.INVALID
        }
        nodes = each(
            lambda name: examiner.node(refused[name].system_user, refused[name].id),
            list(refused)[:_MOST_NODES],
            workers=_WORKERS,
            clock=self.clock,
        )
        return [
            PageFacts(page, fetched[page.name], verdicts.get(page.name), nodes.get(page.name)) for page in self.pages
        ]

    def _verdicts(self, fetched: Mapping[str, Fetched | SourceError]) -> Mapping[str, Verdict]:
        """Judge the tokens that Graph returned, by debug_token where no recent facts of it are known."""
        tokens = {name: found.token for name, found in fetched.items() if isinstance(found, Fetched)}
        known: dict[str, TokenFacts | SourceError] = {}
        asks: dict[str, list[str]] = {}
        for page in self.pages:
            if page.name not in tokens:
                continue
            facts = self.proven.get((page.app_id, tokens[page.name].fingerprint))
            if facts is not None:
                known[page.name] = facts
            else:
                asks.setdefault(page.app, []).append(page.name)
        for app, names in asks.items():
            answers = self.source.debug(app, [Ask(tokens[name]) for name in names])
            known.update({name: answers[tokens[name]] for name in names if tokens[name] in answers})
        now = self.clock.now()
        return {page.name: verify(known[page.name], page=page, now=now) for page in self.pages if page.name in known}
