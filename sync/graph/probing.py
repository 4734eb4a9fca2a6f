"""Whether Page tokens are alive: each one is asked with itself, who it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus

from sync.core.model import Probe
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.batch import chunks
from sync.graph.client import Caller, Client, prove
from sync.graph.errors import Fault, classify
from sync.graph.gate import Gate
from sync.runtime.threads import Clock, each

Probed = dict[Secret, Probe]

_LONGEST = 2048
"""Characters beyond which a string is no token that could be probed in company; ``debug_token`` has the word on it."""

_CLOSING = ("throttled", "app-blocked")
"""What one token's answer may close: a proof that does not fit may be the fault of a token of another app."""


class Prober:
    """Asks Graph who Page tokens are, for one cycle, on the quotas of their own Pages.

    The tokens stand in the items of a batch, in its body, each with its own proof. The batch as such goes out with the app's
    own token: Graph demands one, and a Page token there would have the whole batch refused for its own death.
    """

    def __init__(
        self, client: Client, gate: Gate, clock: Clock, caller: Caller, *, app_secret: Secret, workers: int
    ) -> None:
        self._client = client
        self._gate = gate
        self._clock = clock
        self._caller = caller
        self._app_secret = app_secret
        self._workers = workers
        self._batch_refused = False

    def ask(self, pages: Mapping[Secret, str]) -> Probed:
        """Return for every token how it was taken; ``pages`` holds the id of the Page that it should be of."""
        probed: Probed = dict.fromkeys(pages, "unknown")
        fit = [
            token
            for token, page_id in pages.items()
            if len(token.reveal()) <= _LONGEST and self._gate.barred(self._caller, page_id) is None
        ]

        def piece(tokens: tuple[Secret, ...]) -> Probed:
            return self._piece(tokens, [pages[token] for token in tokens])

        for part in each(piece, chunks(fit), workers=self._workers, clock=self._clock).values():
            probed.update(part)
        return probed

    def _piece(self, tokens: Sequence[Secret], ids: Sequence[str]) -> Probed:
        if self._gate.barred(self._caller) is not None:
            return dict.fromkeys(tokens, "unknown")
        if not self._batch_refused:
            got = self._client.batch(self._caller, [self._url(token) for token in tokens], "probe", tokens, pages=ids)
            if not isinstance(got, Fault):
                return {
                    token: self._taken(*item) for token, item in zip(tokens, zip(ids, got, strict=True), strict=True)
                }
            row = classify(got, "batch")
            self._gate.note(self._caller, row, got)
            if row.then in ("close-app", "close-user", "close-page", "retry", "halve", "singly") or row.scope != "page":
                return dict.fromkeys(tokens, "unknown")
            self._batch_refused = True
        return {token: self._single(token, page_id) for token, page_id in zip(tokens, ids, strict=True)}

    def _url(self, token: Secret) -> str:
        text = quote_plus(token.reveal(), errors="replace")
        return f"me?fields=id&access_token={text}&appsecret_proof={prove(token, self._app_secret).reveal()}"

    def _single(self, token: Secret, page_id: str) -> Probe:
        if self._gate.barred(self._caller, page_id) is not None:
            return "unknown"
        caller = Caller(self._caller.app, token, prove(token, self._app_secret), self._caller.app_pool)
        return self._taken(page_id, self._client.get(caller, "me", {"fields": "id"}, "probe", pages=(page_id,)))

    def _taken(self, page_id: str, answer: Answer | Fault) -> Probe:
        if isinstance(answer, Answer):
            is_id = answer.value.get("id")
            if not isinstance(is_id, str | int) or isinstance(is_id, bool):
                return "unknown"
            return "answered" if str(is_id) == page_id else "refused"
        row = classify(answer, "probe")
        if row.problem in _CLOSING:
            self._gate.note(self._caller, row, answer, page_id)
        return "refused" if row.name == "token-refused" else "unknown"
