"""The table of Graph's errors: a case for each row, and what the order of the rows decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.core.model import State
from sync.graph.answers import judge
from sync.graph.errors import TABLE, Where, blames_user_token, classify
from sync.graph.fault import Fault, explain

UNKNOWN, INVALID, VALID = State.UNKNOWN, State.INVALID, State.VALID
PROOF = "API calls from the server require an appsecret_proof argument"
MAY_NOT_DEBUG = "(#100) You must provide an app access token, or a user access token that is an owner or developer"
UNSUPPORTED = "Unsupported get request. Object with ID '1' does not exist, cannot be loaded due to missing permissions"
USER = "(#100) Tried accessing nonexisting field (access_token) on node type (User)"
SESSION = "Error validating access token: The session has been invalidated because the user changed their password"


def said(code: int | None, subcode: int | None = None, text: str = "", status: int = 400, **more) -> Fault:
    """Read an error envelope as Graph sends it."""
    error = {"message": text or "An error", "type": "OAuthException", "code": code, "error_subcode": subcode, **more}
    fault = judge(status, {"error": {key: value for key, value in error.items() if value is not None}}, secrets=())
    assert isinstance(fault, Fault)
    return fault


def failed(transport: str) -> Fault:
    """Return the fault of a request without an answer."""
    return Fault("transport", transport=transport)


# row, fault, where, what is known of the parent, then: state, problem, scope, what next, who
CASES: list[tuple[str, Fault, Where, State, State, str, str, str, str]] = [
    ("request-not-sendable", failed("ca-file"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "operator"),
    ("request-not-sendable", failed("proxy"), "debug", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "operator"),
    ("request-not-sendable", failed("bad-request"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "operator"),
    ("graph-not-found", Fault("transport", transport="connect", via="the proxy p:3128 of the configuration"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "operator"),
    ("no-answer", failed("timeout"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "nobody"),
    ("no-answer", failed("connect"), "debug", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "nobody"),
    ("graph-not-found", failed("dns"), "debug", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "operator"),
    ("graph-not-found", failed("tls"), "batch", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "operator"),
    ("graph-down-not-found", Fault("down", transport="proxy"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "operator"),
    ("graph-down-not-found", Fault("down", transport="dns"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "operator"),
    ("graph-down", Fault("down"), "page", VALID, UNKNOWN, "graph-unavailable", "graph", "give-up", "nobody"),
    ("item-given-up", Fault("null"), "page", VALID, UNKNOWN, "graph-unavailable", "page", "singly", "nobody"),
    ("batch-malformed", said(None, text="Too many requests in batch message", type="GraphBatchException"), "batch", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("too-many-requests", Fault("bad-answer", 429), "page", VALID, UNKNOWN, "throttled", "app", "close-app", "nobody"),
    ("too-many-requests", Fault("bad-answer", 503, retry_after=30), "debug", VALID, UNKNOWN, "throttled", "app", "close-app", "nobody"),
    ("app-throttled", said(4, status=403, is_transient=True), "page", VALID, UNKNOWN, "throttled", "app", "close-app", "nobody"),
    ("app-throttled", said(4), "debug", VALID, UNKNOWN, "throttled", "app", "close-app", "nobody"),
    ("caller-throttled", said(17, 2446079), "page", VALID, UNKNOWN, "throttled", "system_user", "close-user", "nobody"),
    ("caller-throttled", said(32), "batch", VALID, UNKNOWN, "throttled", "system_user", "close-user", "nobody"),
    ("caller-throttled", said(341), "page", VALID, UNKNOWN, "throttled", "system_user", "close-user", "nobody"),
    ("unusual-volume", said(613, 1996), "page", VALID, UNKNOWN, "throttled", "app", "close-app", "operator"),
    ("page-throttled", said(80001), "page", VALID, UNKNOWN, "throttled", "page", "close-page", "nobody"),
    ("page-throttled", said(80014), "page", VALID, UNKNOWN, "throttled", "page", "close-page", "nobody"),
    ("viewer-without-permission", said(1, 2853006, "Viewer doesn't have permission"), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("app-unknown", said(101, text="Error validating application. Cannot get application info"), "page", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("app-not-validated", said(190, text="Error validating application. Cannot get application info"), "page", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("app-not-validated", said(1, text="Error validating client secret."), "debug", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("app-token-refused", said(190, text="Invalid OAuth access token signature.", status=401), "debug", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("proof-refused", said(100, text=PROOF, type="GraphMethodException"), "page", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("proof-refused", said(100, text="Invalid appsecret_proof provided in the API argument"), "batch", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("token-of-another-app", said(100, text="(#100) The App_id in the input_token did not match the Viewing App"), "debug", VALID, INVALID, "wrong-app", "page", "give-up", "operator"),
    ("caller-may-not-debug", said(100, text=MAY_NOT_DEBUG), "debug", VALID, UNKNOWN, "debug-unavailable", "app", "other-form", "operator"),
    ("debug-not-in-a-batch", said(100, 33, UNSUPPORTED), "debug", VALID, UNKNOWN, "debug-unavailable", "app", "other-form", "operator"),
    ("version-unknown", said(2500, text="Unknown path components: /debug_token"), "debug", VALID, UNKNOWN, "version-sunset", "app", "close-app", "operator"),
    ("version-unknown", said(2500, text="(#2500) Unknown path components: /1"), "page", VALID, UNKNOWN, "version-sunset", "app", "close-app", "operator"),
    ("version-unknown", said(2500, text="Unknown path components: /"), "batch", VALID, UNKNOWN, "version-sunset", "app", "close-app", "operator"),
    ("version-unknown", said(2500, text="Unknown path components: /me"), "probe", VALID, UNKNOWN, "version-sunset", "app", "close-app", "operator"),
    ("version-unknown", said(2500, text="Unknown path components: /oauth/access_token"), "renew", VALID, UNKNOWN, "version-sunset", "app", "close-app", "operator"),
    ("address-refused", said(5, text="(#5) This IP can't make requests for that application."), "debug", VALID, UNKNOWN, "address-not-allowed", "app", "close-app", "app-admin"),
    ("address-refused", said(5), "page", VALID, UNKNOWN, "address-not-allowed", "app", "close-app", "app-admin"),
    ("app-type-refused", said(15, text="(#15) This method cannot be called with a client token or an app secret embedded in a client"), "debug", VALID, UNKNOWN, "app-misconfigured", "app", "close-app", "app-admin"),
    ("app-not-active", said(200, text="(#200) API calls from non-active apps are not permitted"), "page", VALID, UNKNOWN, "graph-unavailable", "app", "close-app", "meta"),
    ("app-not-active", said(200, text="Access to this data is temporarily disabled for non-active apps or apps that have not recently accessed this data type."), "debug", VALID, UNKNOWN, "graph-unavailable", "app", "close-app", "meta"),
    ("no-token-arrived", said(200, text="(#200) Provide valid app ID"), "page", VALID, UNKNOWN, "unexpected-graph-error", "app", "close-app", "operator"),
    ("debug-not-in-a-batch", said(2500, text="An active access token must be used"), "debug", VALID, UNKNOWN, "debug-unavailable", "app", "other-form", "operator"),
    ("batch-not-taken", said(100, 33, UNSUPPORTED), "batch", VALID, UNKNOWN, "unexpected-graph-error", "page", "other-form", "operator"),
    ("app-blocked", said(200, text="API access blocked."), "page", VALID, UNKNOWN, "app-blocked", "app", "close-app", "app-admin"),
    ("app-blocked", said(200, text="API access disrupted. Go to the App Dashboard and complete Data Use Checkup."), "page", VALID, UNKNOWN, "app-blocked", "app", "close-app", "app-admin"),
    ("app-blocked", said(200, text="API access deactivated."), "debug", VALID, UNKNOWN, "app-blocked", "app", "close-app", "app-admin"),
    ("too-much-data", said(1, text="Please reduce the amount of data you're asking for", status=500), "batch", VALID, UNKNOWN, "graph-unavailable", "page", "halve", "nobody"),
    ("transient", said(1, text="An unknown error occurred", status=500), "page", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", said(2, status=500, is_transient=True), "debug", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", said(1150), "page", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", said(4711, is_transient=True), "page", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", said(190, status=500), "page", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", Fault("bad-answer", 200), "page", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("transient", Fault("bad-answer", 302), "debug", VALID, UNKNOWN, "graph-unavailable", "page", "retry", "nobody"),
    ("capability-missing", said(3), "page", VALID, UNKNOWN, "app-capability", "app", "give-up", "app-admin"),
    ("capability-missing", said(3), "debug", VALID, UNKNOWN, "app-capability", "app", "give-up", "app-admin"),
    ("permission-missing", replace(said(283, text="(#283) Requires pages_read_engagement permission"), lacks="pages_read_engagement"), "page", VALID, INVALID, "missing-permission", "page", "give-up", "app-admin"),
    ("permission-missing", replace(said(190, text="Any of the permission(s) must be granted before impersonating"), lacks="a_b"), "page", VALID, INVALID, "missing-permission", "page", "give-up", "app-admin"),
    ("two-factor-elsewhere", said(415, 2859009), "debug", VALID, UNKNOWN, "two-factor-required", "page", "give-up", "app-admin"),
    ("two-factor-elsewhere", said(415), "renew", VALID, UNKNOWN, "two-factor-required", "page", "give-up", "app-admin"),
    ("two-factor", said(415, 2859009), "page", VALID, INVALID, "two-factor-required", "page", "give-up", "app-admin"),
    ("two-factor", said(415, 1404120), "page", VALID, INVALID, "two-factor-required", "page", "give-up", "app-admin"),
    ("action-blocked", said(368), "page", VALID, UNKNOWN, "policy-blocked", "page", "give-up", "app-admin"),
    ("person-blocked", said(190, 459), "page", VALID, UNKNOWN, "policy-blocked", "system_user", "give-up", "app-admin"),
    ("person-blocked", said(190, 464), "page", INVALID, UNKNOWN, "policy-blocked", "system_user", "give-up", "app-admin"),
    ("person-blocked", said(190, 490), "page", UNKNOWN, UNKNOWN, "policy-blocked", "system_user", "give-up", "app-admin"),
    ("token-refused", said(190), "probe", VALID, INVALID, "token-invalid", "page", "give-up", "nobody"),
    ("token-refused", said(190, 492), "probe", VALID, INVALID, "token-invalid", "page", "give-up", "nobody"),
    ("token-refused", said(190, 459), "probe", VALID, INVALID, "token-invalid", "page", "give-up", "nobody"),
    ("no-role-on-page", said(190, 492), "page", UNKNOWN, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("wrong-kind-of-token", said(190, 2069032), "page", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("user-token-invalid", said(190, 460, SESSION), "page", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("user-token-invalid", said(190, 463), "batch", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("user-token-invalid", said(102), "page", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("user-token-invalid", said(452), "page", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("user-token-invalid", said(190, status=401), "page", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("user-token-valid", said(190, text="must be granted before impersonating a user's page."), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("user-token-valid", said(190, 467), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("user-token-not-judged", said(190, 460), "page", UNKNOWN, UNKNOWN, "debug-unavailable", "system_user", "give-up", "operator"),
    ("user-token-not-judged", said(190), "batch", UNKNOWN, UNKNOWN, "debug-unavailable", "system_user", "give-up", "operator"),
    ("user-token-invalid", said(190, 463), "renew", INVALID, UNKNOWN, "system-user-invalid", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(190, 460), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(190), "renew", UNKNOWN, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(3962), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(200, text="(#200) Permissions error"), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(10), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", said(100), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("renewal-refused", Fault("no-new-token"), "renew", VALID, UNKNOWN, "renewal-failed", "system_user", "give-up", "app-admin"),
    ("no-answer", failed("timeout"), "renew", VALID, UNKNOWN, "graph-unavailable", "graph", "retry", "nobody"),
    ("app-not-validated", said(1, text="Error validating client secret."), "renew", VALID, UNKNOWN, "app-secret-invalid", "app", "close-app", "operator"),
    ("app-blocked", said(200, text="API access blocked."), "renew", VALID, UNKNOWN, "app-blocked", "app", "close-app", "app-admin"),
    ("person-blocked", said(190, 459), "renew", INVALID, UNKNOWN, "policy-blocked", "system_user", "give-up", "app-admin"),
    ("app-throttled", said(4), "renew", VALID, UNKNOWN, "throttled", "app", "close-app", "nobody"),
    ("token-left-out", Fault("no-token", 200), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("token-malformed", Fault("malformed-token", 200), "page", VALID, INVALID, "no-access", "page", "give-up", "meta"),
    ("user-token-returned", Fault("user-token", 200), "page", VALID, INVALID, "wrong-type", "page", "give-up", "operator"),
    ("token-of-another-page", Fault("other-page", 200), "page", VALID, INVALID, "wrong-page", "page", "give-up", "operator"),
    ("person", said(100, text=USER), "page", VALID, INVALID, "not-a-page", "page", "give-up", "operator"),
    ("page-migrated", said(21, text="(#21) Page ID 1 was migrated to page ID 2."), "page", VALID, INVALID, "page-migrated", "page", "give-up", "operator"),
    ("page-migrated-as-100", said(100, 21), "page", VALID, INVALID, "page-migrated", "page", "give-up", "operator"),
    ("alias-unknown", said(803, status=404), "page", VALID, INVALID, "page-not-found", "page", "give-up", "operator"),
    ("page-not-reached", said(100, text="(#100) Tried accessing nonexisting field (access_token)"), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("page-not-reached", said(100, 33, UNSUPPORTED), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("page-not-reached", said(10), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("page-not-reached", said(200, text="(#200) Permissions error", status=403), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("page-not-reached", said(299), "page", VALID, INVALID, "no-access", "page", "give-up", "business-admin"),
    ("call-malformed", said(104), "page", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("call-malformed", said(2500, text='Syntax error "Expected end of string"'), "page", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("facts-left-out", Fault("no-facts", 200), "debug", VALID, UNKNOWN, "debug-unavailable", "page", "give-up", "meta"),
    ("facts-partial", Fault("partial-facts", text="type"), "debug", VALID, UNKNOWN, "debug-unavailable", "page", "give-up", "meta"),
    ("anything-else", said(12345), "page", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("anything-else", said(190, 460), "batch", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
    ("anything-else", said(300), "page", VALID, UNKNOWN, "unexpected-graph-error", "page", "give-up", "operator"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{case[0]}-{case[1].code or case[1].transport or case[1].kind}-{case[2]}" for case in CASES]
)
def test_an_error_means_what_its_row_says(case) -> None:
    """Each error of Graph matches one row, which fixes state, problem, scope, what is done next, and the owner."""
    name, fault, where, user_token, state, problem, scope, then, owner = case
    row = classify(fault, where, user_token)
    error = row.error(fault)
    assert (row.name, row.then) == (name, then)
    assert (error.state, error.problem.code, error.scope, error.problem.owner) == (state, problem, scope, owner)
    assert error.problem.message
    assert "{" not in error.problem.message
    assert (error.problem.graph_code, error.problem.graph_subcode) == (fault.code, fault.subcode)


def test_what_graph_wants_a_person_to_be_shown_is_shown() -> None:
    """The title and the text for a person replace the developer's message, and each is there once."""
    fault = said(
        190, 460, SESSION, error_user_title="Action required", error_user_msg="Log in at business.facebook.com."
    )
    assert explain(fault) == "Graph says: Action required: Log in at business.facebook.com."
    assert explain(said(10, error_user_msg="Title. Text", error_user_title="Title.")) == "Graph says: Title. Text"
    assert explain(said(10, error_user_title="Title alone")) == "Graph says: Title alone"
    assert explain(said(10, text="Message", error_user_msg=17, error_user_title="")) == "Graph says: Message"


