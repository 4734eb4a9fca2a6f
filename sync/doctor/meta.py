"""What is judged of Graph, the apps and the system users; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from sync.core.judge.skew import MAX_SKEW, skew_warning
from sync.core.judge.verify import expires_within
from sync.core.model import Fetched, Never, SourceError, State, TokenFacts
from sync.core.problems import CATALOGUE, NO_ACTION, Owner, Problem
from sync.core.report.finding import Finding, Status, skipped_check
from sync.doctor.checks import ok
from sync.doctor.facts import AppFacts, GraphFacts, UserFacts
from sync.graph.examining import Listing
from sync.graph.user_tokens import EXPIRING

_WAITS = {
    "throttled": "The limit resets by itself: run doctor again after the time in the message. If this recurs, lengthen "
    "schedule.every.",
    "graph-unavailable": "This usually ends within minutes: run doctor again, or with --wait 10m. Meta's own outages are on "
    "https://metastatus.com.",
    "debug-unavailable": "Run doctor again. If this lasts, check that no proxy changes Graph's answers.",
}
"""What there is to do about errors of Meta's that end by themselves."""
_VERSION, _UNREADABLE = "version-sunset", "credential-unavailable"
_REMEDIES = {
    "dns": "Check graph.base_url, and DNS in this machine or container. Where calls must go through a proxy, set graph.proxy.",
    "tls": "Where a proxy or a firewall inspects TLS, put its CA certificates into a file and set graph.ca_file to it. Otherwise "
    "check graph.base_url.",
    "ca-file": "Check that the file of graph.ca_file exists, can be read, and has CA certificates as PEM.",
    "proxy": "Check that graph.proxy is the URL of an HTTP proxy that listens, takes its password, and lets connections to Graph "
    "through.",
}
"""What the operator does where Graph is not reached, by how the request failed."""
_UNREACHED = (
    "Check graph.base_url, and that a firewall lets this machine or container reach it. Where calls must go through a proxy, set "
    "graph.proxy. Meta's own outages are on https://metastatus.com."
)
_INCOMPLETE = "A token that was not copied completely gives this error."
_NOT_RENEWED = (
    "Keep the token in a store, refer to it by {store: …}, and set renew_before: 14d; or generate a token that does not expire "
    "in Business Settings > Users > System users, where the business allows that."
)


@dataclass(slots=True)
class Failures:
    """The failures that others follow from: of Graph, of apps, of system users' tokens, and of their permissions.

    ``unknown_apps`` and ``unknown_users`` have those of which Meta did not say whether it accepts them.
    """

    graph: Finding | None = None
    apps: dict[str, Finding] = field(default_factory=dict)
    users: dict[str, Finding] = field(default_factory=dict)
    scopes: dict[str, Finding] = field(default_factory=dict)
    unknown_apps: dict[str, Finding] = field(default_factory=dict)
    unknown_users: dict[str, Finding] = field(default_factory=dict)


def of_problem(check: str, subject: str, problem: Problem, status: Status = "fail") -> Finding:
    """Return the finding of a check that ended with a problem of the catalogue."""
    return Finding(check, subject, status, problem.message, cast("Owner", problem.owner), problem.remedy)


def of_code(check: str, subject: str, code: str, message: str, status: Status = "fail") -> Finding:
    """Return the finding of a check that ended with a problem of this code, as the message describes it."""
    return of_problem(check, subject, Problem(code, message), status)


def is_undecided(problem: Problem) -> bool:
    """Check whether an error says nothing about the token or the app that it was the answer to.

    An app that is not active is Meta's to change. That ``debug_token`` refuses the form of the call is the operator's, and so
    is an unexpected error with a remedy of its own.
    """
    match problem.code:
        case "throttled":
            return True
        case "unexpected-graph-error":
            return problem.remedy == CATALOGUE[problem.code].remedy
        case "graph-unavailable":
            return problem.owner != "meta"
        case "debug-unavailable":
            return problem.owner == "meta"
    return False


