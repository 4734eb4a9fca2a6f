"""Probe Page tokens: each is used for one ``GET /me``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from sync.core.model import GraphErrorFacts, Probe
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.batch import LONGEST_TOKEN, chunks
from sync.graph.caller import Caller, prove
from sync.graph.client import Client
from sync.graph.errors import classify
from sync.graph.fault import Fault
from sync.graph.quotas import Quotas
from sync.runtime.threads import Clock, each

Probes = dict[Secret, Probe]

_ONLY_OF_THE_TOKEN = "app-secret-invalid"  # noqa: S105 - a problem code
"""A problem that closes the app elsewhere: a refused proof may only mean that the token is of another app."""


@dataclass
class Prober:
    """Uses Page tokens for ``GET /me``, for one cycle, on the quotas of their own Pages.

    The tokens are in the items of a batch, in its body, each with its own proof. The batch itself is sent with the app's own
    token: Graph demands one, and an invalid Page token there would fail the whole batch.
    """

    client: Client
    quotas: Quotas
    clock: Clock
    caller: Caller
    app_secret: Secret
    workers: int
    errors: dict[Secret, GraphErrorFacts] = field(default_factory=dict, init=False)
    """What Graph said of the tokens that it refused."""
    _batch_refused: bool = field(default=False, init=False)

    def ask(self, pages: Mapping[Secret, str]) -> Probes:
        """Return the result for each token; ``pages`` holds the id of the Page that debug_token names for it."""
        probes: Probes = dict.fromkeys(pages, "unknown")
        fit = [
            token
            for token, page_id in pages.items()
            if len(token.reveal()) <= LONGEST_TOKEN and self.quotas.blocked(self.caller, page_id) is None
        ]

        def batch(tokens: tuple[Secret, ...]) -> Probes:
            return self._batch(tokens, [pages[token] for token in tokens])

        for part in each(batch, chunks(fit), workers=self.workers, clock=self.clock).values():
            probes.update(part)
        return probes

    def _batch(self, tokens: Sequence[Secret], ids: Sequence[str]) -> Probes:
        if self.quotas.blocked(self.caller) is not None:
            return dict.fromkeys(tokens, "unknown")
        if not self._batch_refused:
            got = self.client.batch(self.caller, [self._url(token) for token in tokens], "probe", tokens, pages=ids)
            if not isinstance(got, Fault):
                return {
                    token: self._result(token, *item)
                    for token, item in zip(tokens, zip(ids, got, strict=True), strict=True)
                }
            row = classify(got, "batch")
            self.quotas.record_fault(self.caller, row, got)
            if row.then in ("close-app", "close-user", "close-page", "retry", "halve", "singly") or row.scope != "page":
                return dict.fromkeys(tokens, "unknown")
            first = self._get(tokens[0], ids[0])
            if isinstance(first, Fault) and (first.code, first.subcode) == (got.code, got.subcode):
                # The form of a batch is not the cause, so that the other tokens alone would fare no better.
                return {token: self._result(token, page_id, first) for token, page_id in zip(tokens, ids, strict=True)}
            self._batch_refused = True
            rest = {token: self._single(token, page_id) for token, page_id in zip(tokens[1:], ids[1:], strict=True)}
            return {tokens[0]: self._result(tokens[0], ids[0], first), **rest}
        return {token: self._single(token, page_id) for token, page_id in zip(tokens, ids, strict=True)}

    def _url(self, token: Secret) -> str:
        text = quote_plus(token.reveal(), errors="replace")
        return f"me?fields=id&access_token={text}&appsecret_proof={prove(token, self.app_secret).reveal()}"

    def _single(self, token: Secret, page_id: str) -> Probe:
        if self.quotas.blocked(self.caller, page_id) is not None:
            return "unknown"
        return self._result(token, page_id, self._get(token, page_id))

    def _get(self, token: Secret, page_id: str) -> Answer | Fault:
        caller = Caller(self.caller.app, self.caller.app_id, token, prove(token, self.app_secret))
        return self.client.get(caller, "me", {"fields": "id"}, "probe", pages=(page_id,))

    def _result(self, token: Secret, page_id: str, answer: Answer | Fault) -> Probe:
        if isinstance(answer, Answer):
            answered_id = answer.value.get("id")
            if not isinstance(answered_id, str | int) or isinstance(answered_id, bool):
                return "unknown"
            return "answered" if str(answered_id) == page_id else "refused"
        row = classify(answer, "probe")
        if row.then.startswith("close-") and row.problem != _ONLY_OF_THE_TOKEN:
            self.quotas.record_fault(self.caller, row, answer, page_id)
        if row.name != "token-refused":
            return "unknown"
        text = answer.user_text or answer.text
        self.errors[token] = GraphErrorFacts(answer.code, answer.subcode, text, answer.fbtrace_id)
        return "refused"
