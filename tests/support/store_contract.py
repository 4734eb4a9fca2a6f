"""The contract of all stores, as tests: each store's test file subclasses these classes and has a fixture ``rig``.

A rig is a new, empty part of a real service, with methods that act on it as another person does. The classes other than
StoreContract are for stores that can be in the situation that they name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pytest

from sync.core import marks as mark_map
from sync.core.model import Absent, Content, Key, Marks, Removed, Stored, StoreError, Use, Written
from sync.core.payload import Payload, PayloadTemplate
from sync.core.report.store_findings import STORE_CHECKS
from sync.core.secret import Secret
from sync.stores.interface import Store
from tests.support.values import page

CANARY = "EAAcanaryTOKENcanary0123456789canary"
"""The token in the payloads of these tests; no StoreError may show it."""


class Rig(Protocol):
    """One service's part of the tests."""

    name: str
    """The store's name in the configuration, as in every Key."""
    counted: bool
    """Whether the store sends requests to a service."""
    exact_numbers: bool
    """Whether the service keeps the text of a number."""
    canaries: Sequence[str]
    """Secrets with which the stores log in; no StoreError may show one."""
    odd_names: Sequence[str]
    """Names that are unusual, and legal in this store; each can be given to ``key``."""
    refused_paths: Sequence[str]
    """Paths that lead nowhere or elsewhere, which the store must refuse without asking."""

    def make_store(self) -> Store:
        """Return a store over this part of the service; several may be open at once, as in several daemons."""
        ...

    def unreachable_store(self) -> Store:
        """Make a store of the same kind whose service cannot be reached."""
        ...

    def key(self, name: str) -> Key:
        """Return the target of a Page of this name, inside what ``owned`` can reach."""
        ...

    def bad_key(self) -> Key:
        """Return a key that cannot be read while its neighbours can."""
        ...

    def plant(self, key: Key, payload: Mapping[str, Any], marks: Mapping[str, str] | None = None) -> None:
        """Store something as another tool or daemon does; ``marks`` as core.marks names them."""
        ...

    def plant_text(self, key: Key, text: str, marks: Mapping[str, str]) -> None:
        """Store a payload given as JSON, with marks, as another tool does."""
        ...

    def numbers(self, key: Key) -> Mapping[str, str]:
        """Return the stored payload as its other readers get it, each number as its text."""
        ...

    def unreadable(self, key: Key) -> frozenset[Key]:
        """Store a marked value that has not the wanted form; returns what ``read`` takes as ``raw``."""
        ...

    def add_foreign_mark(self, key: Key, name: str, value: str) -> None:
        """Add an entry to the mark map as a person does."""
        ...

    def unmark(self, key: Key) -> None:
        """Remove the marks as a person does."""
        ...

    def foreign_marks(self, key: Key) -> Mapping[str, str]:
        """Return the entries of the service's mark map that are not page-token-sync's."""
        ...

    def versions(self, key: Key) -> Sequence[str]:
        """Return each version of the payload that ever existed, as the service numbers them."""
        ...

    def restore(self, key: Key, removed: Removed) -> None:
        """Restore as a person does with the command that the removal names."""
        ...

    def delete(self, key: Key) -> None:
        """Delete as a person does, recoverably where the service offers that."""
        ...


def payload(token: str = CANARY, **more: Any) -> Payload:
    """Make a payload of the default template."""
    return Payload({"access_token": token, "page_id": "101", **more})


def marks(**changes: Any) -> Marks:
    """Return the marks of a written secret."""
    wanted = Marks(
        instance="acme",
        page_id="101",
        app_id="555",
        fingerprint="9f86d081884c",
        system_user_id="777",
        system_user_fingerprint="aaaaaaaaaaaa",
        written_at="2026-11-25T01:00:00Z",
        reason="recreated",
        labels={"team": "crm"},
    )
    return replace(wanted, **changes)


def one(store: Store, key: Key) -> Content:
    """Read one key."""
    return store.read([key])[key]


def stored(store: Store, key: Key) -> Stored:
    """Read one key that must be stored."""
    found = one(store, key)
    assert isinstance(found, Stored), found
    return found


def written(answer: Written | StoreError) -> Written:
    """Return the answer of a write that must have succeeded and been confirmed."""
    assert isinstance(answer, Written), answer
    assert answer.confirmed
    return answer


def failed(answer: object, reason: str | None = None) -> StoreError:
    """Return the answer of a call that must have failed, with this error code."""
    assert isinstance(answer, StoreError), answer
    assert reason in (None, answer.error_code), answer
    assert answer.message
    assert answer.remedy
    return answer


