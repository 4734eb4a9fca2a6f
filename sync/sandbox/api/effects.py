"""How an injected fault changes an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sync.sandbox.replies import (
    ADDRESS_REFUSED,
    APP_BLOCKED,
    APP_NOT_ACTIVE,
    DESKTOP_APP,
    NO_APP_ID,
    NOT_THE_APP,
    PROOF_WRONG,
    FakeAnswer,
    GraphError,
    Json,
    shown_to_a_person,
    unknown_path,
    unsupported,
)
from sync.sandbox.world.faults import InjectedFault
from sync.sandbox.world.quota import app_refused, page_refused

Effect = Callable[[InjectedFault, str], FakeAnswer | GraphError]

_HTML = b"<!DOCTYPE html>\n<html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>\n"


def _server_error(fault: InjectedFault, _page: str) -> GraphError:
    status = int(fault.argument or 500)
    text = "An unexpected error has occurred. Please retry your request later."
    return GraphError(text, 2, status=status, is_transient=True)


def _html(fault: InjectedFault, _page: str) -> FakeAnswer:
    return FakeAnswer(int(fault.argument or 502), raw=_HTML, content_type="text/html; charset=utf-8")


def _redirect(fault: InjectedFault, _page: str) -> FakeAnswer:
    where = fault.argument or "/redirected"
    return FakeAnswer(302, raw=b"", headers=(("Location", where),), content_type="text/html; charset=utf-8")


def _any_error(fault: InjectedFault, _page: str) -> GraphError:
    code, _, subcode = (fault.argument or "-1").partition("/")
    return GraphError(f"(#{code}) An error on demand", int(code), int(subcode) if subcode else None)


def _says(error: GraphError) -> Effect:
    return lambda _fault, _page: error


def _sends(status: int, raw: bytes) -> Effect:
    return lambda _fault, _page: FakeAnswer(status, raw=raw)


ANSWERS: dict[str, Effect] = {
    "throttled-app": lambda _fault, _page: app_refused(100),
    "throttled-page": lambda fault, page: page_refused(page or "0", 100, int(fault.argument or 15)),
    "throttled-user": _says(GraphError("(#17) User request limit reached", 17)),
    "throttled-pages": _says(GraphError("(#32) Page request limit reached", 32)),
    "throttled-custom": _says(GraphError("(#613) Calls to this api have exceeded the rate limit.", 613, 1996)),
    "server-error": _server_error,
    "unknown-error": _says(GraphError("An unknown error occurred", 1, status=500)),
    "too-much-data": _says(
        GraphError("Please reduce the amount of data you're asking for, then retry your request", 1, status=500)
    ),
    "html": _html,
    "empty-body": _sends(200, b""),
    "null-body": _sends(200, b"null"),
    "error-empty": _sends(500, b'{"error":{}}'),
    "half-json": _sends(200, b'{"data":{"app_id":"1'),
    "redirect": _redirect,
    "error": _any_error,
    "app-blocked": _says(APP_BLOCKED),
    "app-not-active": _says(APP_NOT_ACTIVE),
    "address-refused": _says(ADDRESS_REFUSED),
    "desktop-app": _says(DESKTOP_APP),
    "no-app-id": _says(NO_APP_ID),
    "version-unknown": _says(unknown_path("/")),
    "user-message": lambda fault, _page: shown_to_a_person(fault.argument),
    "capability": _says(GraphError("(#3) Application does not have the capability to make this API call.", 3)),
    "two-factor": _says(
        GraphError("Two factor authentication required.", 415, 2859009, status=400, is_transient=False)
    ),
    "policy": _says(GraphError("The action attempted has been deemed abusive or is otherwise disallowed", 368)),
    "proof-refused": _says(PROOF_WRONG),
    "debug-not-allowed": _says(NOT_THE_APP),
    "debug-without-data": _sends(200, b'{"data":{}}'),
}
"""Faults that replace the answer: the call is counted and has no other effect."""

_READS_OF_PAGES = "node,accounts,assigned_pages"
CONFINED = {
    "debug-not-allowed": "debug_token",
    "debug-without-data": "debug_token",
    "debug-in-batch": "debug_token",
    "debug-partial": "debug_token",
    "debug-odd-type": "debug_token",
    "desktop-app": "debug_token",
    "capability": _READS_OF_PAGES,
    "two-factor": _READS_OF_PAGES,
    "user-message": _READS_OF_PAGES,
}
"""Faults that apply to some kinds of call only, unless others are given."""

WIRE = ("drip-headers", "drip-body", "cut", "close", "hang", "slow", "version")
"""Faults that let the call take effect, and change how its answer is sent."""

BATCH = ("null-items", "short-array", "debug-in-batch", "batch-refused")
OF_CALLS = frozenset((*ANSWERS, *WIRE))
OF_BATCHES = OF_CALLS | {"batch-refused"}
FACTS = ("debug-partial", "debug-odd-type")
"""Faults that change what ``debug_token`` says of a valid token."""
LISTING = ("listing-empty", "listing-without-tokens", "listing-hole")

BATCH_REFUSED = unsupported("post", "")
DEBUG_NOT_IN_BATCH = unsupported("get", "debug_token")


def spoil(answer: FakeAnswer, fault: InjectedFault | None) -> FakeAnswer:
    """Apply a fault of ``WIRE`` to an answer; arguments of ``slow`` and of the drips are milliseconds."""
    if fault is None:
        return answer
    match fault.name:
        case "drip-headers" | "drip-body" as behaviour:
            return replace(answer, behaviour=behaviour, pause=int(fault.argument or 200) / 1000)
        case "cut" | "close" | "hang" as behaviour:
            return replace(answer, behaviour=behaviour)
        case "slow":
            return replace(answer, delay=int(fault.argument or 1000) / 1000)
        case "version":
            return replace(answer, headers=(*answer.headers, ("facebook-api-version", fault.argument or "v26.0")))
        case _:
            return answer


def distort(answer: Json, fault: InjectedFault | None) -> Json:
    """Apply a fault of ``FACTS`` to an answer of ``debug_token``; its argument is the field that is left out, or the type."""
    if fault is None or not answer["data"].get("is_valid"):
        return answer
    if fault.name == "debug-partial":
        left_out = fault.argument or "type"
        return {"data": {name: value for name, value in answer["data"].items() if name != left_out}}
    return {"data": {**answer["data"], "type": fault.argument or "PAGE\ud800"}}


def check(fault: InjectedFault) -> None:
    """Raise ValueError where the fault's argument has no meaning."""
    if fault.name in ANSWERS:
        ANSWERS[fault.name](fault, "")
    spoil(FakeAnswer(200), fault)
