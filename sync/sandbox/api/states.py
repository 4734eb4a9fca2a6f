"""Faults that change the world instead of one answer, and functions to switch any fault on and off."""

from __future__ import annotations

import re
from collections.abc import Callable

from sync.sandbox.api import effects
from sync.sandbox.replies import REFUSALS
from sync.sandbox.world.business import TASKS, FakePage, Gives, Unassigned
from sync.sandbox.world.faults import KINDS, InjectedFault
from sync.sandbox.world.tokens import digits
from sync.sandbox.world.world import World

_SPELLING = re.compile(
    r"(?P<name>[a-z0-9-]+)(?::(?P<kind>[a-z_,]+))?(?:=(?P<argument>[^@*%]*))?"
    r"(?:@(?P<pages>[^*%]*))?(?:\*(?P<times>\d+))?(?:%(?P<probability>[0-9.]+))?"
)


_TOKENS: dict[str, Unassigned] = {"tokens-invalid": "invalid", "tokens-refused": "refused", "tokens-working": "working"}
"""What becomes of the tokens of a Page that is unassigned, which Meta does not document."""


def _unassigned(world: World, page: FakePage, argument: str) -> None:
    words = [word for word in argument.split(",") if word]
    unknown = [word for word in words if word not in REFUSALS and word not in _TOKENS]
    if unknown:
        raise ValueError(f"unknown shape {unknown[0]!r}; known are {', '.join((*REFUSALS, *_TOKENS))}")
    page.refusal = next((word for word in words if word in REFUSALS), "field-missing")
    page.unassigned_tokens = next((kind for word, kind in _TOKENS.items() if word in words), "invalid")
    for user in world.users.values():
        user.assigned.pop(page.id, None)


def _moved(world: World, page: FakePage, argument: str) -> None:
    page.migrated_to = argument or digits("moved", world.seed, page.id)


def _gives(what: Gives) -> Callable[[World, FakePage, str], None]:
    def give(_world: World, page: FakePage, _argument: str) -> None:
        page.gives = what

    return give


def _person(_world: World, page: FakePage, _argument: str) -> None:
    page.kind = "user"


def _deleted(_world: World, page: FakePage, _argument: str) -> None:
    page.deleted = True


def _unpublished(_world: World, page: FakePage, _argument: str) -> None:
    page.published = False


def _changing(_world: World, page: FakePage, _argument: str) -> None:
    page.changing = True


def _short_lived(_world: World, page: FakePage, argument: str) -> None:
    page.lifetime = int(argument or 3600)
    page.generation += 1


def _missing_scope(_world: World, page: FakePage, argument: str) -> None:
    page.lacking |= {argument or "pages_messaging"}


def _untargeted(_world: World, page: FakePage, argument: str) -> None:
    page.untargeted |= {argument or "pages_messaging"}


def _tasks(world: World, page: FakePage, argument: str) -> None:
    for user in world.users.values():
        user.assigned[page.id] = tuple((argument or "ANALYZE").split(","))


def _shared(_world: World, page: FakePage, _argument: str) -> None:
    page.shared = True


def _revoked(world: World, page: FakePage, _argument: str) -> None:
    world.revoke_page(page)


PAGES: dict[str, Callable[[World, FakePage, str], None]] = {
    "unassigned": _unassigned,
    "moved": _moved,
    "deleted": _deleted,
    "unpublished": _unpublished,
    "person": _person,
    "foreign": _gives("foreign"),
    "other-page": _gives("other-page"),
    "user-token": _gives("user-token"),
    "malformed-token": _gives("malformed"),
    "changing": _changing,
    "short-lived": _short_lived,
    "missing-scope": _missing_scope,
    "untargeted": _untargeted,
    "revoked": _revoked,
    "tasks": _tasks,
    "shared": _shared,
}
"""What may be done to a Page, by name; each lasts until the Page is restored."""


def _invalid(world: World, argument: str) -> None:
    world.invalidate(world.user, int(argument or 460))


def _expired(world: World, argument: str) -> None:
    world.tokens[world.user.token].expires_at = int(world.time()) - int(argument or 60)


def _expiring(world: World, argument: str) -> None:
    world.tokens[world.user.token].expires_at = int(world.time()) + int(argument or 86400)


