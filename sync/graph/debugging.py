"""``debug_token`` for many tokens, asked with the app's own token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import urlencode

from sync.core.model import Ask, SourceError, TokenFacts
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.batch import SIZE, chunks
from sync.graph.client import Caller, Client
from sync.graph.errors import Fault, classify
from sync.graph.facts import read_facts
from sync.graph.gate import Gate
from sync.graph.meter import Meter
from sync.runtime.threads import Clock, each

Told = dict[Secret, TokenFacts | SourceError]
Waiting = Callable[[int, datetime | None], None]
"""Takes how many tokens wait for room in the quota, and until when."""

_LONGEST = 2048
"""Characters beyond which a string goes in a batch of its own: Graph may refuse it whole, and tokens with it."""


class Debugger:
    """Asks Meta what tokens are, for one cycle.

    What the app's quota has room for is asked in the order given, and Meta's word on the quota is looked at in between: a
    batch at a time while little is known of it, many side by side where there is room.

    A token that is asked about stands in the body of a batch. Only where Graph refuses that form, and ``token_in_url``
    allows it, does it stand in a query, which is the form that Meta documents.
    """

    def __init__(self, client: Client, gate: Gate, meter: Meter, clock: Clock, workers: int) -> None:
        self._client = client
        self._meter = meter
        self._gate = gate
        self._clock = clock
        self._workers = workers
        self._refused: dict[str, Fault] = {}

    def ask(self, caller: Caller, asks: Sequence[Ask], waiting: Waiting) -> Told:
        """Return every token its facts, or why there are none; those that there is no room for now are left out.

        Only one thread may ask for the same app at a time.
        """
        told: Told = {}
        left = list({ask.token: ask for ask in reversed(asks)}.values())[::-1]
        while left:
            shut = self._gate.barred(caller)
            if shut is not None:
                told.update(dict.fromkeys((ask.token for ask in left), shut))
                break
            allowed = self._meter.allowance(caller.app_pool)
            chosen = allowed.choose(left)
            if not chosen:
                waiting(len(left), allowed.next_allowed_at)
                break
            self._meter.spend(caller.app_pool, chosen)
            told.update(self._wave(caller, [ask.token for ask in chosen]))
            left = [ask for ask in left if ask.token not in told]
        return told

    def _wave(self, caller: Caller, tokens: Sequence[Secret]) -> Told:
        fitting: list[Secret] = []
        others: list[Secret] = []
        for token in tokens:
            (fitting if len(token.reveal()) <= _LONGEST else others).append(token)
        pieces = chunks(fitting) + chunks(others, 1)
        told: Told = {}
        for part in each(
            lambda piece: self._piece(caller, piece, repeat=False),
            pieces,
            workers=self._workers if len(tokens) > SIZE else 1,
            clock=self._clock,
        ).values():
            told.update(part)
        return told

    def _piece(self, caller: Caller, piece: tuple[Secret, ...], *, repeat: bool) -> Told:
        shut = self._gate.barred(caller)
        if shut is not None:
            return dict.fromkeys(piece, shut)
        refused = self._refused.get(caller.app)
        if refused is not None:
            return {token: self._other_form(caller, token, refused) for token in piece}
        # What cannot be written as UTF-8 is no token of Meta's; it goes out mangled, and Meta's word on it holds.
        urls = ["debug_token?" + urlencode({"input_token": token.reveal()}, errors="replace") for token in piece]
        got = self._client.batch(caller, urls, "debug", secrets=piece)
        if isinstance(got, Fault):
            return self._whole(caller, piece, got, repeat=repeat)
        forms = [answer for answer in got if isinstance(answer, Fault) and _other(answer)]
        if len(forms) == len(piece):
            self._refused[caller.app] = forms[0]
        return {
            token: self._item(caller, token, answer, repeat=repeat) for token, answer in zip(piece, got, strict=True)
        }

    def _whole(self, caller: Caller, piece: tuple[Secret, ...], fault: Fault, *, repeat: bool) -> Told:
        """Go on after a batch that failed as a whole."""
        row = classify(fault, "debug")
        match row.then:
            case "halve" if len(piece) > 1:
                middle = len(piece) // 2
                first = self._piece(caller, piece[:middle], repeat=repeat)
                return {**first, **self._piece(caller, piece[middle:], repeat=repeat)}
            case "other-form":
                self._refused[caller.app] = fault
                return {token: self._other_form(caller, token, fault) for token in piece}
            case "singly" if not repeat:
                return {token: self._once_more(caller, token, row.error(fault)) for token in piece}
            case _:
                return dict.fromkeys(piece, self._gate.note(caller, row, fault))

    def _item(self, caller: Caller, token: Secret, answer: Answer | Fault, *, repeat: bool) -> TokenFacts | SourceError:
        got = self._facts(token, answer)
        if isinstance(got, TokenFacts):
            return got
        row = classify(got, "debug")
        if row.then == "other-form":
            return self._other_form(caller, token, got)
        error = self._gate.note(caller, row, got)
        passing = row.then in ("singly", "retry", "halve") or got.kind == "no-facts"
        return self._once_more(caller, token, error) if passing and not repeat else error

    def _once_more(self, caller: Caller, token: Secret, error: SourceError) -> TokenFacts | SourceError:
        told = self._client.patience.repeat(lambda _: self._piece(caller, (token,), repeat=True))
        return error if told is None else told[token]

    def _other_form(self, caller: Caller, token: Secret, fault: Fault) -> TokenFacts | SourceError:
        """Ask in the query where that is allowed; ``fault`` says how the body was refused."""
        shut = self._gate.barred(caller)
        if shut is not None:
            return shut
        if self._client.settings.token_in_url:
            answer = self._client.get(caller, "debug_token", {"input_token": token.reveal()}, "debug")
            got = self._facts(token, answer)
            if isinstance(got, TokenFacts):
                return got
            fault = got
        return self._gate.note(caller, classify(fault, "debug"), fault)

    def _facts(self, token: Secret, answer: Answer | Fault) -> TokenFacts | Fault:
        if isinstance(answer, Fault):
            return answer
        data = answer.value.get("data")
        facts = read_facts(data, self._clock.now(), secrets=(token,)) if isinstance(data, dict) else None
        return Fault("no-facts") if facts is None or facts.is_valid is None else facts


def _other(fault: Fault) -> bool:
    return classify(fault, "debug").then == "other-form"
