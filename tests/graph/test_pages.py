"""Page tokens: by list, by batch, one by one, and each way in which Graph refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import httpx
import pytest

from sync.core.model import Fetched, SourceError, State, TokenFacts
from sync.core.secret import Secret
from sync.runtime.threads import Stopping
from sync.sandbox.replies import REFUSALS
from tests.support.graph_stage import Stage, ordinary


def fetched(got: Mapping[str, Fetched | SourceError]) -> set[str]:
    """Return the Pages whose token was read."""
    return {name for name, one in got.items() if isinstance(one, Fetched)}


def problems(got: Mapping[str, Fetched | SourceError]) -> dict[str, tuple[str, State, str]]:
    """Return code, state and scope for each Page whose token was not read."""
    return {name: (one.problem.code, one.state, one.scope) for name, one in got.items() if isinstance(one, SourceError)}


def items(request: httpx.Request) -> list[str]:
    """Return the relative URLs of a batch; none for a single call."""
    return [item["relative_url"] for item in json.loads(parse_qs(request.content.decode()).get("batch", ["[]"])[0])]


def batches(stage: Stage) -> list[int]:
    """Return the sizes of the batches of Page reads so far."""
    return [len(urls) for urls in map(items, stage.seen) if urls and not urls[0].startswith("debug_token")]


def singles(stage: Stage) -> int:
    """Count the Pages that were asked for one by one."""
    return sum(request.method == "GET" and "me/accounts" not in str(request.url) for request in stage.seen)


def lists(stage: Stage) -> int:
    """Count the calls of the list of Pages."""
    return sum("me/accounts" in str(request.url) for request in stage.seen)


def only_pages(
    answer: Callable[[httpx.Request], httpx.Response | None],
) -> Callable[[httpx.Request], httpx.Response | None]:
    """Answer only batches of Page reads with ``answer``."""

    def before(request: httpx.Request) -> httpx.Response | None:
        urls = items(request)
        return answer(request) if urls and not urls[0].startswith("debug_token") else None

    return before


def test_few_pages_come_in_one_batch() -> None:
    """Below twenty Pages the list is not worth its call; each token is the one that Graph would return."""
    stage = Stage(19)
    source = stage.source()
    got = source.read(stage.pages())
    assert len(fetched(got)) == 19
    for page in stage.pages():
        answer = got[page.name]
        assert isinstance(answer, Fetched)
        assert stage.world.tokens[answer.token.reveal()].page_id == page.id
    assert (batches(stage), lists(stage), singles(stage)) == ([19], 0, 0)
    assert (source.requests, source.calls) == (2, 20)


@pytest.mark.parametrize(("pages", "calls"), [(20, 1), (100, 1), (250, 3)])
def test_many_pages_are_read_by_the_list(pages: int, calls: int) -> None:
    """A call returns a hundred Pages, only the cursor is used, and there is no further call."""
    stage = Stage(pages)
    assert len(fetched(stage.source().read(stage.pages()))) == pages
    assert (batches(stage), lists(stage)) == ([], calls)


def test_a_thousand_idle_pages_stay_within_the_budget() -> None:
    """Reading and debugging a thousand Pages takes at most 2 x N/50 + 5 requests, and counts as Meta counts."""
    stage = Stage(1000)
    source = stage.source(workers=8)
    got = source.read(stage.pages())
    answered = source.debug("messenger", ordinary(one.token for one in got.values() if isinstance(one, Fetched)))
    assert len(answered) == 1000
    assert source.requests <= 45
    assert (source.requests, source.calls) == (len(stage.seen), 10 + 1 + 1000)
    assert source.requests == stage.world.calls.requests


@pytest.mark.parametrize("fault", ["listing-empty", "listing-without-tokens", "listing-hole*1", "error:accounts=100"])
def test_pages_missing_from_the_list_are_read_by_id(fault: str) -> None:
    """An empty list, rows without tokens, a hole and an error of the list prove nothing."""
    stage = Stage(130)
    stage.fault(fault)
    got = stage.source().read(stage.pages())
    assert len(fetched(got)) == 130
    assert sum(batches(stage)) >= 30


def test_a_long_list_ends_when_it_costs_more_than_it_saves() -> None:
    """For a system user with thousands of Pages of which few are configured, those few are read by id."""
    stage = Stage(900)
    wanted = [page.id for page in stage.pages()][-25:]
    got = stage.source().read(stage.pages(ids=wanted))
    assert len(fetched(got)) == 25
    assert lists(stage) <= 2


def test_a_cursor_that_comes_again_ends_the_list() -> None:
    """A list whose cursors repeat is not read further."""
    stage = Stage(400)

    def circle(request: httpx.Request) -> httpx.Response | None:
        if "me/accounts" not in str(request.url):
            return None
        return httpx.Response(200, json={"data": [], "paging": {"cursors": {"after": "again"}, "next": "https://evil"}})

    stage.before = circle
    assert len(fetched(stage.source().read(stage.pages()))) == 400
    assert lists(stage) == 2


@pytest.mark.parametrize(
    "value",
    [
        {"data": None},
        {"data": [None, 1, {"id": 5}, {"id": "x", "access_token": {}}, {"access_token": "EAA"}]},
        {"data": {}, "paging": "x"},
        {"data": [], "paging": {"next": "https://evil", "cursors": {"after": 7}}},
        {"data": [], "paging": {"next": "https://evil"}},
    ],
)
def test_rows_of_an_unknown_form_are_skipped(value: object) -> None:
    """Rows of other types are skipped, and nothing is raised."""
    stage = Stage(25)
    stage.before = lambda request: httpx.Response(200, json=value) if "me/accounts" in str(request.url) else None
    assert len(fetched(stage.source().read(stage.pages()))) == 25


def test_the_next_url_is_never_followed() -> None:
    """It holds the token and could name any host; the stage checks that every request goes to the configured one."""
    stage = Stage(120)

    def elsewhere(request: httpx.Request) -> httpx.Response | None:
        if "me/accounts" not in str(request.url) or "after=" in str(request.url):
            return None
        token = stage.world.user.token
        paging = {"cursors": {"after": "MTAw"}, "next": f"https://evil.example/?access_token={token}&after=MTAw"}
        return httpx.Response(200, json={"data": [], "paging": paging})

    stage.before = elsewhere
    assert len(fetched(stage.source().read(stage.pages()))) == 120


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("pages", [3, 30])
def test_every_shape_of_no_access_is_no_access(refusal: str, pages: int) -> None:
    """Whatever shape the refusal has, the problem is no-access; the others are read; the system user's token stays valid."""
    stage = Stage(pages)
    stage.fault(f"unassigned={refusal}@berlin")
    source = stage.source()
    got = source.read(stage.pages())
    assert problems(got) == {"main-berlin": ("no-access", State.INVALID, "page")}
    assert source.user_tokens()["main"].verdict.state is State.VALID


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("moved@berlin", "page-migrated"),
        ("person@berlin", "not-a-page"),
        ("user-token@berlin", "wrong-type"),
        ("error=803@berlin", "page-not-found"),
        ("error=100/21@berlin", "page-migrated"),
        ("two-factor@berlin", "two-factor-required"),
        ("error=1/2853006@berlin", "no-access"),
    ],
)
@pytest.mark.parametrize("pages", [4, 24])
def test_a_page_that_is_refused_stops_no_other(fault: str, code: str, pages: int) -> None:
    """Whatever is wrong with one Page, the rest are read."""
    stage = Stage(pages)
    stage.fault(fault, *(["listing-empty"] if fault.startswith(("error", "two")) else []))
    got = stage.source().read(stage.pages())
    assert problems(got) == {"main-berlin": (code, State.INVALID, "page")}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("capability@berlin", "app-capability"),
        ("policy@berlin", "policy-blocked"),
        ("throttled-page@berlin", "throttled"),
        ("error=4711@berlin", "unexpected-graph-error"),
        ("html@berlin", "graph-unavailable"),
        ("unknown-error@berlin", "graph-unavailable"),
        ("half-json@berlin", "graph-unavailable"),
        ("null-items@berlin", "graph-unavailable"),
    ],
)
def test_a_page_in_an_unknown_state_stops_no_other(fault: str, code: str) -> None:
    """An error that is not about access leaves that Page unknown, and the rest are read."""
    stage = Stage(4)
    stage.fault(fault)
    got = stage.source().read(stage.pages())
    if fault.startswith("null"):  # the single read is answered
        assert len(fetched(got)) == 4
        return
    (answered,) = problems(got).items()
    assert answered[0] == "main-berlin"
    assert answered[1][:2] == (code, State.UNKNOWN)


