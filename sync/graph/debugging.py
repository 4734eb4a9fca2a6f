"""``debug_token`` for many tokens, called with the app's own token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlencode

from sync.core.model import Ask, GraphErrorFacts, SourceError, TokenFacts
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.batch import LONGEST_TOKEN, SIZE, chunks
from sync.graph.caller import Caller
from sync.graph.client import Client
from sync.graph.errors import classify
from sync.graph.facts import absent_field, read_facts
from sync.graph.fault import Fault
from sync.graph.quotas import Quotas
from sync.runtime.threads import Clock, each

FactsByToken = dict[Secret, TokenFacts | SourceError]
ReportWaiting = Callable[[int, datetime | None], None]
"""Is called with how many tokens wait for capacity in the quota, and until when."""

_OTHER_APP = "token-of-another-app"
"""The error that is an answer: it says of the token what no later one takes back."""


class Debugger:
    """Calls ``debug_token`` for one cycle.

    Tokens are sent in the order given, as many as the app's quota has capacity for. What Meta reports of the quota is read in
    between: after each batch while little is known of it, after many side by side where there is capacity.

    The token in question is in the body of a batch. Only where Graph refuses that form, and ``token_in_url`` allows it, is it
    in a query, which is the form that Meta documents.
    """

    def __init__(self, client: Client, quotas: Quotas, clock: Clock, workers: int) -> None:
        self._client = client
        self._quotas = quotas
        self._clock = clock
        self._workers = workers
        self._refused: dict[str, Fault] = {}
        self._halves_refused = False

    def ask(self, caller: Caller, asks: Sequence[Ask], report_waiting: ReportWaiting) -> FactsByToken:
        """Return the facts of each token, or why there are none, without the tokens that the quota has no capacity for now.

        Only one thread may ask for the same app at a time.
        """
        found: FactsByToken = {}
        left = list({ask.token: ask for ask in reversed(asks)}.values())[::-1]
        while left:
            blocked = self._quotas.blocked(caller)
            if blocked is not None:
                found.update(dict.fromkeys((ask.token for ask in left), blocked))
                break
            chosen, resumes_at = self._quotas.reserve(caller.app_quota, left)
            if not chosen:
                report_waiting(len(left), resumes_at)
                break
            try:
                found.update(self._side_by_side(caller, [ask.token for ask in chosen]))
            finally:
                self._quotas.release(caller.app_quota, len(chosen))
            left = [ask for ask in left if ask.token not in found]
        return found

    def _side_by_side(self, caller: Caller, tokens: Sequence[Secret]) -> FactsByToken:
        fitting: list[Secret] = []
        others: list[Secret] = []
        for token in tokens:
            (fitting if len(token.reveal()) <= LONGEST_TOKEN else others).append(token)
        batches = chunks(fitting) + chunks(others, 1)
        found: FactsByToken = {}
        for part in each(
            lambda batch: self._batch(caller, batch, retried=False),
            batches,
            workers=self._workers if len(tokens) > SIZE else 1,
            clock=self._clock,
        ).values():
            found.update(part)
        return found

    def _batch(self, caller: Caller, tokens: tuple[Secret, ...], *, retried: bool) -> FactsByToken:
        blocked = self._quotas.blocked(caller)
        if blocked is not None:
            return dict.fromkeys(tokens, blocked)
        refused = self._refused.get(caller.app)
        if refused is not None:
            return {token: self._other_form(caller, token, refused) for token in tokens}
        # A string that UTF-8 cannot encode is no token of Meta's. It is sent with replacements, and what Meta answers holds.
        urls = ["debug_token?" + urlencode({"input_token": token.reveal()}, errors="replace") for token in tokens]
        got = self._client.batch(caller, urls, "debug", secrets=tokens)
        if isinstance(got, Fault):
            return self._after_failed_batch(caller, tokens, got, retried=retried)
        forms = [
            answer for answer in got if isinstance(answer, Fault) and classify(answer, "debug").then == "other-form"
        ]
        if len(forms) == len(tokens):
            self._refused[caller.app] = forms[0]
        facts = [self._facts(token, answer) for token, answer in zip(tokens, got, strict=True)]
        # Where not one answer of many says anything, the cause is not in one of them, and each would cost a call more.
        mute = len(tokens) > 1 and all(isinstance(one, Fault) and one.kind == "no-facts" for one in facts)
        return {
            token: self._item(caller, token, one, retried=retried or mute)
            for token, one in zip(tokens, facts, strict=True)
        }

    def _after_failed_batch(
        self, caller: Caller, tokens: tuple[Secret, ...], fault: Fault, *, retried: bool
    ) -> FactsByToken:
        """Continue after a batch that failed as a whole: by halves, in the other form, one by one, or not at all."""
        row = classify(fault, "debug")
        match row.then:
            case "halve" if len(tokens) > 1 and not self._halves_refused:
                middle = len(tokens) // 2
                first = self._batch(caller, tokens[:middle], retried=retried)
                return {**first, **self._batch(caller, tokens[middle:], retried=retried)}
            case "other-form":
                self._refused[caller.app] = fault
                return {token: self._other_form(caller, token, fault) for token in tokens}
            case "singly" if not retried:
                return {token: self._retry(caller, token, row.error(fault)) for token in tokens}
            case _:
                # A single token that is too much shows that smaller batches do not help.
                self._halves_refused |= row.then == "halve"
                return dict.fromkeys(tokens, self._quotas.record_fault(caller, row, fault))

    def _item(
        self, caller: Caller, token: Secret, got: TokenFacts | Fault, *, retried: bool
    ) -> TokenFacts | SourceError:
        if isinstance(got, TokenFacts):
            return got
        row = classify(got, "debug")
        if row.then == "other-form":
            return self._other_form(caller, token, got)
        error = self._quotas.record_fault(caller, row, got)
        transient = row.then in ("singly", "retry", "halve") or got.kind == "no-facts"
        return self._retry(caller, token, error) if transient and not retried else error

    def _retry(self, caller: Caller, token: Secret, error: SourceError) -> TokenFacts | SourceError:
        found = self._client.retry_time.retry(lambda _: self._batch(caller, (token,), retried=True))
        return error if found is None else found[token]

    def _other_form(self, caller: Caller, token: Secret, fault: Fault) -> TokenFacts | SourceError:
        """Ask in the query where that is allowed; ``fault`` is the refusal of the body."""
        blocked = self._quotas.blocked(caller)
        if blocked is not None:
            return blocked
        if self._client.settings.token_in_url:
            answer = self._client.get(caller, "debug_token", {"input_token": token.reveal()}, "debug")
            got = self._facts(token, answer)
            if isinstance(got, TokenFacts):
                return got
            fault = got
        return self._quotas.record_fault(caller, classify(fault, "debug"), fault)

    def _facts(self, token: Secret, answer: Answer | Fault) -> TokenFacts | Fault:
        if isinstance(answer, Fault):
            if classify(answer, "debug").name != _OTHER_APP:
                return answer
            error = GraphErrorFacts(answer.code, answer.subcode, answer.user_text or answer.text, answer.fbtrace_id)
            return TokenFacts(self._clock.now(), error=error, of_another_app=True)
        data = answer.value.get("data")
        if not isinstance(data, dict):
            return Fault("no-facts")
        facts = read_facts(data, self._clock.now(), secrets=(token,))
        absent = absent_field(facts)
        if absent is None:
            return facts
        return Fault("no-facts" if absent == "is_valid" else "partial-facts", text=absent)