def undecided(check: str, subject: str, problem: Problem, message: str = "") -> Finding:
    """Return the finding of a check that an error of Meta's left open; the message says what is not known."""
    own = problem.remedy != CATALOGUE[problem.code].remedy
    remedy = problem.remedy if own else _WAITS.get(problem.code, problem.remedy)
    return of_problem(
        check, subject, replace(problem, message=f"{message} {problem.message}".strip(), remedy=remedy), "unknown"
    )


def meta_findings(facts: GraphFacts, failures: Failures) -> Iterator[Finding]:
    """Yield what is right and wrong from the way to Graph up to the system users, and record what other checks follow from."""
    yield from _way(facts, failures)
    unknown_version = _unknown_version(facts)
    apps = {name: _app(name, facts, failures, unknown_version) for name in facts.apps}
    yield unknown_version or _version(facts, failures, apps)
    for name, found in apps.items():
        yield found
        yield from _app_business(name, facts.apps[name], facts, failures)
    for name, user in facts.users.items():
        yield from _user(name, user, facts, failures)


def _way(facts: GraphFacts, failures: Failures) -> Iterator[Finding]:
    unreached = facts.unreached
    through = f", through {facts.via}" if facts.via else ""
    resolved = ok("graph-dns", message="The proxy resolves the name of Graph's host." if facts.via else "")
    down = _down(facts)
    if down is not None:
        failures.graph = of_problem("graph-reached", "", down)
        yield resolved
        yield failures.graph
        yield _clock(facts)
        return
    if unreached is None:
        yield resolved
        by = f" Its certificate is issued by {facts.issuer}." if facts.issuer else ""
        yield ok("graph-reached", message=f"Graph answers at {facts.address}{through}.{by}")
        yield _clock(facts)
        return
    problem = unreached.error.problem
    otherwise = _REMEDIES["proxy"] if facts.via else _UNREACHED
    message, remedy = problem.message, _REMEDIES.get(unreached.transport, otherwise)
    if problem.code == _UNREADABLE:  # the proxy's address
        remedy = problem.remedy
    if unreached.transport == "dns":
        failed = Finding("graph-dns", "", "fail", message, "operator", remedy)
        yield failed
        yield skipped_check("graph-reached", "", failed)
    else:
        by = f" The certificate that came is issued by {facts.issuer}." if facts.issuer else ""
        failed = Finding("graph-reached", "", "fail", f"{message}{by}", "operator", remedy)
        yield resolved
        yield failed
    failures.graph = failed
    yield skipped_check("clock", "", failed)


def _down(facts: GraphFacts) -> Problem | None:
    """Return the error that Graph answers to every app, as while Meta has an outage; None where it does not."""
    problems = [app.name.problem for app in facts.apps.values() if isinstance(app.name, SourceError)]
    answered = facts.unreached is not None or len(problems) < len(facts.apps) or _is_answered(facts)
    temporary = all(one.code == "graph-unavailable" and one.owner == "nobody" for one in problems)
    return problems[0] if problems and temporary and not answered else None


def _is_answered(facts: GraphFacts) -> bool:
    """Check whether Graph returned anything but an error to a system user's token, or about it."""
    users = facts.users.values()
    return (
        any(map(_is_proven, users))
        or any(isinstance(user.assigned, Listing) for user in users)
        or any(isinstance(page.fetched, Fetched) for page in facts.pages)
    )


def _is_proven(user: UserFacts) -> bool:
    """Check whether debug_token, which the app's own token calls, proves the system user's token."""
    return user.token.verdict.state is State.VALID


def _clock(facts: GraphFacts) -> Finding:
    if facts.skew is None:
        message = "No answer of Graph had a date, so that the clock cannot be compared."
        return Finding("clock", "", "unknown", message, "nobody", NO_ACTION)
    warning = skew_warning(facts.skew)
    if warning is None:
        return ok("clock", message=f"The clock is within {max(1, round(abs(facts.skew.total_seconds())))} s of Meta's.")
    return of_code("clock", "", "clock-skew", warning, "fail" if abs(facts.skew) > MAX_SKEW else "warn")


