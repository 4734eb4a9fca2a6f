"""``POST /v1/pages/NAME/check``: an app that met error 190 has its Page's secret checked and healed."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sync.core.secret import CredentialError
from sync.ops.check import PATIENCE, Answer, Checks

_SCHEME = "bearer "


def check_route(checks: Checks, *, patience: float = PATIENCE) -> Route:
    """Return the route, which answers 404 to everything while no token is configured: a reload may configure one."""

    async def check(request: Request) -> Response:
        """Return the answer to one request."""
        expected, page = checks.token(), request.path_params["name"]
        if expected is None:
            return _response(Answer(404, {"reason": "Checks need web.token in the configuration."}))
        if isinstance(expected, CredentialError):
            return _response(Answer(503, {"reason": "web.token could not be read: see the daemon's log."}, 60))
        given = request.headers.get("Authorization", "")
        # Compared in any case, so that the time does not show whether a header was there.
        if not (expected.matches(given[len(_SCHEME) :]) and given[: len(_SCHEME)].lower() == _SCHEME):
            reason = "Send the token of web.token as Authorization: Bearer TOKEN."
            return JSONResponse({"reason": reason}, 401, {"WWW-Authenticate": "Bearer"})
        asked = checks.ask(page)
        if isinstance(asked, Future):
            # Neither the end of this waiting nor a client that goes away cancels the check.
            await asyncio.wait([asyncio.wrap_future(asked)], timeout=patience)
        return _response(checks.answer(page, asked))

    return Route("/v1/pages/{name}/check", check, methods=["POST"])


def _response(answer: Answer) -> Response:
    headers = {"Retry-After": str(answer.retry_after)} if answer.retry_after is not None else {}
    return JSONResponse(dict(answer.body), answer.status, headers)