def test_the_new_id_of_a_page_that_moved_is_shown_and_not_followed() -> None:
    """The message has it, and no request uses it."""
    stage = Stage(3)
    stage.fault("moved=5432109876543@berlin")
    error = stage.source().read(stage.pages())["main-berlin"]
    assert isinstance(error, SourceError)
    assert "5432109876543" in error.problem.message
    assert not any("5432109876543" in request.content.decode() + str(request.url) for request in stage.seen)


def test_a_page_whose_answer_names_another_id_is_wrong() -> None:
    """A token under another id is not this Page's."""
    stage = Stage(2)
    body = json.dumps({"id": "999", "access_token": "EAAother"})
    stage.before = only_pages(lambda _: httpx.Response(200, json=[{"code": 200, "body": body}]))
    got = stage.source().read(stage.pages()[:1])
    assert list(problems(got).values()) == [("wrong-page", State.INVALID, "page")]


@pytest.mark.parametrize(
    ("fault", "code", "scope"),
    [
        ("throttled-app:batch", "throttled", "app"),
        ("throttled-custom:batch", "throttled", "app"),
        ("app-blocked:batch", "app-blocked", "app"),
        ("proof-refused:batch", "app-secret-invalid", "app"),
    ],
)
def test_an_error_of_the_app_ends_all_its_calls(fault: str, code: str, scope: str) -> None:
    """After it neither Pages nor tokens are asked for in this cycle."""
    stage = Stage(150)
    source = stage.source(workers=1)
    source.user_tokens()
    stage.fault("listing-empty", fault)
    got = source.read(stage.pages())
    assert set(problems(got).values()) == {(code, State.UNKNOWN, scope)}
    assert len(got) == 150
    answered = source.debug("messenger", ordinary([Secret("EAAx")]))
    assert all(isinstance(one, SourceError) and one.problem.code == code for one in answered.values())
    assert source.requests == 3