def _unknown_version(facts: GraphFacts) -> Finding | None:
    for app in facts.apps.values():
        if isinstance(app.name, SourceError) and app.name.problem.code == _VERSION:
            return of_problem("graph-version", "", app.name.problem)
    return None


def _version(facts: GraphFacts, failures: Failures, apps: Mapping[str, Finding]) -> Finding:
    if failures.graph is not None:
        return skipped_check("graph-version", "", failures.graph)
    if facts.other_version:
        remedy = CATALOGUE[_VERSION].remedy
        return Finding("graph-version", "", "warn", facts.other_version, "operator", remedy)
    is_answered = any(found.status == "ok" for found in apps.values()) or _is_answered(facts)
    if len(failures.apps) == len(facts.apps) or not is_answered:
        return skipped_check("graph-version", "", next(iter(apps.values())))
    return ok("graph-version", message=f"Graph serves {facts.version}.")


def _app(name: str, facts: GraphFacts, failures: Failures, unknown_version: Finding | None) -> Finding:
    app = facts.apps[name]
    problem = app.name.problem if isinstance(app.name, SourceError) else _refused_debug(name, facts)
    is_open = problem is not None and is_undecided(problem)
    proven = any(_is_proven(user) for user in facts.users.values() if user.token.app == name)
    if problem is None or (is_open and proven):
        called = f" ({app.name})" if app.name and isinstance(app.name, str) else ""
        return ok("app-secret", name, f"Meta accepts the id and the secret of app {app.id}{called}.")
    # A secret that cannot be read is a failure of its own, whether or not Graph is reached.
    own = problem.code == _UNREADABLE and problem != (facts.unreached and facts.unreached.error.problem)
    if failures.graph is not None and not own:
        found = skipped_check("app-secret", name, failures.graph)
    elif unknown_version is not None and problem.code == _VERSION:
        found = skipped_check("app-secret", name, unknown_version)
    elif is_open:
        found = undecided("app-secret", name, problem, "Meta did not say whether it accepts the app's id and secret.")
        failures.unknown_apps[name] = found
        return found
    else:
        found = of_problem("app-secret", name, problem)
    failures.apps[name] = found
    return found


def _refused_debug(name: str, facts: GraphFacts) -> Problem | None:
    """Return why debug_token is refused to an app that may read its own name; None where it is not."""
    users = (user for user in facts.users.values() if user.token.app == name and user.token.token is not None)
    problems = (problem for user in users for problem in user.token.verdict.problems)
    return next((one for one in problems if one.shared_by == "app" and not is_undecided(one)), None)


def _app_business(name: str, app: AppFacts, facts: GraphFacts, failures: Failures) -> Iterator[Finding]:
    businesses = {user.business for user in facts.users.values() if user.token.app == name and user.business}
    if not businesses:
        return
    if name in failures.apps:
        yield skipped_check("app-business", name, failures.apps[name])
    elif isinstance(app.business, SourceError) and is_undecided(app.business.problem):
        yield undecided("app-business", name, app.business.problem, "Graph did not say which business owns the app.")
    elif isinstance(app.business, SourceError) or not app.business:
        message = "Graph does not say which business owns the app."
        remedy = "In Business Settings > Accounts > Apps of the system user's business, check that the app is listed."
        yield Finding("app-business", name, "unknown", message, "app-admin", remedy)
    elif app.business not in businesses:
        message = f"The app belongs to business {app.business}, and the system user to {', '.join(sorted(businesses))}."
        remedy = "Use an app of the business that owns the Pages, or correct system_users.*.business."
        yield Finding("app-business", name, "warn", message, "app-admin", remedy)
    else:
        yield ok("app-business", name, f"Business {app.business} owns the app.")