def together(*work: Callable[[], Any]) -> list[Any]:
    """Run all at once, each in its own thread; returns the answers in order."""
    answers: list[Any] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(index: int) -> None:
        start.wait()
        answers[index] = work[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class StoreContract:
    """What holds for every store."""

    @pytest.fixture
    def store(self, rig: Rig) -> Any:
        """Return the store under test in its first cycle, and close it afterwards."""
        store = rig.make_store()
        store.begin()
        yield store
        store.close()

    # Failure first.

    def test_create_over_something_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A creation where something is stored, marked or not, changes nothing and is a conflict."""
        for name, planted in (("marked", mark_map.present(marks())), ("bare", None)):
            key = rig.key(name)
            rig.plant(key, {"access_token": "theirs"}, planted)
            before = stored(store, key)
            failed(store.write(key, payload(), marks(), replaces=None), "conflict")
            assert stored(rig.make_store(), key) == before

    def test_stale_version_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A write that was decided on an older version changes neither payload, marks nor version."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        written(rig.make_store().write(key, payload("two"), marks(reason="heal"), replaces=first.version))
        before, versions = stored(store, key), rig.versions(key)
        failed(store.write(key, payload("three"), marks(labels={}), replaces=first.version), "conflict")
        assert stored(store, key) == before
        assert rig.versions(key) == versions

    def test_mark_of_stale_version_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """Marks that were decided on an older payload are not written beside a newer one."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        written(rig.make_store().write(key, payload("two"), marks(), replaces=first.version))
        failed(store.mark(key, marks(labels={"late": "yes"}), version=first.version), "conflict")
        assert stored(store, key).marks == marks()

    def test_mark_of_what_another_instance_took_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A secret that another instance has marked since it was read is not marked, even with the same payload."""
        key = rig.key("a")
        rig.plant(key, {"access_token": CANARY})
        version = stored(store, key).version
        written(rig.make_store().mark(key, marks(instance="other"), version=version))
        failed(store.mark(key, marks(), version=version), "conflict")
        assert stored(rig.make_store(), key).marks == marks(instance="other")

    def test_mark_takes_over_what_was_read_and_nothing_else(self, rig: Rig, store: Store) -> None:
        """Another instance's secret, or another Page's, gets these marks if it is still the one that was read, and keeps its payload."""
        for name, planted in (("other", marks(instance="other", hold="1")), ("page", marks(page_id="9"))):
            key = rig.key(name)
            rig.plant(key, {"access_token": CANARY, "note": "theirs"}, mark_map.present(planted))
            found = stored(store, key)
            read = replace(found, marks=marks(instance="third"))
            failed(store.mark(key, marks(), version=found.version, read=read), "conflict")
            assert stored(rig.make_store(), key) == found
            written(store.mark(key, marks(), version=found.version, read=found))
            after = stored(rig.make_store(), key)
            assert (after.payload, after.marks, after.version) == (found.payload, marks(), found.version)

    def test_mark_of_what_a_person_unmarked_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A secret whose marks were removed since it was read stays unmarked: it may be somebody else's by now."""
        key = rig.key("a")
        written(store.write(key, payload(), marks(), replaces=None))
        found = stored(store, key)
        rig.unmark(key)
        failed(store.mark(key, marks(labels={}), version=found.version, read=found), "conflict")
        after = stored(rig.make_store(), key)
        assert (after.marks, after.payload) == (None, payload())

    def test_update_of_a_removed_secret_changes_nothing(self, rig: Rig, store: Store) -> None:
        """A write over a secret that was removed in the meantime does not create it."""
        key = rig.key("a")
        failed(store.write(key, payload(), marks(), replaces="1"))
        assert isinstance(one(rig.make_store(), key), Absent)

    def test_same_write_again_is_success(self, rig: Rig, store: Store) -> None:
        """A creation whose answer was lost is found done by the next writer of the same, without a further version."""
        key = rig.key("a")
        first = written(store.write(key, payload(), marks(), replaces=None))
        again = written(rig.make_store().write(key, payload(), marks(written_at="2026-11-25T01:00:09Z"), replaces=None))
        assert again.version == first.version
        assert len(rig.versions(key)) == 1

    def test_same_update_again_is_success(self, rig: Rig, store: Store) -> None:
        """An update whose answer was lost is found done by the next writer of the same, without a further version."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        second = written(store.write(key, payload("two"), marks(reason="heal"), replaces=first.version))
        versions = rig.versions(key)
        again = written(rig.make_store().write(key, payload("two"), marks(reason="heal"), replaces=first.version))
        assert again.version == second.version
        assert rig.versions(key) == versions

    def test_same_payload_of_another_instance_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A secret of another instance belongs to that instance, even with the same payload."""
        key = rig.key("a")
        written(rig.make_store().write(key, payload(), marks(instance="other"), replaces=None))
        failed(store.write(key, payload(), marks(), replaces=None), "conflict")
        assert stored(rig.make_store(), key).marks == marks(instance="other")

    def test_one_of_two_creators_wins(self, rig: Rig) -> None:
        """Of two daemons that create at once exactly one succeeds; the other gets a conflict, and nothing is mixed."""
        for turn in range(4):
            key = rig.key(f"race{turn}")
            stores = [rig.make_store(), rig.make_store()]
            answers = together(
                lambda key=key, store=stores[0]: store.write(key, payload("one"), marks(page_id="1"), replaces=None),
                lambda key=key, store=stores[1]: store.write(key, payload("two"), marks(page_id="2"), replaces=None),
            )
            self._one_won(answers, stored(rig.make_store(), key), rig.versions(key), 1)

    def test_one_of_two_updaters_wins(self, rig: Rig, store: Store) -> None:
        """Of two daemons that replace one version at once exactly one succeeds."""
        for turn in range(4):
            key = rig.key(f"race{turn}")
            first = written(store.write(key, payload("none"), marks(), replaces=None)).version
            before, stores = len(rig.versions(key)), [rig.make_store(), rig.make_store()]
            answers = together(
                lambda key=key, first=first, store=stores[0]: store.write(
                    key, payload("one"), marks(page_id="1"), replaces=first
                ),
                lambda key=key, first=first, store=stores[1]: store.write(
                    key, payload("two"), marks(page_id="2"), replaces=first
                ),
            )
            assert len(rig.versions(key)) >= before
            self._one_won(answers, stored(rig.make_store(), key), rig.versions(key), None)

    @staticmethod
    def _one_won(answers: list[Any], found: Stored, versions: Sequence[str], count: int | None) -> None:
        winners = [index for index, answer in enumerate(answers) if isinstance(answer, Written)]
        assert len(winners) == 1, answers
        assert failed(answers[1 - winners[0]]).error_code == "conflict"
        assert found.payload == payload(("one", "two")[winners[0]])
        assert found.marks is not None
        assert found.marks.page_id == ("1", "2")[winners[0]]
        assert count is None or len(versions) == count

    def test_unreachable_service_is_a_value(self, rig: Rig) -> None:
        """No method raises when the service cannot be reached, every key has its answer, and no error shows a secret."""
        store, key, other = rig.unreachable_store(), rig.key("a"), rig.key("b")
        store.begin()
        read = store.read([key, other])
        answers: list[Any] = [
            *read.values(),
            store.write(key, payload(), marks(), replaces=None),
            store.write(key, payload(), marks(), replaces="1"),
            store.mark(key, marks(), version="1"),
            store.remove(key, version="1", marks=marks()),
            store.owned("acme"),
        ]
        store.close()
        assert set(read) == {key, other}
        for answer in answers:
            failed(answer)
            assert not [secret for secret in (CANARY, *rig.canaries) if secret in repr(answer)]

    def test_refused_paths_are_a_value(self, rig: Rig, store: Store) -> None:
        """A path that would lead elsewhere is refused without a request."""
        for path in rig.refused_paths:
            key, sent = Key(rig.name, path), store.requests
            failed(one(store, key), "refused-path")
            failed(store.write(key, payload(), marks(), replaces=None), "refused-path")
            failed(store.mark(key, marks(), version="1"), "refused-path")
            failed(store.remove(key, version="1", marks=marks()), "refused-path")
            assert store.requests == sent

    def test_one_bad_key_among_many(self, rig: Rig, store: Store) -> None:
        """A key that cannot be read is an error of its own; the others are read."""
        good = [rig.key(f"good{number}") for number in range(12)]
        for key in good[:6]:
            written(store.write(key, payload(key.path), marks(), replaces=None))
        bad, fresh = rig.bad_key(), rig.make_store()
        fresh.begin()
        answers = fresh.read([*good[:3], bad, *good[3:]])
        assert not failed(answers[bad]).whole
        assert CANARY not in repr(answers[bad])
        assert [stored(fresh, key).payload for key in good[:6]] == [payload(key.path) for key in good[:6]]
        assert all(isinstance(answers[key], Stored) for key in good[:6])
        assert all(isinstance(answers[key], Absent) for key in good[6:])

    def test_unreadable_payload(self, rig: Rig, store: Store) -> None:
        """A value that has not the wanted form is live, without a payload, and keeps its marks."""
        key = rig.key("a")
        raw = rig.unreadable(key)
        found = store.read([key], raw=raw)[key]
        assert isinstance(found, Stored)
        assert (found.payload, found.state) == (None, "live")
        assert found.marks is not None

    def test_unreadable_payload_can_be_repaired(self, rig: Rig, store: Store) -> None:
        """A value that could not be read is replaced by compare-and-set like any other."""
        key = rig.key("a")
        found = store.read([key], raw=rig.unreadable(key))[key]
        assert isinstance(found, Stored)
        written(store.write(key, payload(), marks(), replaces=found.version))
        assert stored(rig.make_store(), key).payload == payload()

    # Reading.

    def test_nothing_there_is_absent(self, rig: Rig, store: Store) -> None:
        """A key under which nothing is stored is Absent."""
        assert isinstance(one(store, rig.key("nothing")), Absent)

    def test_no_key_asked_for(self, store: Store) -> None:
        """To read no key is legal and returns nothing."""
        assert dict(store.read([])) == {}

    def test_every_key_has_its_answer(self, rig: Rig, store: Store) -> None:
        """Each of many keys, present or absent, has its own payload and marks."""
        keys = [rig.key(f"page{number}") for number in range(45)]
        for number, key in enumerate(keys[:25]):
            rig.plant(key, {"access_token": f"token{number}"}, mark_map.present(marks(page_id=str(number))))
        answers = store.read(keys)
        assert set(answers) == set(keys)
        for number, key in enumerate(keys[:25]):
            found = answers[key]
            assert isinstance(found, Stored)
            assert found.payload == Payload({"access_token": f"token{number}"})
            assert found.marks == marks(page_id=str(number))
        assert all(isinstance(answers[key], Absent) for key in keys[25:])

    def test_unmarked(self, rig: Rig, store: Store) -> None:
        """A foreign secret has no marks, and is known to be a first version."""
        key = rig.key("a")
        rig.plant(key, {"access_token": "theirs"})
        found = stored(store, key)
        assert (found.marks, found.state, found.first) == (None, "live", True)

    def test_marks_of_another_tool(self, rig: Rig, store: Store) -> None:
        """A mark map with another managed-by is no mark."""
        key = rig.key("a")
        rig.plant(key, {"access_token": "theirs"}, {"managed-by": "terraform", "instance": "acme"})
        assert stored(store, key).marks is None

    def test_other_instance(self, rig: Rig, store: Store) -> None:
        """Another instance's secret carries that instance."""
        key = rig.key("a")
        rig.plant(key, {"access_token": "theirs"}, mark_map.present(marks(instance="other")))
        assert stored(store, key).marks == marks(instance="other")

    def test_a_change_outside_is_seen_in_the_next_cycle(self, rig: Rig, store: Store) -> None:
        """A change between two cycles is read in the next one, payload and marks."""
        key, still = rig.key("a"), rig.key("b")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        written(store.write(still, payload("still"), marks(), replaces=None))
        store.begin()
        assert store.read([key, still])[key] == stored(rig.make_store(), key)
        written(rig.make_store().write(key, payload("two"), marks(hold="yes"), replaces=first.version))
        store.begin()
        answers = store.read([key, still])
        assert answers == rig.make_store().read([key, still])
        found = answers[key]
        assert isinstance(found, Stored)
        assert (found.payload, found.marks) == (payload("two"), marks(hold="yes"))

    def test_a_secret_removed_outside_is_seen_in_the_next_cycle(self, rig: Rig, store: Store) -> None:
        """A deletion between two cycles is read in the next one, and not answered from memory."""
        key = rig.key("a")
        written(store.write(key, payload(), marks(), replaces=None))
        store.begin()
        stored(store, key)
        rig.delete(key)
        store.begin()
        found = one(store, key)
        assert found == one(rig.make_store(), key)
        assert isinstance(found, Absent) or found.state == "deleted" or found.blocked == "scheduled-deletion"

    # Writing.

    def test_create(self, rig: Rig, store: Store) -> None:
        """A created secret is read back, by this store and by the next daemon, with its marks."""
        key = rig.key("a")
        answer = written(store.write(key, payload(), marks(), replaces=None))
        for reader in (store, rig.make_store()):
            found = stored(reader, key)
            assert (found.payload, found.marks, found.version) == (payload(), marks(), answer.version)
            assert (found.state, found.first, found.blocked) == ("live", True, None)

    def test_update(self, rig: Rig, store: Store) -> None:
        """An update replaces payload and marks, and is not a first version."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        second = written(store.write(key, payload("two"), marks(reason="rotate"), replaces=first.version))
        found = stored(rig.make_store(), key)
        assert second.version != first.version
        assert (found.payload, found.marks, found.version) == (payload("two"), marks(reason="rotate"), second.version)

    def test_many_updates_in_a_row(self, rig: Rig, store: Store) -> None:
        """The version of each write is the base of the next."""
        key, version = rig.key("a"), None
        for number in range(5):
            version = written(store.write(key, payload(str(number)), marks(), replaces=version)).version
        assert stored(store, key).payload == payload("4")

    def test_writes_to_many_keys_at_once(self, rig: Rig, store: Store) -> None:
        """Several threads use one store, each for its own key."""
        keys = [rig.key(f"page{number}") for number in range(8)]
        answers = together(
            *(
                lambda key=key: store.write(key, payload(key.path), marks(page_id=key.path), replaces=None)
                for key in keys
            )
        )
        assert all(written(answer) for answer in answers)
        for key, found in rig.make_store().read(keys).items():
            assert isinstance(found, Stored)
            assert found.marks is not None
            assert (found.payload, found.marks.page_id) == (payload(key.path), key.path)

    def test_payload_is_kept_exactly(self, rig: Rig, store: Store) -> None:
        """Any text survives: quotes, line ends, other scripts, characters outside the basic plane."""
        key = rig.key("a")
        wanted = payload(
            "Zürich \U0001f3d9 \"'\\ \n\r\t \u2028 \u0430 {} %s &amp; ", **{"schlüssel ✓": "wert", "": "leer"}
        )
        answer = written(store.write(key, wanted, marks(), replaces=None))
        again = stored(rig.make_store(), key)
        assert again.payload == wanted
        assert again.version == answer.version

    def test_keys_of_others_are_carried_over(self, rig: Rig, store: Store) -> None:
        """Values that are not strings are read and written back unchanged beside the payload's own."""
        key = rig.key("a")
        theirs = {"note": "hand-made", "retries": 3, "on": True, "none": None, "nested": {"list": ["a", {"b": 1}]}}
        rig.plant(key, theirs, mark_map.present(marks()))
        found = stored(store, key)
        assert found.payload == Payload(theirs)
        written(store.write(key, payload(**theirs), marks(), replaces=found.version))
        assert stored(rig.make_store(), key).payload == payload(**theirs)

    def test_numbers_of_others_keep_their_text(self, rig: Rig, store: Store) -> None:
        """A number that a parser would round, overflow or write in another way is the same after a write.

        OpenBao serves 64-bit floats, whatever was stored (seen with 2.7.2): there it is the number that it serves.
        """
        key = rig.key("a")
        numbers = {"price": "12345678901234567.123456789", "zero": "-0.0", "e": "1E5", "ten": "1.10"}
        numbers |= {"huge": "1e400" if rig.exact_numbers else "1e300"}
        text = ",".join(f'"{name}":{number}' for name, number in numbers.items())
        rig.plant_text(key, f'{{{text},"access_token":"old"}}', mark_map.present(marks()))
        before = rig.numbers(key)
        assert not rig.exact_numbers or before == {**numbers, "access_token": "old"}
        found = stored(store, key)
        assert found.payload is not None
        template = PayloadTemplate.parse({"access_token": "{token}"}, {})
        wanted = template.render(Secret(CANARY), over=found.payload)
        written(store.write(key, wanted, marks(), replaces=found.version))
        assert rig.numbers(key) == {**before, "access_token": CANARY}
        assert stored(rig.make_store(), key).payload == wanted

    def test_odd_names(self, rig: Rig, store: Store) -> None:
        """Unusual but legal names are separate secrets."""
        keys = [rig.key(name) for name in rig.odd_names]
        for key in keys:
            written(store.write(key, payload(key.path), marks(), replaces=None))
        answers = rig.make_store().read(keys)
        assert [found.payload for found in answers.values() if isinstance(found, Stored)] == [
            payload(key.path) for key in keys
        ]
        listing = store.owned("acme")
        assert not isinstance(listing, StoreError)
        assert {key for key, _ in listing} == set(keys)

    # Marks.

    def test_marks_round_trip(self, rig: Rig, store: Store) -> None:
        """Every mark is read back, including optional and absent ones and labels in other scripts."""
        for number, wanted in enumerate(
            (
                marks(hold="2", labels={"team": "crm", "ort": "Köln", "a.b-c_d": "x y"}),
                marks(system_user_id=None, system_user_fingerprint=None, labels={}, written_at="", reason=""),
            )
        ):
            key = rig.key(f"page{number}")
            written(store.write(key, payload(), wanted, replaces=None))
            assert stored(rig.make_store(), key).marks == wanted

    def test_write_removes_marks_that_are_not_wanted(self, rig: Rig, store: Store) -> None:
        """Labels and optional marks that are no longer wanted are removed by an update."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(labels={"a": "1", "b": "2"}), replaces=None))
        wanted = marks(system_user_id=None, labels={"b": "3"})
        written(store.write(key, payload("two"), wanted, replaces=first.version))
        assert stored(rig.make_store(), key).marks == wanted

    def test_what_was_decided_before_a_hold_does_not_end_it(self, rig: Rig, store: Store) -> None:
        """A write keeps the hold or is a conflict, and marks alone are a conflict; who has read the hold removes it."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        read = stored(store, key)
        written(store.mark(key, marks(hold="1"), version=first.version, read=read))
        failed(store.mark(key, marks(), version=first.version, read=read), "conflict")
        late = store.write(key, payload("two"), marks(), replaces=first.version)
        held = stored(rig.make_store(), key)
        assert held.marks is not None
        assert (held.marks.hold, held.payload) == ("1", payload("one" if isinstance(late, StoreError) else "two"))
        written(store.mark(key, marks(), version=held.version, read=held))
        assert stored(rig.make_store(), key).marks == marks()

    def test_mark_alone(self, rig: Rig, store: Store) -> None:
        """Marks are changed, added and removed without a new version of the payload."""
        key = rig.key("a")
        first = written(store.write(key, payload(), marks(labels={"a": "1", "b": "2"}), replaces=None))
        versions, wanted = rig.versions(key), marks(reason="labels", labels={"b": "3", "c": "4"})
        answer = written(store.mark(key, wanted, version=first.version))
        found = stored(rig.make_store(), key)
        assert (found.marks, found.payload, found.version) == (wanted, payload(), answer.version)
        assert rig.versions(key) == versions

    def test_mark_of_unmarked(self, rig: Rig, store: Store) -> None:
        """A secret without marks gets them beside its own payload."""
        key = rig.key("a")
        rig.plant(key, {"access_token": CANARY})
        written(store.mark(key, marks(), version=stored(store, key).version))
        found = stored(rig.make_store(), key)
        assert (found.marks, found.payload) == (marks(), Payload({"access_token": CANARY}))

    def test_mark_of_an_earlier_name_is_removed(self, rig: Rig, store: Store) -> None:
        """A mark of a name that is not written any more is removed with the next marks, without a new version."""
        key = rig.key("a")
        old = marks(system_user_fingerprint=None)
        rig.plant(key, {"access_token": CANARY}, {**mark_map.present(old), "parent": "0123456789ab"})
        found, versions = stored(store, key), rig.versions(key)
        assert found.marks == old
        written(store.mark(key, marks(), version=found.version))
        assert stored(rig.make_store(), key).marks == marks()
        assert not [name for name in rig.foreign_marks(key) if "parent" in name]
        assert rig.versions(key) == versions

    def test_entries_of_others_in_the_mark_map_stay(self, rig: Rig, store: Store) -> None:
        """A person's entries in the mark map survive marks and writes."""
        key = rig.key("a")
        first = written(store.write(key, payload("one"), marks(), replaces=None))
        rig.add_foreign_mark(key, "CostCenter", "4711")
        before = dict(rig.foreign_marks(key))
        assert before["CostCenter"] == "4711"
        written(store.mark(key, marks(labels={}), version=first.version))
        assert rig.foreign_marks(key) == before
        written(store.write(key, payload("two"), marks(), replaces=first.version))
        assert rig.foreign_marks(key) == before
        assert stored(rig.make_store(), key).marks == marks()

    # The renewal of foreign secrets.

    def test_renewal_of_another_version_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A credential that was changed since it was read is left as it is."""
        key = rig.key("a")
        rig.plant(key, {"token": "theirs"})
        before = stored(store, key)
        written(rig.make_store().renew(key, Payload({"token": "theirs too"}), replaces=before.version))
        between, versions = stored(rig.make_store(), key), rig.versions(key)
        failed(store.renew(key, Payload({"token": CANARY}), replaces=before.version), "conflict")
        failed(store.renew(key, Payload({"token": CANARY}), replaces="no version of this store"), "conflict")
        assert stored(rig.make_store(), key) == between
        assert rig.versions(key) == versions

    def test_renewal_creates_nothing(self, rig: Rig, store: Store) -> None:
        """An absent or deleted credential is not renewed."""
        gone, deleted = rig.key("gone"), rig.key("deleted")
        for version in ("0", "1", "none"):
            failed(store.renew(gone, Payload({"token": CANARY}), replaces=version))
        assert isinstance(one(rig.make_store(), gone), Absent)
        rig.plant(deleted, {"token": "theirs"}, mark_map.present(marks()))
        version = stored(store, deleted).version
        rig.delete(deleted)
        before = one(rig.make_store(), deleted)
        failed(store.renew(deleted, Payload({"token": CANARY}), replaces=version), "conflict")
        assert one(rig.make_store(), deleted) == before

    def test_renewal_again_is_success(self, rig: Rig, store: Store) -> None:
        """A renewal whose answer was lost is found done, without a further version."""
        key, wanted = rig.key("a"), Payload({"token": CANARY})
        rig.plant(key, {"token": "theirs"})
        before = stored(store, key).version
        first = written(store.renew(key, wanted, replaces=before))
        versions = rig.versions(key)
        assert written(rig.make_store().renew(key, wanted, replaces=before)).version == first.version
        assert rig.versions(key) == versions

    def test_one_of_two_renewers_wins(self, rig: Rig, store: Store) -> None:
        """Of two daemons that renew one credential at once exactly one succeeds; the other gets a conflict."""
        for turn in range(4):
            key, stores = rig.key(f"race{turn}"), [rig.make_store(), rig.make_store()]
            rig.plant(key, {"token": "theirs"})
            before = stored(store, key).version
            answers = together(
                lambda key=key, before=before, store=stores[0]: store.renew(
                    key, Payload({"token": "one"}), replaces=before
                ),
                lambda key=key, before=before, store=stores[1]: store.renew(
                    key, Payload({"token": "two"}), replaces=before
                ),
            )
            (winner,) = (index for index, answer in enumerate(answers) if isinstance(answer, Written))
            assert failed(answers[1 - winner]).error_code == "conflict"
            assert stored(rig.make_store(), key).payload == Payload({"token": ("one", "two")[winner]})

    def test_failed_renewal_is_a_value(self, rig: Rig, store: Store) -> None:
        """An unreachable store and a refused path are errors without a secret, the latter without a request."""
        unreachable = rig.unreachable_store()
        unreachable.begin()
        answer = failed(unreachable.renew(rig.key("a"), Payload({"token": CANARY}), replaces="1"))
        unreachable.close()
        assert not [secret for secret in (CANARY, *rig.canaries) if secret in repr(answer)]
        sent = store.requests
        for path in rig.refused_paths:
            failed(store.renew(Key(rig.name, path), Payload({"token": CANARY}), replaces="1"), "refused-path")
        assert store.requests == sent

    def test_renewal_leaves_marks_alone(self, rig: Rig, store: Store) -> None:
        """A foreign secret, another tool's, another instance's and this instance's are renewed alike, and keep their marks."""
        terraform = {"managed-by": "terraform", "instance": "acme"}
        for name, planted in (
            ("bare", None),
            ("terraform", terraform),
            ("other", mark_map.present(marks(instance="other"))),
            ("marked", mark_map.present(marks())),
        ):
            key = rig.key(name)
            rig.plant(key, {"token": "theirs", "note": "hand-made", "n": [1, None]}, planted)
            if planted is not None:
                rig.add_foreign_mark(key, "CostCenter", "4711")
            before = stored(store, key)
            tagged = dict(rig.foreign_marks(key)) if planted is not None else {}
            assert before.payload is not None
            wanted = before.payload.renewed("token", Secret(CANARY))
            answer = written(store.renew(key, wanted, replaces=before.version))
            store.begin()
            for reader in (store, rig.make_store()):
                found = stored(reader, key)
                assert (found.payload, found.marks, found.version) == (wanted, before.marks, answer.version)
            assert answer.version != before.version
            assert planted is None or dict(rig.foreign_marks(key)) == tagged

    # Removal.

    def test_removal_of_what_changed_is_a_conflict(self, rig: Rig, store: Store) -> None:
        """A secret with a newer version, other marks or none is not deleted, whoever changed it since it was read."""
        names = ("newer", "taken", "unmarked", "held")
        keys = {name: rig.key(name) for name in names}
        versions = {
            name: written(store.write(key, payload("one"), marks(), replaces=None)).version
            for name, key in keys.items()
        }
        other = rig.make_store()
        written(other.write(keys["newer"], payload("two"), marks(), replaces=versions["newer"]))
        rig.unmark(keys["taken"])
        written(other.mark(keys["taken"], marks(instance="other"), version=versions["taken"]))
        rig.unmark(keys["unmarked"])
        written(other.mark(keys["held"], marks(hold="1"), version=versions["held"]))
        before = {name: stored(rig.make_store(), key) for name, key in keys.items()}
        for name, key in keys.items():
            failed(store.remove(key, version=versions[name], marks=marks()), "conflict")
        assert {name: stored(rig.make_store(), key) for name, key in keys.items()} == before

    def test_removal_of_nothing(self, rig: Rig, store: Store) -> None:
        """A secret that does not exist is absent, and that is no error."""
        assert isinstance(store.remove(rig.key("nothing"), version="1", marks=marks()), Absent)

    def test_removal(self, rig: Rig, store: Store) -> None:
        """A removed secret is no orphan and has no value, its neighbour stays, and it can be restored with its marks."""
        key, other = rig.key("a"), rig.key("b")
        for one_key in (key, other):
            written(store.write(one_key, payload(one_key.path), marks(), replaces=None))
        store.begin()
        before = stored(store, key)
        answer = store.remove(key, version=before.version, marks=marks())
        assert isinstance(answer, Removed), answer
        assert key.path in answer.restore
        for reader in (store, rig.make_store()):
            reader.begin()
            gone = one(reader, key)
            assert isinstance(gone, Absent) or gone.payload is None, gone  # type: ignore[union-attr]
            assert [one_key for one_key, _ in reader.owned("acme")] == [other]  # type: ignore[union-attr]
        rig.restore(key, answer)
        assert stored(rig.make_store(), key) == before

    def test_removal_again_is_success(self, rig: Rig, store: Store) -> None:
        """A removal whose answer was lost, or that a second process did, is found done."""
        key = rig.key("a")
        version = written(store.write(key, payload(), marks(), replaces=None)).version
        assert isinstance(store.remove(key, version=version, marks=marks()), Removed)
        assert isinstance(rig.make_store().remove(key, version=version, marks=marks()), Removed | Absent)

    def test_two_removals_at_once(self, rig: Rig, store: Store) -> None:
        """Of two processes that remove one secret at once none fails, and it can be restored once."""
        key, stores = rig.key("a"), [rig.make_store(), rig.make_store()]
        version = written(store.write(key, payload(), marks(), replaces=None)).version
        answers = together(*(lambda store=store: store.remove(key, version=version, marks=marks()) for store in stores))
        done = [answer for answer in answers if isinstance(answer, Removed)]
        assert done, answers
        assert all(isinstance(answer, Removed | Absent) for answer in answers), answers
        rig.restore(key, done[0])
        assert stored(rig.make_store(), key).payload == payload()

    # Versions.

    def test_versions(self, rig: Rig, store: Store) -> None:
        """The versions that the store keeps are listed with their payloads, the current one first; an absent secret has none."""
        key = rig.key("a")
        version = written(store.write(key, payload("one"), marks(), replaces=None)).version
        for text in ("two", "three"):
            version = written(store.write(key, payload(text), marks(), replaces=version)).version
        found = store.versions(key)
        assert not isinstance(found, StoreError), found
        assert [(one.current, one.version == version, one.payload) for one in found[:1]] == [
            (True, True, payload("three"))
        ]
        assert not [one for one in found[1:] if one.current]
        # AWS may have removed a version without a label, and a directory has no history.
        assert [one.payload for one in found[1:]] in ([], [payload("two")], [payload("two"), payload("one")])
        assert (len(found) > 1) is (len(rig.versions(key)) > 1)
        assert list(store.versions(rig.key("nothing"))) == []  # type: ignore[arg-type]

    def test_versions_that_cannot_be_read(self, rig: Rig, store: Store) -> None:
        """An unreachable store and a refused path are errors."""
        unreachable = rig.unreachable_store()
        unreachable.begin()
        failed(unreachable.versions(rig.key("a")))
        unreachable.close()
        sent = store.requests
        for path in rig.refused_paths:
            failed(store.versions(Key(rig.name, path)), "refused-path")
        assert store.requests == sent

    # Owned.

    def test_owned_lists_this_instances_secrets_only(self, rig: Rig, store: Store) -> None:
        """Secrets with this instance's marks are listed, read before or not; no foreign, other instance's or deleted one."""
        asked, unasked, deleted = rig.key("asked"), rig.key("unasked"), rig.key("deleted")
        written(store.write(asked, payload(), marks(), replaces=None))
        rig.plant(unasked, {"access_token": "old"}, mark_map.present(marks(page_id="9")))
        rig.plant(rig.key("other"), {"access_token": "x"}, mark_map.present(marks(instance="other")))
        rig.plant(rig.key("bare"), {"access_token": "x"})
        rig.plant(rig.key("foreign"), {"access_token": "x"}, {"managed-by": "terraform", "instance": "acme"})
        rig.plant(deleted, {"access_token": "x"}, mark_map.present(marks()))
        rig.delete(deleted)
        store.begin()
        store.read([asked, rig.key("absent"), rig.key("bare")])
        listing = store.owned("acme")
        assert not isinstance(listing, StoreError), listing
        assert dict(listing) == {asked: marks(), unasked: marks(page_id="9")}
        assert len(listing) == 2

    def test_owned_of_nothing(self, store: Store) -> None:
        """An empty store owns nothing, and that is no error."""
        store.read([])
        assert list(store.owned("acme")) == []  # type: ignore[arg-type]

    def test_owned_without_reading_first(self, rig: Rig, store: Store) -> None:
        """A listing does not depend on an earlier read."""
        rig.plant(rig.key("a"), {"access_token": "old"}, mark_map.present(marks()))
        assert list(store.owned("acme")) == [(rig.key("a"), marks())]  # type: ignore[arg-type]

    # The rest.

    def test_examination(self, rig: Rig, store: Store) -> None:
        """An examination writes nothing, and reports which secrets are good, foreign, absent or without a credential."""
        good, theirs, absent, missing = (rig.key(name) for name in ("good", "theirs", "absent", "missing"))
        written(store.write(good, payload(), marks(), replaces=None))
        rig.plant(theirs, {"access_token": "theirs"}, mark_map.present(marks(instance="other")))
        uses = {key: Use("write", page(id="101", targets=(key,))) for key in (good, theirs, absent)}
        before = [list(rig.versions(key)) for key in (good, theirs)]
        store.begin()
        found = store.examine({**uses, missing: Use("read")}, "acme")
        assert {finding.id for finding in found} <= set(STORE_CHECKS)
        ended = [(finding.subject, finding.status) for finding in found if finding.id == "store-secrets"]
        wrong = [(f"{rig.name} {key.path}", "fail") for key in (theirs, missing)]
        assert ended == [*wrong, (rig.name, "ok")]
        assert all(finding.remedy for finding in found if finding.status == "fail")
        assert "1 secret can be read, 1 secret to be created" in found[-1].message
        assert [list(rig.versions(key)) for key in (good, theirs)] == before

    def test_examination_of_an_unreachable_service(self, rig: Rig) -> None:
        """Where the service cannot be reached, that fails, and every other check is skipped because of it."""
        store, key = rig.unreachable_store(), rig.key("a")
        store.begin()
        first, *others = store.examine({key: Use("write", page(targets=(key,)))}, "acme")
        assert (first.id, first.status, first.owner) == ("store-reached", "fail", "operator")
        assert first.remedy
        assert {(one.status, one.because) for one in others} == {("skipped", f"store-reached {rig.name}")}

    def test_requests_are_counted(self, rig: Rig, store: Store) -> None:
        """Each request to a service is counted; a store without a service counts none."""
        before = store.requests
        store.read([rig.key("a")])
        after_read = store.requests
        written(store.write(rig.key("a"), payload(), marks(), replaces=None))
        assert (after_read > before, store.requests > after_read) == (rig.counted, rig.counted)
        assert rig.counted or store.requests == 0
        assert sum(store.outcomes.values()) == store.requests
        assert {len(labels) for labels in store.outcomes} <= {2}

    def test_a_healthy_store_has_no_warnings(self, rig: Rig, store: Store) -> None:
        """A cycle without a failure has no warnings."""
        written(store.write(rig.key("a"), payload(), marks(), replaces=None))
        store.begin()
        store.read([rig.key("a")])
        store.owned("acme")
        assert list(store.warnings) == []

    def test_errors_show_no_secret(self, rig: Rig, store: Store) -> None:
        """No error shows a token, wanted or stored, nor a credential."""
        key = rig.key("a")
        rig.plant(key, {"access_token": CANARY + "theirs"}, mark_map.present(marks()))
        answers = [
            store.write(key, payload(), marks(), replaces=None),
            store.write(key, payload(), marks(), replaces="77"),
            store.mark(key, marks(), version="77"),
            store.write(key, payload(), marks(), replaces="no version of this store"),
            one(store, rig.bad_key()),
        ]
        for answer in answers:
            text = repr(failed(answer))
            assert not [secret for secret in (CANARY, *rig.canaries) if secret in text]


class TextRig(Rig, Protocol):
    """A rig of a store that keeps the text of a payload."""

    def text(self, key: Key) -> str:
        """Return the stored text as other readers get it."""
        ...


class RawTextContract:
    """What holds for a store of raw text."""

    def test_text_of_others_stays_byte_for_byte(self, rig: TextRig) -> None:
        """A write changes the token in an object, and no other byte of it."""
        store, key = rig.make_store(), rig.key("a")
        text = '{\n "n" : 1e400 , "n" : -0,\t"\\u00fc\\/":"\\ud800", "z":{"b":1.0,"a":[]}, "access_token" : "old", "ü":"\u2028"}\n'
        rig.plant_text(key, text, mark_map.present(marks()))
        found = stored(store, key)
        assert found.payload is not None
        wanted = PayloadTemplate.parse({"access_token": "{token}"}, {}).render(Secret(CANARY), over=found.payload)
        answer = written(store.write(key, wanted, marks(), replaces=found.version))
        assert rig.text(key) == text.replace("old", CANARY)
        assert stored(rig.make_store(), key).payload == wanted
        written(store.renew(key, wanted.renewed("access_token", Secret("new")), replaces=answer.version))
        assert rig.text(key) == text.replace("old", "new")

    def test_raw_text(self, rig: Rig) -> None:
        """Raw text is kept exactly, JSON or not, and is not an object."""
        store = rig.make_store()
        for number, text in enumerate((CANARY, '{"a": 1}', " Zürich\n", "line\r\nline")):
            key = rig.key(f"page{number}")
            written(store.write(key, Payload(text), marks(), replaces=None))
            found = rig.make_store().read([key], raw=frozenset({key}))[key]
            assert isinstance(found, Stored)
            assert (found.payload, found.marks) == (Payload(text), marks())
        plain = stored(rig.make_store(), rig.key("page0"))
        assert (plain.payload, plain.state) == (None, "live")


class EmptyRig(Rig, Protocol):
    """A rig of a store that can hold marks without a value."""

    def plant_empty(self, key: Key, marks: Mapping[str, str] | None = None) -> None:
        """Create a secret without a value, with these marks."""
        ...


class EmptyContract:
    """What holds for a store that can hold a secret without a value."""

    def test_secret_without_a_value(self, rig: EmptyRig) -> None:
        """A secret that never had a value is empty and has its marks; it is no orphan, and can be filled."""
        store, marked, bare = rig.make_store(), rig.key("marked"), rig.key("bare")
        rig.plant_empty(marked, mark_map.present(marks()))
        rig.plant_empty(bare)
        found = store.read([marked, bare])
        assert [(f.payload, f.state, f.marks) for f in found.values() if isinstance(f, Stored)] == [
            (None, "empty", marks()),
            (None, "empty", None),
        ]
        assert list(store.owned("acme")) == []  # type: ignore[arg-type]
        written(store.write(marked, payload(), marks(), replaces=stored(store, marked).version))
        assert stored(rig.make_store(), marked).payload == payload()

    def test_marks_of_a_secret_without_a_value(self, rig: EmptyRig) -> None:
        """The hold of a secret that never had a value can be ended, by who has read it as empty."""
        store, key = rig.make_store(), rig.key("a")
        rig.plant_empty(key, mark_map.present(marks(hold="1")))
        held = stored(store, key)
        failed(store.mark(key, marks(), version=held.version, read=replace(held, marks=marks())), "conflict")
        written(store.mark(key, marks(), version=held.version, read=held))
        after = stored(rig.make_store(), key)
        assert (after.state, after.marks) == ("empty", marks())


class DeletedContract:
    """What holds for a store in which a deleted secret keeps its marks and versions."""

    def test_deleted(self, rig: Rig) -> None:
        """A deleted secret keeps its marks, is no orphan, cannot be created, and is written again over its version."""
        store, key = rig.make_store(), rig.key("a")
        written(store.write(key, payload("one"), marks(), replaces=None))
        rig.delete(key)
        found = stored(store, key)
        assert (found.payload, found.state, found.marks) == (None, "deleted", marks())
        assert list(store.owned("acme")) == []  # type: ignore[arg-type]
        failed(store.write(key, payload("two"), marks(), replaces=None), "conflict")
        written(store.write(key, payload("two"), marks(), replaces=found.version))
        again = stored(rig.make_store(), key)
        assert (again.payload, again.state) == (payload("two"), "live")


class MarkedAtCreation(StoreContract):
    """What holds for a store whose secrets have marks from the first moment on: an unmarked secret is foreign."""

    def test_unmarked(self, rig: Rig, store: Store) -> None:
        """A foreign secret has no marks, and is never taken for an interrupted creation."""
        key = rig.key("a")
        rig.plant(key, {"access_token": "theirs"})
        found = stored(store, key)
        assert (found.marks, found.state, found.first) == (None, "live", False)

    def test_create(self, rig: Rig, store: Store) -> None:
        """A created secret is read back with its marks, by this store and by another."""
        key = rig.key("a")
        answer = written(store.write(key, payload(), marks(), replaces=None))
        for reader in (store, rig.make_store()):
            found = stored(reader, key)
            assert (found.payload, found.marks, found.version) == (payload(), marks(), answer.version)
            assert (found.state, found.first, found.blocked) == ("live", False, None)