@pytest.mark.parametrize("fault", ["throttled-user:batch", "throttled-pages:batch", "throttled-page:batch"])
def test_an_error_of_the_system_user_ends_only_its_calls(fault: str) -> None:
    """After it no Page is asked for with that token, while the app's own token is used as before."""
    stage = Stage(150)
    source = stage.source(workers=1)
    source.user_tokens()
    stage.fault("listing-empty", fault)
    got = source.read(stage.pages())
    assert {(code, state) for code, state, _ in problems(got).values()} == {("throttled", State.UNKNOWN)}
    assert len(got) == 150
    assert source.requests == 3
    stage.world.faults.clear()
    answered = source.debug("messenger", ordinary([Secret("EAAx")]))
    assert all(isinstance(one, TokenFacts) for one in answered.values())


def test_a_throttled_item_ends_the_calls() -> None:
    """What came before it in the same batch is kept."""
    stage = Stage(10)
    stage.fault("throttled-app:node@berlin")
    source = stage.source(workers=1)
    got = source.read(stage.pages())
    assert problems(got) == {"main-berlin": ("throttled", State.UNKNOWN, "app")}
    assert isinstance(source.debug("messenger", ordinary([Secret("EAAx")]))[Secret("EAAx")], SourceError)
    assert source.requests == 2