def _user(name: str, user: UserFacts, facts: GraphFacts, failures: Failures) -> Iterator[Finding]:
    found = _user_token(name, user, facts, failures)
    yield found
    if found.status in ("fail", "skipped", "unknown"):
        if name not in failures.unknown_users:
            failures.users[name] = failures.scopes[name] = found
        yield skipped_check("system-user-scopes", name, found)
        yield skipped_check("system-user-expiry", name, found)
        return
    known = user.token.verdict.facts
    if known is None:
        return
    demanded = [
        page.fetched.problem
        for page in facts.pages
        if page.page.system_user == name
        and isinstance(page.fetched, SourceError)
        and page.fetched.problem.code == "missing-permission"
    ]
    scopes = _scopes(name, user, known, demanded)
    if scopes.status == "fail":
        failures.scopes[name] = scopes
    yield scopes
    yield _expiry(name, user, known, facts.now)


def _user_token(name: str, user: UserFacts, facts: GraphFacts, failures: Failures) -> Finding:
    verdict, app = user.token.verdict, user.token.app
    unreadable = user.token.token is None
    if not unreadable and app in failures.apps:
        return skipped_check("system-user-token", name, failures.apps[app])
    if verdict.state is not State.VALID or verdict.facts is None:
        problem = verdict.problems[0]
        if is_undecided(problem):
            return _unknown_user_token(name, user, facts, failures)
        if problem.code == "system-user-invalid" and problem.graph_subcode is None:
            problem = replace(problem, message=f"{problem.message.rstrip('.')}. {_INCOMPLETE}")
        return of_problem("system-user-token", name, problem)
    person = next((notice for notice in verdict.notices if notice.code == "not-a-system-user"), None)
    if person is not None:
        return of_problem("system-user-token", name, person, "warn")
    whose = f" of user {verdict.facts.user_id}" if verdict.facts.user_id else ""
    return ok("system-user-token", name, f"Meta calls the token{whose} valid, and it is app {verdict.facts.app_id}'s.")


def _unknown_user_token(name: str, user: UserFacts, facts: GraphFacts, failures: Failures) -> Finding:
    if user.token.app in failures.unknown_apps:
        found = skipped_check("system-user-token", name, failures.unknown_apps[user.token.app])
    else:
        used = any(isinstance(page.fetched, Fetched) for page in facts.pages if page.page.system_user == name)
        works = " Graph returns tokens of Pages with it." if used else ""
        message = f"Meta did not say whether the token is valid.{works}"
        found = undecided("system-user-token", name, user.token.verdict.problems[0], message)
    failures.unknown_users[name] = found
    return found


def _scopes(name: str, user: UserFacts, known: TokenFacts, demanded: Iterable[Problem]) -> Finding:
    if known.scopes is None:
        message = "debug_token does not say which permissions the token has."
        return Finding("system-user-scopes", name, "unknown", message, "nobody", NO_ACTION)
    lacking = [scope for scope in user.scopes if scope not in known.scopes]
    messages = [f"The token lacks {', '.join(lacking)}, which checks.scopes demands."] if lacking else []
    messages += dict.fromkeys(problem.message for problem in demanded)
    if messages:
        return of_code("system-user-scopes", name, "missing-permission", " ".join(messages))
    return ok("system-user-scopes", name, f"The token has {', '.join(sorted(known.scopes)) or 'no permission'}.")


def _expiry(name: str, user: UserFacts, known: TokenFacts, now: datetime) -> Finding:
    expires = known.expires_at
    if expires is None:
        message = "debug_token does not say when the token expires."
        return Finding("system-user-expiry", name, "unknown", message, "nobody", NO_ACTION)
    if isinstance(expires, Never):
        return ok("system-user-expiry", name, "The token never expires.")
    when = f"The token expires at {expires:%Y-%m-%d %H:%M} UTC"
    if user.in_store and not isinstance(user.renew_before, Never):
        return ok("system-user-expiry", name, f"{when}, and is renewed {user.renew_before.days} days before.")
    if expires_within(expires, EXPIRING, now):
        return of_code("system-user-expiry", name, "system-user-expiring", f"{when}, and nothing renews it.", "warn")
    return Finding("system-user-expiry", name, "warn", f"{when}, and nothing renews it.", "operator", _NOT_RENEWED)
