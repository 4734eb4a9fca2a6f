"""What is judged of the Pages; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sync.core.model import Fetched, SourceError, State
from sync.core.problems import NO_ACTION
from sync.core.report.finding import Finding, skipped_check
from sync.core.report.text import expiry
from sync.doctor.checks import ok
from sync.doctor.facts import GraphFacts, PageFacts, UserFacts
from sync.doctor.meta import Failures, is_undecided, of_code, of_problem, undecided
from sync.graph.examining import Listing, Node

PAGE_CHECKS = ("page-visible", "page-tasks", "page-token", "page-proof")

_UNEXPECTED = "unexpected-graph-error"
"""An error of no known code: it proves no token invalid, but a Page whose token is refused with it is not read."""
_NO_PAGE = ("page-not-found", "page-migrated", "not-a-page")
_SUFFICIENT = frozenset({"MANAGE", "FULL_CONTROL", "MODERATE", "MESSAGING"})
"""Tasks that suffice for an app that sends messages or moderates; those of new Pages begin with PROFILE_PLUS_."""
_NEW_PAGES = "PROFILE_PLUS_"
_ASSIGN = (
    "In Business Settings > Users > System users, assign the Page to the system user with Full control, or with Messages and "
    "Community activity. Tasks take effect on the same token."
)


def page_findings(facts: GraphFacts, failures: Failures) -> Iterator[Finding]:
    """Yield what is right and wrong about each Page."""
    users = {name: _without_gaps(user, facts) for name, user in facts.users.items()}
    for page in facts.pages:
        name, user = page.page.name, page.page.system_user
        failed = failures.graph or failures.apps.get(page.page.app) or failures.users.get(user)
        if failed is None and isinstance(page.fetched, SourceError) and page.fetched.scope != "page":
            failed = failures.unknown_users.get(user)
        if failed is not None:
            yield from (skipped_check(check, name, failed) for check in PAGE_CHECKS)
            continue
        yield from _page(page, users[user], failures)


def _without_gaps(user: UserFacts, facts: GraphFacts) -> UserFacts:
    """Return the system user with its list as incomplete where a Page whose token Graph returned is not in it."""
    listing, name = user.assigned, user.token.system_user
    if not isinstance(listing, Listing):
        return user
    works = (page.page for page in facts.pages if isinstance(page.fetched, Fetched) and page.page.system_user == name)
    whole = listing.complete and all(page.id in listing.pages for page in works)
    return replace(user, assigned=replace(listing, complete=whole))


def _page(page: PageFacts, user: UserFacts, failures: Failures) -> Iterator[Finding]:
    name = page.page.name
    visible = _visible(page, user)
    tasks = skipped_check("page-tasks", name, visible) if visible.status == "fail" else _tasks(page, user)
    yield visible
    yield tasks
    if user.business is not None:
        yield _business(page, user)
    cause = next((found for found in (visible, tasks) if found.status == "fail"), None)
    token = _token(page, cause, failures)
    yield token
    if token.status == "ok":
        yield _proof(page, failures)
    else:
        yield skipped_check("page-proof", name, token)


def _visible(page: PageFacts, user: UserFacts) -> Finding:
    name, fetched, node = page.page.name, page.fetched, page.node
    if isinstance(fetched, Fetched) or (isinstance(node, Node) and node.type in ("page", "")):
        return ok("page-visible", name, f"Page {page.page.id} is visible.")
    if fetched.problem.code in _NO_PAGE:
        return of_problem("page-visible", name, fetched.problem)
    if isinstance(node, Node):
        return of_code(
            "page-visible", name, "not-a-page", f"The id {page.page.id} is that of a {node.type}, not of a Page."
        )
    if node is not None and node.state is State.INVALID and _is_unassigned(page, user):
        message = (
            f"Graph shows the system user nothing under {page.page.id}: no Page has this id, or it is not assigned."
        )
        return of_code("page-visible", name, "no-access", f"{message} {node.problem.message}")
    if is_undecided(fetched.problem) and isinstance(user.assigned, Listing) and page.page.id in user.assigned.pages:
        return ok("page-visible", name, f"Page {page.page.id} is visible.")
    why = f" {node.problem.message}" if node is not None else ""
    message = f"It could not be found out whether the id is a Page's.{why}"
    return Finding("page-visible", name, "unknown", message, "nobody", NO_ACTION)


def _is_unassigned(page: PageFacts, user: UserFacts) -> bool:
    """Check whether the Page is known not to be assigned to the system user."""
    listing = user.assigned
    return isinstance(listing, Listing) and listing.complete and page.page.id not in listing.pages


def _tasks(page: PageFacts, user: UserFacts) -> Finding:
    name, listing, has_token = page.page.name, user.assigned, isinstance(page.fetched, Fetched)
    listed = listing.pages.get(page.page.id) if isinstance(listing, Listing) else None
    if listed is None:
        if _is_unassigned(page, user) and not has_token and isinstance(page.node, Node):
            message = f"The Page {page.node.name or page.page.id} is not assigned to the system user."
            return Finding("page-tasks", name, "fail", message, "business-admin", _ASSIGN)
        why = f" {listing.problem.message}" if isinstance(listing, SourceError) else ""
        message = f"Graph does not list the Page among those that are assigned to the system user.{why}"
        return Finding("page-tasks", name, "unknown", message, "nobody", NO_ACTION)
    if listed.tasks is None:
        return ok("page-tasks", name, "The Page is assigned to the system user.")
    tasks = ", ".join(listed.tasks) or "none"
    sends = "pages_messaging" in page.page.checks.scopes
    if any(task.removeprefix(_NEW_PAGES) in _SUFFICIENT for task in listed.tasks) or (has_token and not sends):
        return ok("page-tasks", name, f"The Page is assigned to the system user with the tasks {tasks}.")
    message = f"The system user has no task on the Page that suffices for messages or comments. It has: {tasks}."
    return Finding("page-tasks", name, "warn" if has_token else "fail", message, "business-admin", _ASSIGN)


def _business(page: PageFacts, user: UserFacts) -> Finding:
    name, (owned, shared) = page.page.name, (user.owned, user.shared)
    if isinstance(owned, Listing) and page.page.id in owned.pages:
        return ok("page-business", name, f"Business {user.business} owns the Page.")
    if isinstance(shared, Listing) and page.page.id in shared.pages:
        message = f"Another business owns the Page, and shares it with business {user.business}."
        remedy = (
            "Meta's guide asks that one business owns the app and the Page: move the Page into the business, or use Business "
            "Login for its owner. Until then that business can take the Page away at any time."
        )
        return Finding("page-business", name, "warn", message, "business-admin", remedy)
    if isinstance(owned, Listing) and owned.complete and isinstance(shared, Listing) and shared.complete:
        message = f"Business {user.business} neither owns the Page nor has it shared with it."
        remedy = (
            "In Business Settings > Accounts > Pages, add the Page to the business, or correct system_users.*.business."
        )
        return Finding("page-business", name, "warn", message, "business-admin", remedy)
    error = next((found for found in (owned, shared) if isinstance(found, SourceError)), None)
    if error is not None and is_undecided(error.problem):
        message = f"Graph did not say which Pages business {user.business} owns."
        return undecided("page-business", name, error.problem, message)
    why = f" {error.problem.message}" if error is not None else ""
    message = f"Graph does not show the system user which Pages business {user.business} owns.{why}"
    remedy = "To find it out, generate the token with the permission business_management as well."
    return Finding("page-business", name, "unknown", message, "nobody", remedy)


def _token(page: PageFacts, cause: Finding | None, failures: Failures) -> Finding:
    name, fetched = page.page.name, page.fetched
    if isinstance(fetched, Fetched):
        return ok("page-token", name, f"Graph returned the token {fetched.token.fingerprint}.")
    if cause is not None:
        return skipped_check("page-token", name, cause)
    if fetched.problem.code == "missing-permission" and page.page.system_user in failures.scopes:
        return skipped_check("page-token", name, failures.scopes[page.page.system_user])
    if is_undecided(fetched.problem) and fetched.problem.code != _UNEXPECTED:
        return undecided("page-token", name, fetched.problem)
    return of_problem("page-token", name, fetched.problem)


def _proof(page: PageFacts, failures: Failures) -> Finding:
    name, verdict = page.page.name, page.verdict
    if verdict is None:
        message = "debug_token was not called, to keep within the app's quota at Meta."
        return Finding("page-proof", name, "unknown", message, "nobody", "Examine some Pages: doctor --page GLOB.")
    if verdict.state is State.VALID:
        if verdict.notices:
            return of_problem("page-proof", name, verdict.notices[0], "warn")
        expires = verdict.facts.expires_at if verdict.facts is not None else None
        return ok("page-proof", name, f"The token is proven, and expires: {expiry(expires)}.")
    problem = verdict.problems[0]
    lacking = failures.scopes.get(page.page.system_user)
    if lacking is not None and all(problem.code == "missing-scope" for problem in verdict.problems):
        return skipped_check("page-proof", name, lacking)
    if is_undecided(problem):
        return undecided("page-proof", name, problem, "Meta did not say whether the token is valid.")
    message = " ".join(dict.fromkeys(problem.message for problem in verdict.problems))
    return of_problem("page-proof", name, replace(problem, message=message))