def test_items_that_timed_out_are_read_singly() -> None:
    """Only the missing ones are read again."""
    stage = Stage(10)
    stage.fault("null-items:node@berlin,paris")
    assert len(fetched(stage.source().read(stage.pages()))) == 10
    assert (batches(stage), singles(stage)) == ([10], 2)


def test_an_empty_batch_is_read_singly() -> None:
    """An empty body means that every item ran out of time."""
    stage = Stage(4)
    source = stage.source()
    source.user_tokens()
    stage.fault("null-body:batch*1")
    assert len(fetched(source.read(stage.pages()))) == 4
    assert singles(stage) == 4


@pytest.mark.parametrize(
    "fault", ["short-array*1", "html:batch*1", "server-error:batch*2", "half-json:batch*1", "cut:batch*2"]
)
def test_a_batch_that_failed_as_a_whole_is_sent_again(fault: str) -> None:
    """A transient failure is retried a few times, with a pause before each."""
    stage = Stage(10)
    source = stage.source()
    source.user_tokens()
    stage.fault(fault)
    assert len(fetched(source.read(stage.pages()))) == 10
    assert stage.clock.slept
    assert all(0 <= seconds <= 4 for seconds in stage.clock.slept)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_answers_in_another_order_find_their_pages(turn: int) -> None:
    """No Page gets another's token because Graph changed the order of the array."""
    stage = Stage(8)
    source = stage.source()
    source.user_tokens()

    def turned(request: httpx.Request) -> httpx.Response:
        stage.before = None
        answer = stage.answer(request)
        stage.before = only_pages(turned)
        value = answer.json()
        return httpx.Response(200, json=value[turn:] + value[:turn])

    stage.before = only_pages(turned)
    got = source.read(stage.pages())
    for page in stage.pages():
        answer = got[page.name]
        assert isinstance(answer, Fetched)
        assert stage.world.tokens[answer.token.reveal()].page_id == page.id


def test_a_refused_batch_form_falls_back_to_single_reads() -> None:
    """Where Graph accepts no batch every Page is read by itself, and the batch is not tried again."""
    stage = Stage(120)
    source = stage.source(workers=1)
    source.user_tokens()
    stage.fault("listing-empty", "batch-refused")
    assert len(fetched(source.read(stage.pages()))) == 120
    assert (len(batches(stage)), singles(stage)) == (1, 120)


def test_a_batch_that_is_too_large_is_halved() -> None:
    """It is halved until Graph answers."""
    stage = Stage(19)

    def greedy(request: httpx.Request) -> httpx.Response | None:
        if len(items(request)) <= 5:
            return None
        message = "Please reduce the amount of data you're asking for, then retry your request"
        return httpx.Response(500, json={"error": {"code": 1, "message": message}})

    stage.before = only_pages(greedy)
    assert len(fetched(stage.source().read(stage.pages()))) == 19
    assert max(size for size in batches(stage)[1:]) < 19
    assert singles(stage) == 0


@pytest.mark.parametrize(
    "fault",
    ["html", "empty-body", "null-body", "error-empty", "half-json", "redirect=https://evil.example/", "server-error"],
)
def test_unusable_answers_make_graph_unavailable(fault: str) -> None:
    """Whatever it sends, nothing is concluded, nothing is raised, and the tries are bounded."""
    stage = Stage(60)
    source = stage.source()
    source.user_tokens()
    stage.fault(fault)
    got = source.read(stage.pages())
    assert {(code, state) for code, state, _ in problems(got).values()} == {("graph-unavailable", State.UNKNOWN)}
    assert len(got) == 60
    assert sum(stage.clock.slept) <= 2 * stage.settings.timeout + 4
    assert source.requests < 300


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (httpx.ConnectError, "The connection to Graph at https://graph.example/v25.0 failed."),
        (httpx.ReadError, "The connection to Graph at https://graph.example/v25.0 was closed"),
        (httpx.ConnectTimeout, "Graph at https://graph.example/v25.0 did not answer within graph.timeout."),
        (httpx.RemoteProtocolError, "The answer of Graph at https://graph.example/v25.0 was not valid HTTP."),
    ],
)
def test_three_failed_requests_in_a_row_mean_that_graph_is_down(error: type[Exception], cause: str) -> None:
    """After them nothing is sent any more, everything is unknown, and each error states the cause and the address."""
    stage = Stage(300)

    def down(request: httpx.Request) -> httpx.Response:
        raise error("")

    stage.before = down
    source = stage.source()
    got = source.read(stage.pages())
    assert source.requests == 3
    assert set(problems(got).values()) == {("graph-unavailable", State.UNKNOWN, "graph")}
    assert all(one.problem.message.startswith(cause) for one in got.values() if isinstance(one, SourceError))
    assert source.user_tokens()["main"].verdict.state is State.UNKNOWN
    answered = source.debug("messenger", ordinary([Secret("EAAx")]))
    assert all(isinstance(one, SourceError) and one.scope == "graph" for one in answered.values())
    assert source.requests == 3