def test_texts_for_a_person_hold_no_token() -> None:
    """A token that Graph quotes in them is removed, and so are line breaks."""
    text = "Log in\nwith EAAB" + "x1" * 40
    assert explain(said(10, error_user_msg=text)) == "Graph says: Log in with [removed]"


def test_every_row_has_a_case() -> None:
    """The table has no row that no test reaches."""
    assert {row.name for row in TABLE} == {case[0] for case in CASES}


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (said(190), True),
        (said(190, 460), True),
        (said(102), True),
        (said(190, 492), False),
        (said(190, 459), False),
        (said(190, text="Error validating application."), False),
        (said(4), False),
        (Fault("no-token"), False),
    ],
)
def test_only_an_error_that_may_blame_the_user_token_has_it_judged_again(fault: Fault, answer: bool) -> None:
    """A call on the app's quota is spent only where the system user's token may be invalid."""
    assert blames_user_token(fault) is answer


@pytest.mark.parametrize("fault", [Fault("no-facts", 200), Fault("partial-facts", text="type")])
def test_a_partial_answer_is_no_reason_to_put_tokens_into_urls(fault: Fault) -> None:
    """Neither another form of the call nor another app secret would complete it."""
    remedy = classify(fault, "debug").error(fault).problem.remedy
    assert "asked again in the next cycle" in remedy
    assert "token_in_url" not in remedy


def test_a_failure_names_the_proxy_between() -> None:
    """Through a proxy it is the proxy that is connected to, so no message blames the host of Graph."""
    via = "the proxy proxy.internal:3128 of the configuration"
    for transport, text in (("dns", "host name of the proxy"), ("connect", via), ("timeout", via)):
        fault = Fault("transport", transport=transport, address="https://graph.facebook.com/v25.0", via=via)
        assert text in explain(fault)
        assert "graph.base_url" not in explain(fault)


@pytest.mark.parametrize("kind", ["timeout", "stopped", "dns", "connect", "tls", "reset", "protocol", "too-large"])
def test_every_failed_request_has_a_sentence(kind: str) -> None:
    """Each failure is explained without a library's text."""
    assert explain(failed(kind)).endswith(".")
