"""The Page tokens that one system user's token reaches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sync.core.model import Fetched, SourceError, State, Verdict
from sync.core.secret import Secret
from sync.graph.answers import Answer
from sync.graph.batch import SIZE, by_id, chunks
from sync.graph.client import Caller, Client
from sync.graph.errors import Fault, Row, Where, blames_user_token, classify
from sync.graph.gate import Gate
from sync.runtime.threads import Clock, each

Got = dict[str, Fetched | SourceError]

_LISTED_FROM = 20
"""From so many Pages on the list of Pages costs fewer calls than a read of each."""
_ENOUGH = 0.8
"""A list that shows a smaller share of the Pages is not worth its calls."""
_ROWS = 100
_MOST_LISTS = 50
_FIELDS = {"fields": "access_token"}


class PageReader:
    """Reads the tokens of Pages by one system user, for one cycle.

    ``judged`` gives the present verdict of the system user's token, ``judge_again`` has Meta judge it again: once per cycle,
    when a Page's read says that it may have died.
    """

    def __init__(
        self,
        client: Client,
        gate: Gate,
        clock: Clock,
        caller: Caller,
        *,
        judged: Callable[[], Verdict],
        judge_again: Callable[[], Verdict],
        workers: int,
    ) -> None:
        self._client = client
        self._gate = gate
        self._clock = clock
        self._caller = caller
        self._judged = judged
        self._judge_again = judge_again
        self._workers = workers
        self._batch_refused = False
        self.list_was_short = False
        """Whether the list was read to its end, and showed fewer than four fifths of what was looked for in it."""

    def read(self, ids: Sequence[str], individually: Collection[str] = (), by_id: Collection[str] = ()) -> Got:
        """Return every id its Page's token, or why there is none; those of ``alone`` by a request each.

        Those of ``by_id`` are not looked for in the list. What the list shows are strings still to be verified; what it does
        not show is asked for by id, since the list leaves Pages out at times, and all of them at others.
        """
        together = [page_id for page_id in ids if page_id not in individually]
        listed = [page_id for page_id in together if page_id not in by_id]
        got: Got = {**self._listed(listed)} if listed and len(together) >= _LISTED_FROM else {}
        open_ones = []
        for page_id in together:
            if page_id not in got:
                barred = self._barred(page_id)
                if barred is None:
                    open_ones.append(page_id)
                else:
                    got[page_id] = barred
        for part in each(self._piece, chunks(open_ones), workers=self._workers, clock=self._clock).values():
            got.update(part)
        apart = [page_id for page_id in ids if page_id in individually]
        got.update(each(self._single, apart, workers=self._workers, clock=self._clock))
        return got

    def _listed(self, ids: Sequence[str]) -> dict[str, Fetched]:
        """Read the list by its ``after`` cursor alone: ``paging.next`` is a URL with the token in it, and is not followed.

        It is given up as soon as it has cost as much as asking by id.
        """
        wanted, found = set(ids), dict[str, Fetched]()
        params, cursors = {"fields": "id,access_token", "limit": str(_ROWS)}, set[str]()
        for _ in range(min(_MOST_LISTS, 1 + -(-len(ids) // SIZE))):
            if self._barred() is not None:
                break
            answer = self._client.get(self._caller, "me/accounts", params, "page", pages=wanted)
            if isinstance(answer, Fault):
                self._error("page", answer)
                break
            found.update(self._rows(answer.value, wanted))
            after = _next_cursor(answer.value)
            if after is None or after in cursors or len(found) == len(wanted):
                self.list_was_short = len(found) < _ENOUGH * len(wanted)
                break
            cursors.add(after)
            params["after"] = after
        return found

    def _rows(self, value: Mapping[str, Any], wanted: set[str]) -> dict[str, Fetched]:
        rows = value.get("data")
        good = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        tokens = {row.get("id"): row.get("access_token") for row in good if isinstance(row.get("id"), str)}
        return {
            page_id: Fetched(Secret(token))
            for page_id, token in tokens.items()
            if page_id in wanted and isinstance(token, str) and token and token != self._caller.token.reveal()
        }

    def _piece(self, ids: tuple[str, ...]) -> Got:
        barred = self._barred()
        if barred is not None:
            return dict.fromkeys(ids, barred)
        if self._batch_refused:
            return {page_id: self._single(page_id) for page_id in ids}
        urls = [f"{page_id}?fields=access_token" for page_id in ids]
        got = self._client.batch(self._caller, urls, "batch", pages=ids)
        if isinstance(got, Fault):
            return self._whole(ids, got)
        return {page_id: self._item(page_id, answer) for page_id, answer in zip(ids, by_id(got, ids), strict=True)}

    def _whole(self, ids: tuple[str, ...], fault: Fault) -> Got:
        """Go on after a batch that failed as a whole: where the cause is none of the system user's or Graph's, singly."""
        row = self._row("batch", fault)
        if row.then == "halve" and len(ids) > 1:
            middle = len(ids) // 2
            return {**self._piece(ids[:middle]), **self._piece(ids[middle:])}
        if row.then == "singly":
            return {page_id: self._once_more(page_id, row.error(fault)) for page_id in ids}
        if row.then in ("close-app", "close-page", "retry") or row.scope != "page":
            return dict.fromkeys(ids, self._told(row, fault))
        self._batch_refused = True
        return {page_id: self._single(page_id) for page_id in ids}

    def _item(self, page_id: str, answer: Answer | Fault) -> Fetched | SourceError:
        got = self._token(page_id, answer)
        if isinstance(got, Fetched):
            return got
        row = self._row("page", got)
        error = self._told(row, got, page_id)
        return self._once_more(page_id, error) if row.then in ("singly", "retry", "halve") else error

    def _once_more(self, page_id: str, error: SourceError) -> Fetched | SourceError:
        again = self._client.patience.repeat(lambda _: self._single(page_id))
        return error if again is None else again

    def _single(self, page_id: str) -> Fetched | SourceError:
        barred = self._barred(page_id)
        if barred is not None:
            return barred
        got = self._token(page_id, self._client.get(self._caller, page_id, _FIELDS, "page", pages=(page_id,)))
        return got if isinstance(got, Fetched) else self._error("page", got, page_id)

    def _token(self, page_id: str, answer: Answer | Fault) -> Fetched | Fault:
        if isinstance(answer, Fault):
            return answer
        if str(answer.value.get("id", page_id)) != page_id:
            return Fault("other-page")
        token = answer.value.get("access_token")
        if not isinstance(token, str) or not token:
            return Fault("no-token")
        return Fault("parents-token") if token == self._caller.token.reveal() else Fetched(Secret(token))

    def _barred(self, page_id: str = "") -> SourceError | None:
        """Return why nothing more is asked with this token, or about this Page: refused, throttled, or dead itself."""
        shut = self._gate.barred(self._caller, page_id)
        if shut is not None:
            return shut
        verdict = self._judged()
        return dead(verdict) if verdict.state is State.INVALID else None

    def _row(self, where: Where, fault: Fault) -> Row:
        state = self._judge_again().state if blames_user_token(fault) else State.UNKNOWN
        return classify(fault, where, state)

    def _told(self, row: Row, fault: Fault, page_id: str = "") -> SourceError:
        verdict = self._judged()
        if row.name == "parent-dead":
            return dead(verdict)
        shut = self._gate.barred(self._caller) if row.name == "parent-not-judged" else None
        if shut is not None:
            return shut  # why the system user could not be judged is the cause
        return self._gate.note(self._caller, row, fault, page_id)

    def _error(self, where: Where, fault: Fault, page_id: str = "") -> SourceError:
        return self._told(self._row(where, fault), fault, page_id)


def dead(verdict: Verdict) -> SourceError:
    """Return what the Pages of a dead system user are told: its own problem, which says nothing of them."""
    return SourceError(verdict.problems[0], State.UNKNOWN, "system_user")


def _next_cursor(value: Mapping[str, Any]) -> str | None:
    """Return the cursor of what follows. Only ``next`` says that something does: ``after`` is on the last page too."""
    paging = value.get("paging")
    if not isinstance(paging, dict) or not paging.get("next") or not isinstance(paging.get("cursors"), dict):
        return None
    after = paging["cursors"].get("after")
    return after if isinstance(after, str) and after else None