def _checkpoint(world: World, argument: str) -> None:
    world.invalidate(world.user, int(argument or 459))


def _missing_permission(world: World, argument: str) -> None:
    world.user.lacking |= {argument or "pages_read_engagement"}


def _person_token(world: World, _argument: str) -> None:
    world.tokens[world.user.token].type = "USER"


def _require_proof(world: World, _argument: str) -> None:
    world.require_proof = True


USERS: dict[str, Callable[[World, str], None]] = {
    "invalid": _invalid,
    "expired": _expired,
    "expiring": _expiring,
    "checkpoint": _checkpoint,
    "missing-permission": _missing_permission,
    "person-token": _person_token,
    "require-proof": _require_proof,
}
"""What may be done to the system user's token and to the app."""

NAMES = (*effects.ANSWERS, *effects.WIRE, *effects.BATCH, *effects.LISTING, *effects.FACTS, *PAGES, *USERS)
"""Every fault there is."""


def restore_page(world: World, page: FakePage) -> None:
    """Make a Page healthy and assigned again; what was revoked stays revoked."""
    if page.lifetime is not None:
        page.generation += 1
    page.kind, page.published, page.deleted, page.migrated_to = "page", True, False, None
    page.gives, page.changing, page.lifetime = "own", False, None
    page.unassigned_tokens, page.shared = "invalid", False
    page.lacking = page.untargeted = frozenset()
    for user in world.users.values():
        user.assigned[page.id] = TASKS


def parse_fault(text: str) -> InjectedFault:
    """Read ``NAME[:KIND][=ARGUMENT][@PAGE,PAGE][*TIMES][%PROBABILITY]``; raises ValueError, which says what is wrong."""
    found = _SPELLING.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not NAME[:KIND][=ARGUMENT][@PAGE,PAGE][*TIMES][%PROBABILITY]")
    pages = frozenset(part for part in (found["pages"] or "").split(",") if part)
    times = int(found["times"]) if found["times"] else None
    return InjectedFault(
        found["name"], found["argument"] or "", pages, found["kind"] or "", times, float(found["probability"] or 1)
    )


def switch_on(world: World, fault: InjectedFault | str) -> InjectedFault:
    """Switch a fault on; Pages may be named by id or name. Raises ValueError where something is unknown."""
    fault = parse_fault(fault) if isinstance(fault, str) else fault
    if fault.name not in NAMES:
        raise ValueError(f"unknown fault {fault.name!r}; known are {', '.join(sorted(NAMES))}")
    if fault.kind and not set(fault.kind.split(",")) <= set(KINDS):
        raise ValueError(f"unknown kind {fault.kind!r}; known are {', '.join(KINDS)}")
    fault.pages = frozenset(find_page(world, name).id for name in fault.pages)
    fault.kind = fault.kind or effects.CONFINED.get(fault.name, "")
    effects.check(fault)
    with world.lock:
        if fault.name in PAGES:
            for page in [page for page in world.pages.values() if not fault.pages or page.id in fault.pages]:
                PAGES[fault.name](world, page, fault.argument)
        elif fault.name in USERS:
            USERS[fault.name](world, fault.argument)
        world.faults.append(fault)
    return fault


def switch_off(world: World, name: str | None = None) -> None:
    """Switch off the faults of this name, or all: Pages that they changed are restored, an invalid system user token becomes valid again."""
    with world.lock:
        gone = [fault for fault in world.faults if name in (None, fault.name)]
        for fault in gone:
            world.faults.remove(fault)
            if fault.name in PAGES:
                for page in [page for page in world.pages.values() if not fault.pages or page.id in fault.pages]:
                    restore_page(world, page)
            elif fault.name == "require-proof":
                world.require_proof = False
            elif fault.name == "person-token":
                world.tokens[world.user.token].type = "SYSTEM_USER"
            elif fault.name == "missing-permission":
                world.user.lacking = frozenset()
            elif fault.name in USERS:
                world.restore(world.user)


def find_page(world: World, named: str) -> FakePage:
    """Find a Page by id or name; raises ValueError."""
    page = world.pages.get(named) or next((page for page in world.pages.values() if page.name == named), None)
    if page is None:
        raise ValueError(f"no Page {named!r}")
    return page
