"""Page tokens and facts about tokens, for one cycle."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sync.core.model import Fetched, Page, Parent, SourceError, State, TokenFacts, Verdict
from sync.core.problems import Problem
from sync.core.secret import CredentialError, Secret
from sync.graph.client import Caller, Client, GraphSettings, prove
from sync.graph.debugging import Debugger
from sync.graph.interface import AppCredentials, SystemUserCredentials
from sync.graph.pages import PageReader, dead
from sync.graph.patience import Gate
from sync.http import Http
from sync.threads import Clock

ENDING = timedelta(days=14)
"""How long before its end a system user's token is spoken of."""

_NO_USERS = ("PAGE", "APP")
"""Types of tokens that are pasted for a system user's by mistake, and with which every Page would look lost."""


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
        barred: CredentialError | None = None,
        workers: int = 8,
    ) -> None:
        """``barred`` says why Graph must not be asked at all: its proxy could not be read, and no way leads around it."""
        self.requests = 0
        self.calls = 0
        self.warnings: Sequence[str] = ()
        self._apps = {app.name: app for app in apps}
        self._users = {user.name: user for user in system_users}
        self._clock = clock
        self._workers = workers
        known = [app.secret for app in apps] + [user.token for user in system_users]
        secrets = [secret for secret in known if isinstance(secret, Secret)]
        self._client = Client(http, settings, clock, secrets=secrets, tally=self)
        self._gate = Gate()
        self._debugger = Debugger(self._client, self._gate, clock, workers)
        self._lock = threading.RLock()
        self._parents: dict[str, Parent] | None = None
        self._judged_again: set[str] = set()
        for app in apps:
            if barred is not None:
                self._gate.close(app.name, _no_way_out(barred))
            if isinstance(app.secret, CredentialError):
                self._gate.close(app.name, _unreadable(app.secret))

    def parents(self) -> Mapping[str, Parent]:
        """Judge each system user's token, once per cycle; a later answer may know that one has died meanwhile."""
        with self._lock:
            if self._parents is None:
                self._parents = {}
                for app in self._apps:
                    users = [user for user in self._users.values() if user.app == app]
                    self._parents.update(self._judge(app, users))
            return dict(self._parents)

    def read(self, pages: Sequence[Page]) -> Mapping[str, Fetched | SourceError]:
        """Get each Page's token from its system user's token, by the Page's name."""
        parents = self.parents()
        groups: dict[str, dict[str, str]] = {}
        for page in pages:
            groups.setdefault(page.system_user, {})[page.id] = page.name
        got: dict[str, Fetched | SourceError] = {}
        for user, names in groups.items():
            part = self._read(parents[user], list(names))
            got.update({names[page_id]: answer for page_id, answer in part.items()})
        return got

    def debug(self, app: str, tokens: Sequence[Secret]) -> Mapping[Secret, TokenFacts | SourceError]:
        """Have Meta say what each token is, asked with the token of the app of this name."""
        shut, secret = self._gate.shut(app), self._apps[app].secret
        if isinstance(secret, CredentialError):
            return dict.fromkeys(tokens, _unreadable(secret))
        if shut is not None:
            return dict.fromkeys(tokens, shut)
        token = Secret(f"{self._apps[app].id}|{secret.reveal()}")
        return self._debugger.ask(prove(app, token, secret), tokens)

    def _read(self, parent: Parent, ids: list[str]) -> Mapping[str, Fetched | SourceError]:
        caller = self._caller(parent)
        if isinstance(caller, SourceError):
            return dict.fromkeys(ids, caller)
        user = parent.system_user
        reader = PageReader(
            self._client,
            self._gate,
            self._clock,
            caller,
            judged=lambda: self.parents()[user].verdict,
            judge_again=lambda: self._judge_again(user),
            workers=self._workers,
        )
        return reader.read(ids)

    def _caller(self, parent: Parent) -> Caller | SourceError:
        shut = self._gate.shut(parent.app)
        if shut is not None:
            return shut
        secret = self._apps[parent.app].secret
        if parent.token is None or parent.verdict.state is State.INVALID or isinstance(secret, CredentialError):
            return dead(parent.verdict)
        return prove(parent.app, parent.token, secret)

    def _judge(self, app: str, users: Sequence[SystemUserCredentials]) -> dict[str, Parent]:
        tokens = [user.token for user in users if isinstance(user.token, Secret)]
        told = self.debug(app, tokens) if tokens else {}
        parents = {}
        for user in users:
            if isinstance(user.token, CredentialError):
                remedy = "Put the token where system_users.*.token points; a file is read again in each cycle."
                problem = Problem("system-user-dead", str(user.token), "operator", remedy)
                parents[user.name] = Parent(user.name, app, None, Verdict(State.INVALID, (problem,)))
            else:
                verdict = judge_parent(told[user.token], self._apps[app].id, self._clock.now())
                parents[user.name] = Parent(user.name, app, user.token, verdict)
        return parents

    def _judge_again(self, user: str) -> Verdict:
        """Have Meta judge a system user's token anew, the first time in a cycle that a read says it may have died."""
        with self._lock:
            parent = self.parents()[user]
            if user not in self._judged_again and self._parents is not None:
                self._judged_again.add(user)
                parent = self._judge(parent.app, [self._users[user]])[user]
                self._parents[user] = parent
            return parent.verdict


def judge_parent(told: TokenFacts | SourceError, app_id: str, now: datetime) -> Verdict:
    """Judge a system user's token by what Meta says of it."""
    if isinstance(told, SourceError):
        return Verdict(told.state, (told.problem,))
    if told.is_valid is False:
        error = told.error
        message = error.message if error is not None and error.message else "Meta calls the token invalid."
        codes = (error.code, error.subcode) if error is not None else (None, None)
        return Verdict(State.INVALID, (Problem("system-user-dead", message, "", "", *codes),), facts=told)
    if told.app_id is None or told.is_valid is None:
        return Verdict(State.UNKNOWN, (Problem("debug-unavailable", "Meta did not name the token's app."),), facts=told)
    if told.app_id != app_id:
        message = f"The system user's token belongs to app {told.app_id}, not to {app_id}."
        return Verdict(State.INVALID, (Problem("wrong-app", message),), facts=told)
    if told.type in _NO_USERS:
        message = f"The system user's token is of type {told.type}, and not a system user's."
        remedy = (
            "Put the token that Business Settings > Users > System users generates where system_users.*.token points."
        )
        return Verdict(State.INVALID, (Problem("wrong-type", message, "operator", remedy),), facts=told)
    ends = told.expires_at
    notices: tuple[Problem, ...] = ()
    if isinstance(ends, datetime) and ends < now + ENDING:
        notices = (Problem("system-user-ending", f"The system user's token ends at {ends:%Y-%m-%d %H:%M} UTC."),)
    return Verdict(State.VALID, notices=notices, facts=told)


def _unreadable(error: CredentialError) -> SourceError:
    remedy = "Put the secret of App settings > Basic where apps.*.secret points; a file is read again in each cycle."
    return SourceError(Problem("app-secret-wrong", str(error), "operator", remedy), scope="app")


def _no_way_out(error: CredentialError) -> SourceError:
    remedy = "Put the proxy's address where graph.proxy points; it is read again in each cycle."
    return SourceError(Problem("graph-unavailable", f"Graph's proxy: {error}", "operator", remedy), scope="graph")
