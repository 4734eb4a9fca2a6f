"""Sending to receivers: what fails is tried again and logged once, nothing is delayed or lost."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sync.core.report.event import Event
from sync.core.report.notices import Message
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret
from sync.http import Http
from sync.ops import notify
from sync.ops.notify import MOST_WAITING, Delivery, Mailbox, Notifier, Receiver, Route, moved, ping, post
from sync.state.outbox import Outbox
from tests.core.report.test_changes import Watch, held
from tests.core.report.test_notices import HEALTHY, many
from tests.support.clock import FakeClock
from tests.support.raw_server import OK, RawServer, answering, raw_server, reset
from tests.support.timing import TRIES, seconds

WAIT = 20.0
"""Seconds after which a test that waits for another thread has failed."""
PATH = "/services/T000/B000/hunter2secret"
FAST = (0.01,)
Talk = Callable[[RawServer, socket.socket, int], None]
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\ninvalid_payload"
BROKEN = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (["a", "b"], ["a", "b"], {"a": [1], "b": [2]}),
        (["a", "b"], ["c", "b"], {"c": [1], "b": [2]}),
        (["a", "b"], ["b"], {"a": [1], "b": [2]}),
        (["a", "b"], ["d", "c"], {"d": [1], "c": [2]}),
        (["a", "b"], ["b", "a", "c"], {"a": [1], "b": [2]}),
    ],
)
def test_what_waits_follows_a_corrected_receiver(
    before: list[str], after: list[str], found: dict[str, list[int]]
) -> None:
    """What a receiver could not take goes to the one that replaces it in the configuration, and to no other."""
    waiting: Any = {"a": [1], "b": [2]}
    assert moved(waiting, before, after) == found


class Lines:
    """A log that keeps its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event, *, cycle: str | None = None) -> None:
        """Keep one event."""
        self.events.append(event)

    @property
    def levels(self) -> list[str]:
        """The levels of the lines of receivers that fail or work again."""
        return [event.level for event in self.events if event.name == "notify_failed"]


def receiver(url: str, name: str = "notify[0]", **others: Any) -> Receiver:
    """Return a receiver at an address."""
    return Receiver(name, f"{{env: {name}}}", lambda: Route(Secret(url), Http(connections=1)), **others)