def test_a_graph_that_hangs_costs_a_cycle_three_timeouts() -> None:
    """One timeout, and retries for twice as long together; the stage adds pauses of up to 2 and 4 s."""
    stage = Stage(300)
    stage.fault("hang")
    stage.source(workers=1).read(stage.pages())
    assert stage.clock.passed <= 3 * stage.settings.timeout + 6


def test_a_failure_now_and_then_does_not_mean_that_graph_is_down() -> None:
    """Any answer in between resets the count."""
    stage = Stage(200)
    stage.fault("listing-empty")
    count = [0]
    lock = threading.Lock()

    def flaky(request: httpx.Request) -> httpx.Response | None:
        with lock:
            count[0] += 1
            if count[0] % 3 == 0:
                raise httpx.ReadError("")
        return None

    stage.before = flaky
    assert len(fetched(stage.source(workers=1).read(stage.pages()))) == 200


def test_another_version_is_a_warning_once() -> None:
    """A version that was served silently is reported once per cycle, and changes nothing."""
    stage = Stage(130)
    stage.fault("version=v27.0", "listing-empty")
    source = stage.source()
    assert len(fetched(source.read(stage.pages()))) == 130
    assert list(source.warnings) == ["Graph served v27.0 where graph.version asks for v25.0."]


def test_a_version_header_cannot_forge_a_line() -> None:
    """What a header says of a version is shown only if it looks like one."""
    stage = Stage(1)
    body = json.dumps({"error": {"code": 4711, "message": "no"}})
    stage.before = lambda _: httpx.Response(400, headers={"facebook-api-version": "v1\x1b[31m evil"}, content=body)
    source = stage.source()
    source.read(stage.pages())
    assert list(source.warnings) == ["Graph served another version where graph.version asks for v25.0."]


def test_an_error_that_quotes_the_token_does_not_show_it() -> None:
    """Meta does that; neither the token nor a part of it is shown."""
    stage = Stage(2)
    token = stage.world.user.token

    def quoting(request: httpx.Request) -> httpx.Response:
        error = {
            "error": {
                "code": 10,
                "message": f"Malformed access token {token} (proof {token[:20]})",
                "fbtrace_id": token,
            }
        }
        return httpx.Response(200, json=[{"code": 400, "body": json.dumps(error)} for _ in items(request)])

    stage.before = only_pages(quoting)
    got = stage.source().read(stage.pages())
    assert len(problems(got)) == 2
    shown = repr(got)
    assert not any(token[start : start + 16] in shown for start in range(len(token) - 16))


def test_a_changing_token_is_read_each_time() -> None:
    """Every read returns what Graph returns now; whether it is written is not decided here."""
    stage = Stage(1)
    stage.fault("changing@berlin")
    first, second = (stage.source().read(stage.pages())["main-berlin"] for _ in range(2))
    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert first.token != second.token


