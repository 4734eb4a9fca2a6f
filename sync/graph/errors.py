"""What each of Graph's errors means for a Page, a system user or an app: one closed table, read from the top.

Collected from Meta's error references and from dated answers that others published, as of 2026-12-01. A text is matched
only where code and subcode do not decide; server calls without ``locale`` are answered in English.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal

from sync.core.judge.verify import BLOCKED_SUBCODES
from sync.core.model import Reach, SourceError, State
from sync.core.problems import Owner, Problem
from sync.graph.fault import Fault, Kind, asks_to_wait, explain

Where = Literal["page", "debug", "batch", "probe", "renew"]
"""Which call failed. "page": a Page or the list of Pages, with a system user's token. "debug": ``debug_token``, with the
app's token. "batch": the batch around reads of Pages or probes, whose error is about no single item. "probe": ``/me`` with a
Page token. "renew": the exchange of a system user's token."""

Then = Literal["give-up", "retry", "halve", "singly", "close-app", "close-user", "close-page", "other-form"]
"""What to do in this cycle. "close-app": no further call of this app; "close-user" and "close-page": none of this system
user, none about this Page. "other-form": Graph does not accept this form of request. "halve": ask for less at once.
"singly": ask again for each item by itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what it matches (None: anything), and what that means.

    ``note`` begins the message; ``{lacks}``, ``{granted}`` and ``{address}`` in it are the fault's. ``owner`` and ``remedy`` are those of the
    catalogue unless the row has its own.
    """

    name: str
    problem: str
    state: Literal[State.INVALID, State.UNKNOWN] = State.UNKNOWN
    scope: Reach = "page"
    then: Then = "give-up"
    owner: Owner | Literal[""] = ""
    where: tuple[Where, ...] = ("page", "debug", "batch", "probe", "renew")
    kind: Kind | None = "error"
    codes: Container[int] | None = None
    subcodes: Container[int] | None = None
    texts: tuple[str, ...] = ()
    when: Callable[[Fault], bool] | None = None
    user_token: State | None = None
    note: str = ""
    remedy: str = ""

    def matches(self, fault: Fault, where: Where, user_token: State) -> bool:
        """Check whether this is the row of ``fault``; ``user_token`` is the state of the system user's token."""
        return (
            where in self.where
            and self.kind in (None, fault.kind)
            and (self.codes is None or (fault.code is not None and fault.code in self.codes))
            and (self.subcodes is None or (fault.subcode is not None and fault.subcode in self.subcodes))
            and (not self.texts or any(text.lower() in fault.text.lower() for text in self.texts))
            and (self.user_token is None or self.user_token is user_token)
            and (self.when is None or self.when(fault))
        )

    def error(self, fault: Fault) -> SourceError:
        """Return the error of the Page, the token or the system user that the fault is about."""
        note = self.note.format(lacks=fault.lacks, granted=fault.granted, address=fault.address or "graph.version")
        message = " ".join(part for part in (note, explain(fault)) if part)
        problem = Problem(self.problem, message, self.owner, self.remedy, fault.code, fault.subcode, fault.fbtrace_id)
        return SourceError(problem, self.state, self.scope)


_REACH_GRAPH = (
    "From this machine or container, check that DNS knows the host of graph.base_url, and check graph.ca_file and graph.proxy "
    "where a proxy or firewall stands between. Graph is asked again in the next cycle."
)
_ASKED_AGAIN = "Graph is asked again in the next cycle. If this lasts, check that no proxy changes Graph's answers."
_APP_REFUSED = "Meta refuses the app's own token, which is made of apps.*.id and apps.*.secret."
_PAGE: tuple[Where, ...] = ("page",)
_DEBUG: tuple[Where, ...] = ("debug",)
_TOKEN_INVALID = frozenset({190, 102, 452})


def _transient(fault: Fault) -> bool:
    return fault.kind == "bad-answer" or fault.code in (1, 2, 1150) or fault.transient or (fault.status or 0) >= 500  # noqa: PLR2004 - HTTP's own number


def _form_not_taken(fault: Fault) -> bool:
    return fault.code == 2500 or (fault.code, fault.subcode) == (100, 33)  # noqa: PLR2004 - Graph's codes


def _cannot_be_sent(fault: Fault) -> bool:
    return fault.transport in ("bad-request", "ca-file", "proxy")


