"""Page tokens and facts about tokens, from Graph, for one cycle."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType

from sync.core.judge.skew import skew_warning
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.model import (
    AppToken,
    Ask,
    Fetched,
    GraphErrorFacts,
    Page,
    Probe,
    SourceError,
    State,
    SystemUserToken,
    TokenFacts,
    Verdict,
)
from sync.core.secret import CredentialError, Secret
from sync.graph.caller import Caller, prove
from sync.graph.client import Client, GraphSettings
from sync.graph.debugging import Debugger
from sync.graph.examining import Examiner
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.pages import PageReader
from sync.graph.probing import Prober
from sync.graph.quotas import Quotas, limit_reached
from sync.graph.renewing import exchange
from sync.graph.skew import SkewMeter
from sync.graph.user_tokens import (
    invalid_user_token,
    is_young,
    judge_user_token,
    refused_user_token,
    remembered,
    unreadable,
)
from sync.http import Http
from sync.runtime.threads import Clock

_NO_ANSWER = ("throttled", "debug-unavailable")
"""Problems of a call of debug_token that leave what is known of a system user's token standing."""


class GraphSource:
    """Meta's Graph API as a ``Source``, with the credentials of one cycle."""

    def __init__(
        self,
        *,
        http: Http,
        settings: GraphSettings,
        apps: Sequence[AppCredentials],
        system_users: Sequence[SystemUserCredentials],
        clock: Clock,
        proxy_error: CredentialError | None = None,
        pools: Mapping[QuotaKey, Pool] = MappingProxyType({}),
        budget: float = 0.75,
        known: Mapping[tuple[str, str], TokenFacts] = MappingProxyType({}),
        workers: int = 8,
    ) -> None:
        """Prepare one cycle; nothing is sent yet.

        ``proxy_error``: Graph's proxy could not be read, so Graph is not called at all. ``pools`` are Meta's quotas as the last
        cycle left them. ``budget`` is the share of an app's quota for calls that are not urgent. ``known`` are the facts
        that ``debug_token`` last returned for system users' tokens, by app id and fingerprint.
        """
        self.requests = 0
        self.calls = 0
        self.outcomes: Counter[tuple[str, ...]] = Counter()
        self.calls_by_kind: Counter[tuple[str, ...]] = Counter()
        self.skew_meter = SkewMeter()
        self._warnings: dict[str, None] = {}
        self._waiting: dict[str, str] = {}
        self._apps = {app.name: app for app in apps}
        self._users = {user.name: user for user in system_users}
        self._clock = clock
        self._began = clock.now()
        self._workers = workers
        credentials = [app.secret for app in apps] + [user.token for user in system_users]
        secrets = [secret for secret in credentials if isinstance(secret, Secret)]
        self._known = known
        self._quotas = Quotas(pools, budget, clock)
        self._client = Client(http, settings, clock, secrets=secrets, stats=self, quotas=self._quotas)
        self._debugger = Debugger(self._client, self._quotas, clock, workers)
        self._lock = threading.RLock()
        self._debug_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._user_tokens: dict[str, SystemUserToken] | None = None
        self._judged_again: set[tuple[str, bool]] = set()
        self._short_lists: set[str] = set()
        self.probe_errors: dict[AppToken, GraphErrorFacts] = {}
        """What Graph said when it refused tokens."""
        self._proxy_error = _proxy_unreadable(proxy_error) if proxy_error is not None else None
        for app in apps:
            if self._proxy_error is not None:
                self._quotas.close_app(app.name, self._proxy_error)
            if isinstance(app.secret, CredentialError):
                self._quotas.close_app(app.name, _unreadable(app.secret))

    @property
    def pools(self) -> Mapping[QuotaKey, Pool]:
        """Meta's quotas as they are known now."""
        return self._quotas.pools()

    @property
    def short_lists(self) -> frozenset[str]:
        """The system users whose list of Pages showed too few of their Pages."""
        return frozenset(self._short_lists)

    @property
    def warnings(self) -> Sequence[str]:
        """What an operator should see: another API version, clock skew, tokens that wait for capacity in a quota."""
        skew = skew_warning(self.skew_meter.skew)
        return (*self._warnings, *([skew] if skew else []), *self._waiting.values())

    @property
    def other_version(self) -> str:
        """A sentence about another API version that Graph served; "" where it served the one of the configuration."""
        return next(iter(self._warnings), "")

    @property
    def skew(self) -> timedelta:
        """How far Meta's clock is ahead of this machine's."""
        return self.skew_meter.skew

    def warn(self, warning: str) -> None:
        """Record a sentence for an operator; the same sentence twice counts once."""
        self._warnings[warning] = None

    def user_tokens(self) -> Mapping[str, SystemUserToken]:
        """Judge each system user's token once per cycle; a later call may return that one became invalid meanwhile."""
        with self._lock:
            return dict(self._user_tokens_of_cycle())

    def read(
        self,
        pages: Sequence[Page],
        *,
        individually: frozenset[str] = frozenset(),
        by_id: frozenset[str] = frozenset(),
        watched: Sequence[Page] = (),
    ) -> Mapping[str, Fetched | SourceError]:
        """Return each Page's token, by the Page's name; Pages in ``individually`` are read by a request each.

        Pages in ``by_id`` are not looked for in the list, those in ``watched`` in nothing else.
        """
        user_tokens = self.user_tokens()
        groups: dict[str, dict[str, str]] = {}
        for page in (*pages, *watched):
            groups.setdefault(page.system_user, {})[page.id] = page.name
        only_listed = {page.name for page in watched}
        got: dict[str, Fetched | SourceError] = {}
        for user, names in groups.items():
            alone, unlisted, watch = (
                {i for i, name in names.items() if name in some} for some in (individually, by_id, only_listed)
            )
            ids = [page_id for page_id in names if page_id not in watch]
            part = self._read(user_tokens[user], ids, alone, unlisted, watch)
            got.update({names[page_id]: answer for page_id, answer in part.items()})
        return got

    def debug(self, app: str, asks: Sequence[Ask]) -> Mapping[Secret, TokenFacts | SourceError]:
        """Return the facts of each token, by ``debug_token`` with the token of this app, as far as the app's quota allows."""
        caller = self._app_caller(app)
        if isinstance(caller, SourceError):
            return dict.fromkeys((ask.token for ask in asks), caller)
        with self._debug_locks[app]:
            return self._debugger.ask(caller, asks, lambda count, until: self._warn_waiting(app, count, until))

    def probe(self, app: str, pages: Mapping[Secret, str]) -> Mapping[Secret, Probe]:
        """Use each Page token once, to see whether Graph accepts it and answers for its Page."""
        caller, secret = self._app_caller(app), self._apps[app].secret
        if isinstance(caller, SourceError) or isinstance(secret, CredentialError):
            return dict.fromkeys(pages, "unknown")
        prober = Prober(self._client, self._quotas, self._clock, caller, app_secret=secret, workers=self._workers)
        probes = prober.ask(pages)
        self.probe_errors.update({(app, token): error for token, error in prober.errors.items()})
        return probes

    def exchange(self, system_user: str) -> Secret | SourceError:
        """Exchange a system user's token for a new one."""
        user_token = self.user_tokens()[system_user]
        caller, app = self._caller(user_token), self._apps[user_token.app]
        if isinstance(caller, SourceError):
            return caller
        if isinstance(app.secret, CredentialError):
            return _unreadable(app.secret)
        blocked = self._quotas.blocked(caller)
        if blocked is not None:
            return blocked
        judge_again = partial(self._judge_again, system_user)
        return exchange(
            self._client, self._quotas, caller, app_id=app.id, app_secret=app.secret, judge_again=judge_again
        )

    def examiner(self) -> Examiner:
        """Return what finds out more than a cycle needs, with the same credentials, retries and quotas."""
        return Examiner(
            self._client,
            self._quotas,
            apps=self._apps.keys(),
            proxy_error=self._proxy_error,
            app_caller=self._app_caller,
            user_caller=lambda system_user: self._caller(self.user_tokens()[system_user]),
        )

    def _app_caller(self, app: str) -> Caller | SourceError:
        """Return a caller with the app's own token, or why the app is not to be called."""
        closed, secret = self._quotas.closed_app(app), self._apps[app].secret
        if isinstance(secret, CredentialError):
            return _unreadable(secret)
        if closed is not None:
            return closed
        app_id = self._apps[app].id
        token = Secret(f"{app_id}|{secret.reveal()}")
        return Caller(app, app_id, token, prove(token, secret))

    def _warn_waiting(self, app: str, count: int, until: datetime | None) -> None:
        used = self._quotas.used(QuotaKey(self._apps[app].id))
        share = f"{used:.0f} % of" if used is not None else "so much of"
        when = f" until {until:%H:%M} UTC" if until is not None else ""
        tokens = "1 token waits" if count == 1 else f"{count} tokens wait"
        self._waiting[app] = f"App {app} has used {share} its hourly quota at Meta: {tokens} to be judged{when}."

    def _read(
        self, user_token: SystemUserToken, ids: list[str], individually: set[str], by_id: set[str], watched: set[str]
    ) -> Mapping[str, Fetched | SourceError]:
        caller = self._caller(user_token)
        if isinstance(caller, SourceError):
            return dict.fromkeys(ids, caller)
        user = user_token.system_user
        reader = PageReader(
            self._client,
            self._quotas,
            self._clock,
            caller,
            judged=lambda: self.user_tokens()[user].verdict,
            judge_again=lambda: self._judge_again(user),
            refresh=lambda: self._refreshed(user),
            workers=self._workers,
        )
        got = reader.read(ids, individually, by_id, watched)
        self._short_lists |= {user} if reader.list_was_short else set()
        return got

    def _caller(self, user_token: SystemUserToken) -> Caller | SourceError:
        closed = self._quotas.closed_app(user_token.app)
        if closed is not None:
            return closed
        app, token = self._apps[user_token.app], user_token.token
        refused = refused_user_token(user_token.verdict)
        if refused is not None:
            return refused
        if token is None or isinstance(app.secret, CredentialError):
            return invalid_user_token(user_token.verdict)
        return Caller(app.name, app.id, token, prove(token, app.secret), user_token.system_user)

    def _judge(
        self, app: str, users: Sequence[SystemUserCredentials], *, again: bool = False, urgent: bool = True
    ) -> dict[str, SystemUserToken]:
        """Judge system users' tokens; with ``again`` the remembered facts are not used."""
        app_id, now = self._apps[app].id, self._clock.now()
        tokens = [user.token for user in users if isinstance(user.token, Secret)]
        known = {} if again else remembered(self._known, app_id, tokens, now)
        asked = [Ask(token, urgent=urgent) for token in tokens if token not in known or not is_young(known[token], now)]
        answered = self.debug(app, asked) if asked else {}
        user_tokens = {}
        for user in users:
            if isinstance(user.token, CredentialError):
                problem = unreadable("The system user token", "the token where system_users.*.token points", user.token)
                user_tokens[user.name] = SystemUserToken(user.name, app, None, Verdict(State.UNKNOWN, (problem,)))
            else:
                found = answered.get(user.token) or known.get(user.token) or self._quota_used_up(app)
                if isinstance(found, SourceError) and found.problem.code in _NO_ANSWER:
                    found = known.get(user.token, found)
                user_tokens[user.name] = SystemUserToken(
                    user.name, app, user.token, judge_user_token(found, app_id, self._clock.now())
                )
        return user_tokens

    def _user_tokens_of_cycle(self) -> dict[str, SystemUserToken]:
        if self._user_tokens is None:
            self._user_tokens = {}
            for app in self._apps:
                users = [user for user in self._users.values() if user.app == app]
                self._user_tokens.update(self._judge(app, users))
        return self._user_tokens

    def _quota_used_up(self, app: str) -> SourceError:
        until = self._quotas.allowance(QuotaKey(self._apps[app].id)).next_allowed_at
        return limit_reached("the app", until or self._clock.now(), "app")

    def _judge_again(self, user: str) -> Verdict:
        """Judge a system user's token again, the first time in a cycle that a read suggests that it is invalid."""
        return self._judged_once_more(user, urgent=True)

    def _refreshed(self, user: str) -> Verdict:
        """Return the verdict of a system user's token from this cycle, or the remembered one where there is no other."""
        with self._lock:
            verdict = self.user_tokens()[user].verdict
            is_remembered = verdict.facts is not None and verdict.facts.asked_at < self._began
            return self._judged_once_more(user, urgent=False) if is_remembered else verdict

    def _judged_once_more(self, user: str, *, urgent: bool) -> Verdict:
        """Judge a system user's token again, once a cycle for each urgency; an answer that is not urgent counts if it has facts."""
        with self._lock:
            user_tokens = self._user_tokens_of_cycle()
            if (user, urgent) not in self._judged_again:
                self._judged_again.add((user, urgent))
                found = self._judge(user_tokens[user].app, [self._users[user]], again=True, urgent=urgent)[user]
                if urgent or found.verdict.facts is not None:
                    user_tokens[user] = found
            return user_tokens[user].verdict


def _unreadable(error: CredentialError) -> SourceError:
    problem = unreadable(
        "The app secret", "the secret of App settings > Basic where apps.*.secret points", error, "app"
    )
    return SourceError(problem, scope="app")


def _proxy_unreadable(error: CredentialError) -> SourceError:
    what = "The proxy's address in graph.proxy"
    return SourceError(unreadable(what, "the proxy's address where graph.proxy points", error, "app"), scope="app")