def test_proofs_are_enough_where_the_app_demands_them() -> None:
    """With Require App Secret on, list, batch, single reads and debug all pass."""
    stage = Stage(30)
    stage.fault("require-proof", "listing-hole*1", "null-items:node*1")
    source = stage.source()
    got = source.read(stage.pages())
    assert len(fetched(got)) == 30
    answered = source.debug("messenger", ordinary(one.token for one in got.values() if isinstance(one, Fetched)))
    assert not [one for one in answered.values() if isinstance(one, SourceError)]


def test_stopping_passes_through() -> None:
    """A shutdown ends a read between two calls."""
    stage = Stage(300)

    def stop(request: httpx.Request) -> None:
        stage.clock.stopping = True

    stage.before = stop
    with pytest.raises(Stopping):
        stage.source().read(stage.pages())
    assert len(stage.seen) == 1


@pytest.mark.parametrize("pages", [5, 60])
def test_a_page_read_individually_has_a_request_of_its_own(pages: int) -> None:
    """Neither the list nor a batch is used for it; the others are read as usual."""
    stage = Stage(pages)
    source = stage.source()
    source.user_tokens()
    stage.seen.clear()
    got = source.read(stage.pages(), individually=frozenset({"main-berlin", "main-paris", "nobody"}))
    assert len(fetched(got)) == pages
    assert singles(stage) == 2
    ids = {page.id for page in stage.world.pages.values() if page.name in ("berlin", "paris")}
    assert not any(url.partition("?")[0] in ids for request in stage.seen for url in items(request))


def test_an_individual_read_is_refused_by_itself() -> None:
    """The error of the one Page is reported for it alone."""
    stage = Stage(3)
    stage.fault("unassigned@berlin")
    got = stage.source().read(stage.pages(), individually=frozenset({"main-berlin"}))
    assert problems(got) == {"main-berlin": ("no-access", State.INVALID, "page")}


def test_all_pages_may_be_read_individually() -> None:
    """Then there is no list and no batch."""
    stage = Stage(25)
    names = frozenset(page.name for page in stage.pages())
    assert len(fetched(stage.source().read(stage.pages(), individually=names))) == 25
    assert (lists(stage), batches(stage), singles(stage)) == (0, [], 25)


def test_pages_to_be_read_by_id_are_not_looked_for_in_the_list() -> None:
    """They are read by batches, and the others by the list as before."""
    stage = Stage(120)
    pages = stage.pages()
    by_id = frozenset(page.name for page in pages[:3])
    source = stage.source()
    got = source.read(pages, by_id=by_id)
    assert all(isinstance(one, Fetched) for one in got.values())
    asked = [parse_qs(request.content.decode())["batch"][0] for request in stage.seen if b"batch" in request.content]
    reads = [item["relative_url"].split("?")[0] for text in asked for item in json.loads(text)]
    assert {page.id for page in pages[:3]} == {one for one in reads if one.isdecimal()}
    assert source.short_lists == frozenset()


def test_reading_all_pages_by_id_needs_no_list() -> None:
    """The list is not requested."""
    stage = Stage(60)
    pages = stage.pages()
    got = stage.source().read(pages, by_id=frozenset(page.name for page in pages))
    assert all(isinstance(one, Fetched) for one in got.values())
    assert [request for request in stage.seen if "accounts" in str(request.url)] == []


@pytest.mark.parametrize(("hidden", "short"), [(0, False), (20, False), (21, True), (100, True)])
def test_a_list_that_shows_too_few_pages_is_reported(hidden: int, short: bool) -> None:
    """A list that was read to its end and shows fewer than four fifths of the Pages is reported with its system user."""
    stage = Stage(100)
    rows = [{"id": page.id, "access_token": page_token(stage, page.id)} for page in stage.pages()[hidden:]]

    def listed(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, json={"data": rows}) if "me/accounts" in request.url.path else None

    stage.before = listed
    source = stage.source()
    source.read(stage.pages())
    assert source.short_lists == (frozenset({"main"}) if short else frozenset())