def until(done: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def bodies(server: RawServer) -> list[dict[str, Any]]:
    """Return the JSON of the requests that a server got."""
    found = b"".join(server.received).split(b"POST ")[1:]
    return [json.loads(one.partition(b"\r\n\r\n")[2]) for one in found]


@contextmanager
def notifying(*receivers: Receiver, **others: Any) -> Iterator[tuple[Notifier, Lines]]:
    """Return a notifier with short pauses, and its log."""
    lines = Lines()
    notifier = Notifier(receivers, others.pop("heartbeat", None), lines, pauses=FAST, **others)
    yield notifier, lines
    notifier.close()


def broken() -> Report:
    """Return the report of a cycle in which a cause began."""
    return Watch().report(*many(3))


def in_turn(*answers: bytes) -> Talk:
    """Answer the n-th request of a server with the n-th answer, and all later ones with the last."""
    counter = iter(range(10_000))

    def talk(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.receive(sock, number):
            sock.sendall(answers[min(next(counter), len(answers) - 1)])

    return talk


def silent(server: RawServer, sock: socket.socket, number: int) -> None:
    """Read and never answer."""
    server.receive(sock, number)
    server.over.wait(WAIT)


def closing(server: RawServer, sock: socket.socket, number: int) -> None:
    """Read, then end the connection without an answer."""
    server.receive(sock, number)
    reset(sock)


def dripping(server: RawServer, sock: socket.socket, number: int) -> None:
    """Answer a byte at a time, without end."""
    server.receive(sock, number)
    server.drip(sock, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)


def huge(server: RawServer, sock: socket.socket, number: int) -> None:
    """Answer with a body that never ends."""
    server.receive(sock, number)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000)


def test_a_message_arrives_as_json() -> None:
    """A receiver gets each cause once, with its own link."""
    with raw_server(answering(OK)) as server:
        with notifying(receiver(server.url + PATH, link="https://sync.example")) as (notifier, lines):
            notifier.announce(broken())
        (message,) = bodies(server)
    assert (message["format"], message["status"], message["link"]) == (1, "started", "https://sync.example")
    assert b"Content-Type: application/json" in server.received[0]
    assert server.received[0].startswith(b"POST " + PATH.encode())
    assert not lines.events


def test_a_receiver_gets_what_it_asked_for() -> None:
    """A receiver of written secrets gets no problem, and Slack's form has blocks."""
    with raw_server(answering(OK)) as one, raw_server(answering(OK)) as other:
        written = receiver(one.url, topics=("written",))
        with notifying(written, receiver(other.url, "notify[1]", form="slack")) as (notifier, _):
            notifier.announce(broken())
        assert one.received == []
        assert "blocks" in bodies(other)[0]


@pytest.mark.parametrize(
    ("talk", "failure"),
    [
        pytest.param(answering(BROKEN), "HTTP 500", id="500"),
        pytest.param(silent, "no complete answer", id="never answers"),
        pytest.param(dripping, "no complete answer", id="slow bytes"),
        pytest.param(closing, "the connection was closed", id="closes"),
        pytest.param(answering(b"SSH-2.0-OpenSSH\r\n\r\n"), "the answer is not HTTP", id="not http"),
        pytest.param(huge, "the answer is too large", id="huge body"),
        pytest.param(
            answering(b"HTTP/1.1 302 Found\r\nLocation: /hunter2secret\r\nContent-Length: 0\r\n\r\n"),
            "HTTP 302, a redirect, which is not followed",
            id="redirect",
        ),
    ],
)
def test_each_way_to_fail_is_named_without_the_url(talk: Talk, failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure says what happened, within the timeout, and shows no part of the URL."""
    monkeypatch.setattr(notify, "TIMEOUT", 0.3)
    with raw_server(talk) as server:
        began = time.monotonic()
        delivery = post(receiver(server.url + PATH).route(), b"{}")
        assert time.monotonic() - began < 5
        assert len(server.received) == 1
    assert delivery.failure.startswith(failure)
    assert "hunter2" not in repr(delivery)


def test_what_fails_is_sent_again_and_logged_once() -> None:
    """A receiver that fails is logged once, and once more when it works again, whatever the number of tries and cycles."""
    with (
        raw_server(in_turn(*[BROKEN] * 6, OK)) as server,
        notifying(receiver(server.url + PATH)) as (notifier, lines),
    ):
        notifier.announce(broken())
        until(lambda: len(lines.levels) == 2)
        notifier.announce(broken())
        until(lambda: len(bodies(server)) == 8)
        assert lines.levels == ["warning", "info"]
        assert "HTTP 500" in lines.events[0].fields["message"]
        assert "hunter2" not in repr(lines.events[0])
        assert {message["id"] for message in bodies(server)[:7]} == {bodies(server)[0]["id"]}


def test_a_single_failure_is_not_logged() -> None:
    """A hiccup of a receiver costs no line of the log."""
    with raw_server(in_turn(BROKEN, OK)) as server, notifying(receiver(server.url)) as (notifier, lines):
        notifier.announce(broken())
        until(lambda: len(bodies(server)) == 2)
    assert not lines.events


def test_a_refused_message_does_not_block_the_next() -> None:
    """A message that the receiver refuses is logged and dropped: sent again, it would be refused again."""
    with raw_server(in_turn(REFUSED, OK)) as server, notifying(receiver(server.url)) as (notifier, lines):
        notifier.announce(broken())
        until(lambda: lines.levels == ["warning"])
        notifier.announce(broken())
        until(lambda: lines.levels == ["warning", "info"])
        assert len(bodies(server)) == 2


def test_a_slow_receiver_delays_neither_the_cycle_nor_another_receiver_nor_shutdown() -> None:
    """While one receiver never answers, the cycle goes on at once, others get their messages, and shutdown takes two seconds."""

    def announced_and_closed() -> tuple[float, float]:
        with raw_server(silent) as slow, raw_server(answering(OK)) as good:
            notifier = Notifier(
                [receiver(slow.url), receiver(good.url, "notify[1]")], receiver(slow.url, "heartbeat"), Lines()
            )
            announced = seconds(lambda: notifier.announce(broken()))
            until(lambda: bodies(good))
            until(lambda: len(slow.received) == 2)
            return announced, seconds(notifier.close)

    tries = (announced_and_closed() for _ in range(TRIES))
    assert any(announced < 0.5 and closed < 2 for announced, closed in tries)


def test_shutdown_does_not_wait_for_the_next_try() -> None:
    """A receiver that fails keeps nobody waiting: its thread ends, and what it was to send is kept."""
    kept: list[Mapping[str, Sequence[Message]]] = []

    def save(waiting: Mapping[str, Sequence[Message]]) -> str:
        kept.append(waiting)
        return ""

    def closed() -> float:
        with raw_server(answering(BROKEN)) as server:
            notifier = Notifier([receiver(server.url)], None, Lines(), save=save, pauses=(60,))
            notifier.announce(broken())
            until(lambda: server.received and server.received[0])
            return seconds(notifier.close)

    assert any(closed() < 2 for _ in range(TRIES))
    assert [message["status"] for messages in kept[-1].values() for message in messages] == ["started"]


def test_what_was_pending_at_a_kill_is_sent_after_the_restart(tmp_path: Path) -> None:
    """A message is kept before anything is sent, so that a kill loses none; its id shows a receiver that it came twice."""
    outbox = Outbox(tmp_path / "state.json", "acme", clock=FakeClock())
    with raw_server(silent) as server:
        Notifier([receiver(server.url)], None, Lines(), save=outbox.save).announce(broken())
        until(lambda: bodies(server))
        (lost,) = bodies(server)
    again = Outbox(tmp_path / "state.json", "acme", clock=FakeClock())
    with raw_server(answering(OK)) as server:
        with notifying(receiver(server.url), kept=again.load(), save=again.save) as (notifier, _):
            notifier.announce(Watch().report(*HEALTHY))
            until(lambda: bodies(server))
        assert [message["id"] for message in bodies(server)] == [lost["id"]]
    assert Outbox(tmp_path / "state.json", "acme", clock=FakeClock()).load() == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1, "instance": "acme", "waiting": {"a": 1}}',
        '{"format": 1, "instance": "x"}',
    ],
)
def test_a_damaged_outbox_is_an_empty_one(tmp_path: Path, content: str) -> None:
    """A file that is cut, of another version or of another instance is not used."""
    (tmp_path / "state.json.notify").write_text(content)
    assert Outbox(tmp_path / "state.json", "acme", clock=FakeClock()).load() == {}


def test_an_outbox_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Where the folder cannot be used the messages are sent all the same, and it is logged once that a kill would lose them."""
    (tmp_path / "file").write_text("")
    outbox = Outbox(tmp_path / "file" / "state.json", "acme", clock=FakeClock())
    with raw_server(answering(OK)) as server, notifying(receiver(server.url), save=outbox.save) as (notifier, lines):
        for number in (1, 2):
            notifier.announce(broken())
            until(lambda number=number: len(bodies(server)) == number)
    (line,) = lines.events
    assert (line.name, line.level) == ("notify_failed", "warning")
    assert "state.json.notify cannot be written: " in line.fields["message"]


def test_the_outbox_of_another_instance_is_left_alone(tmp_path: Path) -> None:
    """A file of another instance is neither sent nor overwritten."""
    file = tmp_path / "state.json.notify"
    Outbox(tmp_path / "state.json", "other", clock=FakeClock()).save({"a": [{"title": "theirs"}]})
    before = file.read_bytes()
    outbox = Outbox(tmp_path / "state.json", "acme", clock=FakeClock())
    assert outbox.load() == {}
    assert outbox.save({}) == ""
    assert outbox.save({"a": [{"title": "acme's"}]}) == f"{file} is another instance's"
    assert file.read_bytes() == before


def test_what_waits_moves_with_the_file(tmp_path: Path) -> None:
    """After the file has moved, what waits is at the new place at once, and nothing is left at the old one."""
    old, new = (Outbox(tmp_path / name / "state.json", "acme", clock=FakeClock()) for name in ("old", "new"))
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    with raw_server(answering(BROKEN)) as server:
        one = receiver(server.url)
        first = Notifier([one], None, Lines(), save=old.save, pauses=(60,))
        first.announce(broken())
        first.close()
        second = Notifier([one], None, Lines(), kept=first.waiting, save=new.save, pauses=(60,))
        first.forget()
        second.close()
    loaded = [Outbox(tmp_path / name / "state.json", "acme", clock=FakeClock()).load() for name in ("old", "new")]
    assert loaded == [{}, second.waiting]
    assert second.waiting[one.key]


def test_messages_that_wait_are_bounded_and_the_dropped_ones_counted() -> None:
    """A receiver that fails for long costs bounded memory, and the log says how many messages it lost."""
    lines = Lines()
    results = iter([Delivery(500, 0.0, "HTTP 500")] * 3)
    box = Mailbox("notify[0]", lambda *_: next(results, Delivery(200, 0.0)), lines, pauses=(0.0,))
    box.add([{"id": str(number)} for number in range(MOST_WAITING + 7)])
    assert [message["id"] for message in box.waiting][:1] == ["7"]
    box.deliver(receiver("http://127.0.0.1:1").route)
    until(lambda: not box.waiting and len(lines.levels) == 2)
    assert "7 messages were dropped" in lines.events[-1].fields["message"]


def test_a_url_that_cannot_be_read_is_logged_once_and_read_again() -> None:
    """A missing credential is a line with its reference; the messages wait until it can be read."""

    def unreadable() -> Route:
        raise CredentialError("{env: WEBHOOK_URL}: the variable is not set")

    routes = [unreadable, unreadable]
    with raw_server(answering(OK)) as server:
        good = receiver(server.url)
        moving = Receiver("notify[0]", "{env: WEBHOOK_URL}", lambda: routes.pop()() if routes else good.route())
        with notifying(moving) as (notifier, lines):
            for _ in range(3):
                notifier.announce(Watch().report(*HEALTHY) if lines.events else broken())
            until(lambda: lines.levels == ["warning", "info"])
        assert len(bodies(server)) == 1
    assert "{env: WEBHOOK_URL}" in lines.events[0].fields["message"]


@pytest.mark.parametrize(
    ("path", "failed", "line"),
    [
        ("/ping/uuid", False, b"GET /ping/uuid HTTP/1.1"),
        ("/ping/uuid", True, b"GET /ping/uuid/fail HTTP/1.1"),
        ("/ping/uuid/", True, b"GET /ping/uuid/fail HTTP/1.1"),
        ("/ping/uuid?rid=1&create=1", True, b"GET /ping/uuid/fail?rid=1&create=1 HTTP/1.1"),
        ("", True, b"GET /fail HTTP/1.1"),
    ],
)
def test_a_heartbeat_that_fails_has_fail_at_the_end_of_its_path(path: str, failed: bool, line: bytes) -> None:
    """The suffix goes before a query string, which stays."""
    with raw_server(answering(OK)) as server:
        assert ping(receiver(server.url + path).route(), failed=failed).status == 200
        assert server.received[0].startswith(line)


def test_each_cycle_is_a_heartbeat_and_a_check_is_none() -> None:
    """A cycle that did its work calls the URL, even with Pages that have problems; a check between two cycles does not; what a bug ended failed."""
    with (
        raw_server(answering(OK)) as server,
        notifying(heartbeat=receiver(server.url + "/ping", "heartbeat")) as (notifier, _),
    ):
        notifier.announce(broken(), is_check=True)
        notifier.announce(broken())
        until(lambda: b"".join(server.received).count(b"GET /ping HTTP") == 1)
        notifier.announce(Watch().report(*held("berlin", reason="brake"), checksum="sha256:00"))
        until(lambda: b"".join(server.received).count(b"GET /ping/fail HTTP") == 1)
        notifier.beat(failed=True)
        until(lambda: b"".join(server.received).count(b"GET /ping/fail HTTP") == 2)
        assert b"".join(server.received).count(b"GET") == 3


def test_only_the_newest_heartbeat_is_sent() -> None:
    """Heartbeats that could not be sent are not made up for: an old one would report a cycle that is long over."""
    box = Mailbox("heartbeat", lambda *_: Delivery(200, 0.0), Lines(), newest_only=True)
    box.add([{"failed": True}])
    box.add([{"failed": False}])
    assert box.waiting == [{"failed": False}]


def test_a_machine_without_threads_sends_with_a_later_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started the cycle goes on, and the messages wait."""
    with raw_server(answering(OK)) as server, notifying(receiver(server.url)) as (notifier, _):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_thread)
            notifier.announce(broken())
        notifier.announce(Watch().report(*HEALTHY))
        until(lambda: bodies(server))


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