def _found_no_graph(fault: Fault) -> bool:
    # Through a proxy it is the proxy alone that is connected to.
    return fault.transport in ("dns", "tls") or (fault.transport == "connect" and bool(fault.via))


TABLE: tuple[Row, ...] = (
    Row(
        "request-not-sendable",
        "graph-unavailable",
        scope="graph",
        owner="operator",
        kind="transport",
        when=_cannot_be_sent,
        remedy=_REACH_GRAPH,
    ),
    Row(
        "graph-not-found",
        "graph-unavailable",
        scope="graph",
        then="retry",
        owner="operator",
        kind="transport",
        when=_found_no_graph,
        remedy=_REACH_GRAPH,
    ),
    Row("no-answer", "graph-unavailable", scope="graph", then="retry", kind="transport"),
    Row(
        "graph-down-not-found",
        "graph-unavailable",
        scope="graph",
        owner="operator",
        kind="down",
        when=lambda fault: _cannot_be_sent(fault) or _found_no_graph(fault),
        remedy=_REACH_GRAPH,
    ),
    Row("graph-down", "graph-unavailable", scope="graph", kind="down"),
    Row("item-given-up", "graph-unavailable", then="singly", kind="null"),
    Row("batch-malformed", "unexpected-graph-error", when=lambda fault: fault.type == "GraphBatchException"),
    Row("too-many-requests", "throttled", scope="app", then="close-app", kind=None, when=asks_to_wait),
    Row("app-throttled", "throttled", scope="app", then="close-app", codes={4}),
    Row("caller-throttled", "throttled", scope="system_user", then="close-user", codes={17, 32, 341}),
    Row("unusual-volume", "throttled", scope="app", then="close-app", owner="operator", codes={613}),
    Row("page-throttled", "throttled", then="close-page", codes=range(80000, 80015)),
    Row("viewer-without-permission", "no-access", State.INVALID, where=_PAGE, codes={1}, subcodes={2853006}),
    Row("app-unknown", "app-secret-invalid", scope="app", then="close-app", codes={101}, note=_APP_REFUSED),
    Row(
        "app-not-validated",
        "app-secret-invalid",
        scope="app",
        then="close-app",
        codes={190, 1},
        texts=("Error validating application", "Error validating client secret"),
        note=_APP_REFUSED,
    ),
    Row(
        "app-token-refused",
        "app-secret-invalid",
        scope="app",
        then="close-app",
        where=_DEBUG,
        codes={190},
        note=_APP_REFUSED,
    ),
    Row(
        "proof-refused",
        "app-secret-invalid",
        scope="app",
        then="close-app",
        codes={100},
        texts=("appsecret_proof",),
        note="Meta refuses the proof that is made with apps.*.secret.",
    ),
    Row(
        "token-of-another-app",
        "wrong-app",
        State.INVALID,
        where=_DEBUG,
        codes={100},
        texts=("did not match the Viewing App",),
    ),
    Row(
        "caller-may-not-debug",
        "debug-unavailable",
        scope="app",
        then="other-form",
        where=_DEBUG,
        codes={100},
        texts=("must provide an app access token",),
    ),
    # Every path that is called here exists in each version that Graph knows.
    Row(
        "version-unknown",
        "version-sunset",
        scope="app",
        then="close-app",
        codes={2500},
        texts=("Unknown path components",),
        note="Graph does not know the version that it is called with ({address}).",
    ),
    Row("address-refused", "address-not-allowed", scope="app", then="close-app", codes={5}),
    Row("app-type-refused", "app-misconfigured", scope="app", then="close-app", codes={15}),
    Row(
        "app-not-active",
        "graph-unavailable",
        scope="app",
        then="close-app",
        owner="meta",
        codes={200},
        texts=("non-active app", "temporarily disabled"),
        remedy="Graph is asked again in the next cycle. If this lasts, open the app's dashboard, whose alerts give the reason.",
    ),
    Row(
        "no-token-arrived",
        "unexpected-graph-error",
        scope="app",
        then="close-app",
        codes={200},
        texts=("Provide valid app ID",),
        note="Graph received no token: something between here and Graph may remove it.",
        remedy="Check graph.base_url, graph.proxy and any gateway: they must pass on the Authorization header and the body.",
    ),
    Row(
        "debug-not-in-a-batch", "debug-unavailable", scope="app", then="other-form", where=_DEBUG, when=_form_not_taken
    ),
    Row("batch-not-taken", "unexpected-graph-error", then="other-form", where=("batch",), when=_form_not_taken),
    Row(
        "app-blocked",
        "app-blocked",
        scope="app",
        then="close-app",
        codes={200},
        texts=("API access blocked", "API access deactivated", "API access disrupted"),
    ),
    Row("too-much-data", "graph-unavailable", then="halve", texts=("reduce the amount of data",), when=_transient),
    Row("transient", "graph-unavailable", then="retry", kind=None, when=_transient),
    Row("token-refused", "token-invalid", State.INVALID, where=("probe",), codes=_TOKEN_INVALID),
    Row("capability-missing", "app-capability", scope="app", where=("page", "debug", "batch", "probe"), codes={3}),
    Row(
        "permission-missing",
        "missing-permission",
        State.INVALID,
        where=_PAGE,
        when=lambda fault: bool(fault.lacks),
        note="The system user token lacks the permission {lacks}.",
    ),
    Row("two-factor", "two-factor-required", State.INVALID, where=_PAGE, codes={415}),
    Row("two-factor-elsewhere", "two-factor-required", codes={415}),
    Row("action-blocked", "policy-blocked", codes={368}),
    Row(
        "person-blocked",
        "policy-blocked",
        scope="system_user",
        codes={190},
        subcodes=BLOCKED_SUBCODES,
        note="Meta has blocked the system user.",
    ),
    Row("no-role-on-page", "no-access", State.INVALID, where=_PAGE, codes={190}, subcodes={492}),
    Row("wrong-kind-of-token", "unexpected-graph-error", where=_PAGE, codes={190}, subcodes={2069032}),
    Row(
        "user-token-invalid",
        "system-user-invalid",
        scope="system_user",
        where=("page", "batch", "renew"),
        codes=_TOKEN_INVALID,
        user_token=State.INVALID,
    ),
    Row("renewal-refused", "renewal-failed", scope="system_user", where=("renew",), kind=None),
    Row(
        "user-token-valid",
        "no-access",
        State.INVALID,
        where=_PAGE,
        codes=_TOKEN_INVALID,
        user_token=State.VALID,
        note="Graph refuses this Page to the system user, whose token debug_token calls valid.",
    ),
    Row(
        "user-token-not-judged",
        "debug-unavailable",
        scope="system_user",
        where=("page", "batch"),
        codes=_TOKEN_INVALID,
        user_token=State.UNKNOWN,
        note="Graph refuses the system user token, and debug_token gave no verdict on it.",
    ),
    Row("token-left-out", "no-access", State.INVALID, kind="no-token"),
    Row("token-malformed", "no-access", State.INVALID, owner="meta", kind="malformed-token", remedy=_ASKED_AGAIN),
    Row("user-token-returned", "wrong-type", State.INVALID, kind="user-token"),
    Row("token-of-another-page", "wrong-page", State.INVALID, kind="other-page"),
    Row(
        "person",
        "not-a-page",
        State.INVALID,
        where=_PAGE,
        codes={100},
        when=lambda fault: "nonexisting field" in fault.text and "node type (User)" in fault.text,
    ),
    Row("page-migrated", "page-migrated", State.INVALID, where=_PAGE, codes={21}),
    Row("page-migrated-as-100", "page-migrated", State.INVALID, where=_PAGE, codes={100}, subcodes={21}),
    Row("alias-unknown", "page-not-found", State.INVALID, where=_PAGE, codes={803}),
    Row(
        "page-not-reached", "no-access", State.INVALID, where=_PAGE, codes={100, 10, *range(200, 300)}, note="{granted}"
    ),
    Row("call-malformed", "unexpected-graph-error", where=_PAGE, codes={104, 2500}),
    Row("facts-left-out", "debug-unavailable", owner="meta", kind="no-facts", remedy=_ASKED_AGAIN),
    Row("facts-partial", "debug-unavailable", owner="meta", kind="partial-facts", remedy=_ASKED_AGAIN),
    Row("anything-else", "unexpected-graph-error", kind=None),
)
"""First match wins; the last row matches everything."""


def classify(fault: Fault, where: Where, user_token: State = State.UNKNOWN) -> Row:
    """Return the row of a fault; ``user_token`` is the state of the system user's token that was used."""
    return next(row for row in TABLE if row.matches(fault, where, user_token))


def blames_user_token(fault: Fault, where: Where = "page") -> bool:
    """Check whether the fault may mean that the system user's token is invalid, so that it must be judged again."""
    return classify(fault, where, State.INVALID).name == "user-token-invalid"
