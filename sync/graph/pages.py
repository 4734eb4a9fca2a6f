"""Read the Page tokens that one system user's token gives access to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.core.model import Fetched, SourceError, State, Verdict
from sync.core.secret import Secret, is_token
from sync.graph.answers import Answer
from sync.graph.batch import SIZE, by_id, chunks
from sync.graph.caller import Caller
from sync.graph.client import Client
from sync.graph.errors import Row, Where, blames_user_token, classify
from sync.graph.fault import Fault
from sync.graph.listing import ROWS, next_cursor, rows
from sync.graph.permissions import with_lacking_permissions
from sync.graph.quotas import Quotas
from sync.graph.user_tokens import invalid_user_token, refused_user_token
from sync.runtime.threads import Clock, each

FetchedById = dict[str, Fetched | SourceError]

_LISTED_FROM = 20
"""The number of Pages from which the list of Pages costs fewer calls than a read of each."""
_ENOUGH = 0.8
"""A list that shows a smaller share of the Pages is not worth its calls."""
_FIELDS = {"fields": "access_token"}


@dataclass
class PageReader:
    """Reads the tokens of Pages by one system user, for one cycle: from the list of Pages, then by id in batches.

    The list costs one call for a hundred Pages, a batch one call for each of them, on the quota of that Page. The list is
    incomplete at times and empty at others, so only the read by id decides that a Page cannot be reached.

    ``judged`` returns the present verdict of the system user's token. ``judge_again`` calls ``debug_token`` for it again, at
    most once per cycle, when the read of a Page suggests that the token is invalid; ``refresh`` does so where the verdict is
    of an earlier cycle, when the read suggests that the token lost a permission.
    """

    client: Client
    quotas: Quotas
    clock: Clock
    caller: Caller
    judged: Callable[[], Verdict]
    judge_again: Callable[[], Verdict]
    refresh: Callable[[], Verdict]
    workers: int
    list_was_short: bool = field(default=False, init=False)
    """Whether the list was read to its end and showed fewer than four fifths of the Pages that were looked for in it."""
    _batch_refused: bool = field(default=False, init=False)
    _halves_refused: bool = field(default=False, init=False)

    def read(
        self,
        ids: Sequence[str],
        individually: Collection[str] = (),
        by_id: Collection[str] = (),
        watched: Collection[str] = (),
    ) -> FetchedById:
        """Return the token of each Page, by id, or why there is none; Pages in ``individually`` are read by a request each.

        Pages in ``by_id`` are not looked for in the list. A token from the list is a string that is still to be verified.
        Pages that the list does not show are read by id. Those in ``watched`` are only looked for in the list, and are in the
        answer where that shows them.
        """
        batched = [page_id for page_id in ids if page_id not in individually]
        listed = [page_id for page_id in batched if page_id not in by_id]
        listed = listed if len(batched) >= _LISTED_FROM else []
        got: FetchedById = {**self._listed(listed, watched)} if listed or watched else {}
        unblocked = []
        for page_id in batched:
            if page_id not in got:
                blocked = self._blocked(page_id)
                if blocked is None:
                    unblocked.append(page_id)
                else:
                    got[page_id] = blocked
        for part in each(self._batch, chunks(unblocked), workers=self.workers, clock=self.clock).values():
            got.update(part)
        apart = [page_id for page_id in ids if page_id in individually]
        got.update(each(self._single, apart, workers=self.workers, clock=self.clock))
        return got

    def _listed(self, ids: Sequence[str], watched: Collection[str]) -> dict[str, Fetched]:
        """Read the list by its ``after`` cursor alone: ``paging.next`` is a URL with the token in it, and is not followed.

        It ends as soon as it has cost as many requests as reading by id.
        """
        wanted, found = {*ids, *watched}, dict[str, Fetched]()
        params, cursors = {"fields": "id,access_token", "limit": str(ROWS)}, set[str]()
        for _ in range(1 + -(-len(wanted) // SIZE)):
            if self._blocked() is not None:
                break
            answer = self.client.get(self.caller, "me/accounts", params, "page", pages=wanted)
            if isinstance(answer, Fault):
                self._error("page", answer)
                break
            found.update(self._rows(answer.value, wanted))
            after = next_cursor(answer.value)
            if after is None or after in cursors or len(found) == len(wanted):
                self.list_was_short = sum(page_id in found for page_id in ids) < _ENOUGH * len(ids)
                break
            cursors.add(after)
            params["after"] = after
        return found

    def _rows(self, value: Mapping[str, Any], wanted: set[str]) -> dict[str, Fetched]:
        tokens = {row.get("id"): row.get("access_token") for row in rows(value) if isinstance(row.get("id"), str)}
        return {
            page_id: Fetched(Secret(token))
            for page_id, token in tokens.items()
            if page_id in wanted and is_token(token) and token != self.caller.token.reveal()
        }

    def _batch(self, ids: tuple[str, ...]) -> FetchedById:
        blocked = self._blocked()
        if blocked is not None:
            return dict.fromkeys(ids, blocked)
        if self._batch_refused:
            return {page_id: self._single(page_id) for page_id in ids}
        urls = [f"{page_id}?fields=access_token" for page_id in ids]
        got = self.client.batch(self.caller, urls, "batch", pages=ids)
        if isinstance(got, Fault):
            return self._after_failed_batch(ids, got)
        return {page_id: self._item(page_id, answer) for page_id, answer in zip(ids, by_id(got, ids), strict=True)}

    def _after_failed_batch(self, ids: tuple[str, ...], fault: Fault) -> FetchedById:
        """Continue after a batch that failed as a whole: one by one, unless the system user or Graph is the cause.

        Where the first Page alone has the same error, the form of a batch is not the cause, and no other Page is asked about.
        """
        row = self._row("batch", fault)
        if row.then == "halve" and len(ids) > 1 and not self._halves_refused:
            middle = len(ids) // 2
            return {**self._batch(ids[:middle]), **self._batch(ids[middle:])}
        self._halves_refused |= row.then == "halve"
        if row.then == "singly":
            return {page_id: self._retry(page_id, row.error(fault)) for page_id in ids}
        if row.then in ("close-app", "close-page", "retry") or row.scope != "page":
            return dict.fromkeys(ids, self._error_of_row(row, fault))
        first = self._token(ids[0], self._get(ids[0]))
        if isinstance(first, Fault) and (first.code, first.subcode) == (fault.code, fault.subcode):
            return {page_id: self._error("page", first, page_id) for page_id in ids}
        self._batch_refused = True
        found = first if isinstance(first, Fetched) else self._error("page", first, ids[0])
        return {ids[0]: found, **{page_id: self._single(page_id) for page_id in ids[1:]}}

    def _item(self, page_id: str, answer: Answer | Fault) -> Fetched | SourceError:
        got = self._token(page_id, answer)
        if isinstance(got, Fetched):
            return got
        row = self._row("page", got)
        error = self._error_of_row(row, got, page_id)
        return self._retry(page_id, error) if row.then in ("singly", "retry", "halve") else error

    def _retry(self, page_id: str, error: SourceError) -> Fetched | SourceError:
        again = self.client.retry_time.retry(lambda _: self._single(page_id))
        return error if again is None else again

    def _single(self, page_id: str) -> Fetched | SourceError:
        blocked = self._blocked(page_id)
        if blocked is not None:
            return blocked
        got = self._token(page_id, self._get(page_id))
        return got if isinstance(got, Fetched) else self._error("page", got, page_id)

    def _get(self, page_id: str) -> Answer | Fault:
        return self.client.get(self.caller, page_id, _FIELDS, "page", pages=(page_id,))

    def _token(self, page_id: str, answer: Answer | Fault) -> Fetched | Fault:
        if isinstance(answer, Fault):
            fault = with_lacking_permissions(answer, _scopes(self.judged()))
            return with_lacking_permissions(answer, _scopes(self.refresh())) if fault.granted else fault
        if str(answer.value.get("id", page_id)) != page_id:
            return Fault("other-page")
        token = answer.value.get("access_token")
        if not isinstance(token, str) or not token:
            return Fault("no-token")
        if not is_token(token):
            return Fault("malformed-token")
        return Fault("user-token") if token == self.caller.token.reveal() else Fetched(Secret(token))

    def _blocked(self, page_id: str = "") -> SourceError | None:
        """Return why nothing more is asked with this token, or about this Page: app closed, throttled, or token invalid."""
        blocked = self.quotas.blocked(self.caller, page_id)
        return blocked if blocked is not None else refused_user_token(self.judged())

    def _row(self, where: Where, fault: Fault) -> Row:
        state = self.judge_again().state if blames_user_token(fault) else State.UNKNOWN
        return classify(fault, where, state)

    def _error_of_row(self, row: Row, fault: Fault, page_id: str = "") -> SourceError:
        verdict = self.judged()
        if row.name == "user-token-invalid":
            return invalid_user_token(verdict)
        blocked = self.quotas.blocked(self.caller) if row.name == "user-token-not-judged" else None
        if blocked is not None:
            return blocked  # the reason why the system user's token could not be judged is the cause
        return self.quotas.record_fault(self.caller, row, fault, page_id)

    def _error(self, where: Where, fault: Fault, page_id: str = "") -> SourceError:
        return self._error_of_row(self._row(where, fault), fault, page_id)


def _scopes(verdict: Verdict) -> Collection[str] | None:
    return verdict.facts.scopes if verdict.facts is not None else None