def test_a_refused_list_is_not_a_short_list() -> None:
    """An error, or a list that breaks off, is no short list."""
    stage = Stage(100)
    stage.before = lambda request: httpx.Response(500) if "me/accounts" in request.url.path else None
    source = stage.source()
    source.read(stage.pages())
    assert source.short_lists == frozenset()


def page_token(stage: Stage, page_id: str) -> str:
    """Return a Page's token as the sandbox has it."""
    answer = stage.source().read(stage.pages(ids=[page_id]))
    (one,) = answer.values()
    assert isinstance(one, Fetched)
    return one.token.reveal()


def test_a_long_list_is_read_to_its_end() -> None:
    """Six thousand Pages are read by their list alone, at a hundred a call."""
    stage = Stage(6000)
    source = stage.source()
    assert len(fetched(source.read(stage.pages()))) == 6000
    assert (lists(stage), batches(stage)) == (60, [])
    assert source.short_lists == frozenset()


@pytest.mark.parametrize("pages", [5, 30])
def test_a_watched_page_is_looked_for_in_the_list_alone(pages: int) -> None:
    """It is in the answer where the list shows it, costs one call of the list, and makes the list of no system user short."""
    stage = Stage(pages)
    watched, others = stage.pages()[:2], stage.pages()[2:]
    stage.fault("unassigned@berlin")
    source = stage.source()
    got = source.read(others, watched=watched)
    assert {page.name for page in watched} & set(got) == {watched[1].name}
    assert fetched(got) == {page.name for page in (watched[1], *others)}
    assert lists(stage) == 1
    assert not any(watched[0].id in url for request in stage.seen for url in items(request))
    assert source.short_lists == frozenset()


def test_watched_pages_alone_cost_one_call() -> None:
    """Where nothing else is to be read, the list is still looked at."""
    stage = Stage(5)
    source = stage.source()
    assert len(source.read([], watched=stage.pages())) == 5
    assert (lists(stage), batches(stage), singles(stage)) == (1, [], 0)


@pytest.mark.parametrize(
    "text",
    ["EAAB\nX=1", "EAAB\r", "EAA B", "EAAB\u00e9", "EAAB\ud800", "EAAB\u2028", "EAAB\0", " EAAB", "E" * 4097],
    ids=ascii,
)
@pytest.mark.parametrize(
    ("pages", "individually"), [(30, False), (3, False), (3, True)], ids=["list", "batch", "single"]
)
def test_a_text_that_cannot_be_a_token_is_none(text: str, pages: int, individually: bool) -> None:
    """However a Page is read, the text is not fetched, the other Pages are, and the message does not have it."""
    stage = Stage(pages)
    berlin = stage.pages()[0]
    good = stage.source().read(stage.pages())[berlin.name]
    assert isinstance(good, Fetched)
    value, escaped = good.token.reveal(), json.dumps(text)[1:-1]

    def before(request: httpx.Request) -> httpx.Response | None:
        stage.before = None
        reply = stage.answer(request)
        stage.before = before
        # Items of a batch hold their JSON as a text.
        return httpx.Response(
            reply.status_code,
            content=reply.text.replace(value, escaped.replace("\\", "\\\\") if items(request) else escaped),
        )

    stage.before = before
    alone = frozenset({berlin.name}) if individually else frozenset()
    got = stage.source().read(stage.pages(), individually=alone)
    error = got[berlin.name]
    assert isinstance(error, SourceError)
    assert (error.problem.code, error.problem.owner, error.state) == ("no-access", "meta", State.INVALID)
    assert "EAAB" not in error.problem.message
    assert len(fetched(got)) == pages - 1


def test_a_refusal_of_a_batch_and_of_its_first_page_is_not_asked_for_each_page() -> None:
    """Where a read of its own has the same error, the form of the batch is not the cause; another error is asked for singly."""
    stage = Stage(300)
    stage.fault("error:accounts,node,batch=4711")
    source = stage.source()
    got = source.read(stage.pages())
    assert set(problems(got).values()) == {("unexpected-graph-error", State.UNKNOWN, "page")}
    assert source.requests <= 1 + 1 + 2 * 6
