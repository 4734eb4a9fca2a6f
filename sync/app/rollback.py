"""Make an earlier version of a secret current again, and hold it; or let the daemon write it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from sync.app.app import App
from sync.app.changing import change
from sync.config.parse.translate import nearest
from sync.config.resolve.select import Selected, SelectionError
from sync.core.judge.ownership import system_user_of
from sync.core.model import Content, Key, PastVersion, Stored, StoreError, SystemUserToken, Version, Written
from sync.core.plan.model import TargetPlan
from sync.core.plan.rollback import Rollback, as_if, carried_out, choose, release, released, rollback
from sync.cycle.apply import PROOF_AGE
from sync.cycle.task import attempt, store_bug
from sync.runtime.threads import Clock, Stopping
from sync.stores.interface import Store

_INTERRUPTED = StoreError(
    "timeout",
    "Interrupted between two writes: the secret is held, and its token is the one before.",
    "Run the command again to write the wanted token, or run it with --release to end the hold.",
)


def roll_back(app: App, selection: Selected, version: Version | None, *, write: bool) -> Rollback:
    """Ask Meta about the token of an earlier version, and with ``write`` write that version again if it is proven.

    ``selection`` is one Page in one store. Raises SelectionError where the store does not keep ``version``.
    """
    (page,) = selection.pages
    (key,) = page.targets
    store = app.begin(writes=False)[key.store]
    past = attempt(lambda: store.versions(key, raw=page.payload.raw), lambda where: store_bug(store.name, where))
    listed: list[PastVersion] = [] if isinstance(past, StoreError) else list(past)
    instance, now = app.config.settings.instance, app.clock.now

    def assumed(content: Content) -> Content:
        return as_if(page, content, choose(page, content, listed, version), instance)

    target, read, users = _looked(app, selection, key, assumed)
    wanted = choose(page, read, listed, version)
    if isinstance(past, StoreError):
        read = past
    elif version is not None and wanted is None and isinstance(read, Stored):
        kept = nearest(version, [one.version for one in listed])
        raise SelectionError(f"--version {version}: the store keeps no such version of {key.path}; {kept}")
    found = rollback(
        page,
        target,
        read,
        listed,
        wanted,
        instance=instance,
        observe=app.config.settings.mode == "observe",
        now=now(),
        proof_age=PROOF_AGE,
    )
    found = replace(found, system_user=system_user_of(found.facts, users))
    return carry_out(found, store, app.clock) if write else found


def let_go(app: App, selection: Selected) -> Rollback:
    """Remove the mark with which a rollback holds a secret; the answer has what the next cycle does with it."""
    (page,) = selection.pages
    (key,) = page.targets
    instance = app.config.settings.instance
    target, read, _ = _looked(app, selection, key, lambda content: released(page, content, instance))
    found = release(
        page, target, read, [], instance=instance, observe=app.config.settings.mode == "observe", now=app.clock.now()
    )
    return carry_out(found, app.stores[key.store], app.clock)


def _looked(
    app: App, selection: Selected, key: Key, assumed: Callable[[Content], Content]
) -> tuple[TargetPlan, Content, Sequence[SystemUserToken]]:
    """Look at one secret as if it had changed; return what follows, what was read, and the system users' tokens."""
    read: dict[Key, Content] = {}

    def assume(current: Mapping[Key, Content]) -> Mapping[Key, Content]:
        read.update(current)
        return {one: assumed(content) for one, content in current.items()}

    looked = app.look(selection, assume)
    (plan,) = looked.pages
    (target,) = plan.targets
    return target, read[key], looked.user_tokens


def carry_out(found: Rollback, store: Store, clock: Clock) -> Rollback:
    """Write what was decided, over what was read; nothing where nothing may be written."""
    if found.action not in ("roll-back", "release"):
        return found
    done = change(lambda _: _write(found, store), [found.key], clock)
    return carried_out(found, done[found.key]) if found.key in done else found


def _write(found: Rollback, store: Store) -> Written | StoreError:
    """Write the marks, and between two steps of them the payload.

    The first marks hold the secret, so that no daemon writes it meanwhile, and name the wanted token, so that after a kill the
    same command completes what this one began. A payload that is certainly not written takes them back.
    """
    read, marks, intent = found.read, found.marks, found.intent
    if not isinstance(read, Stored) or marks is None:
        raise AssertionError("only what was read and decided is written")
    if found.payload is None or intent is None:
        return store.mark(found.key, marks, version=read.version, read=read)
    begun = store.mark(found.key, intent, version=read.version, read=read)
    if isinstance(begun, StoreError):
        return begun
    try:
        done = store.write(found.key, found.payload, marks, replaces=read.version)
    except Stopping:
        # A store lets it through before a write has begun, but the marks are written.
        return _INTERRUPTED
    if not isinstance(done, StoreError) or done.maybe_written or read.marks is None:
        return done
    with suppress(Stopping):
        undone = store.mark(found.key, read.marks, version=read.version, read=replace(read, marks=intent))
        if not isinstance(undone, StoreError):
            return done
    return replace(done, maybe_written=True)
