"""What happens to a seed beside its services: clocks, quotas, credentials, the configuration, and mass events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sync.core.payload import PayloadTemplate
from sync.sandbox.world.quota import Rolling
from sync.sandbox.world.tokens import invalidated
from tests.simulation.answers import without
from tests.simulation.daemon import EVERY

if TYPE_CHECKING:
    from tests.simulation.chaos import Chaos

PERSON = "a person"
_SUBCODES = (458, 459, 460, 463, 464, 466, 467, 490, 492, 493)
_FIELDS = ("type", "app_id", "profile_id", "scopes", "expires_at", "is_valid", "user_id")
_OFFSETS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))


def set_clock(chaos: Chaos) -> None:
    """The clock of one daemon's machine is set ahead or back, and put right later."""
    daemon = chaos.chance.choice(chaos.stage.daemons)
    chaos.wide()
    chaos.stage.checker.clocks_set = True
    daemon.offset = chaos.chance.choice((1, -1)) * chaos.chance.choice(_OFFSETS)

    def put_right() -> None:
        daemon.offset = timedelta(0)

    chaos.later(4 * EVERY, put_right)


def partial(chaos: Chaos) -> None:
    """Graph leaves a field out of some answers of debug_token."""
    chaos.wide()
    share = chaos.chance.choice((0.3, 1.0))
    chaos.stage.weather.edit = without(chaos.chance.choice(_FIELDS), chance=lambda: chaos.world.random.random() < share)

    def whole() -> None:
        chaos.stage.weather.edit = None

    chaos.later(3 * EVERY, whole)


def quota(chaos: Chaos) -> None:
    """Meta's quota of the app changes."""
    chaos.wide()
    chaos.world.quotas.app = chaos.world.quotas.app or Rolling(200)
    chaos.world.quotas.app.limit = chaos.chance.choice((1000, 200, 40, 12))


def refuse_tokens(chaos: Chaos) -> None:
    """Meta refuses the tokens of one Page with one of its subcodes, and gives others later."""
    page = chaos.chance.choice(list(chaos.world.pages.values()))
    chaos.stage.checker.scope.add(page.name)
    reason = invalidated(chaos.chance.choice(_SUBCODES))
    for token in chaos.world.tokens.values():
        if token.page_id == page.id and token.invalid_reason is None:
            token.invalid_reason = reason
    chaos.later(2 * EVERY, lambda: chaos.world.revoke_page(page))


def revoke_all(chaos: Chaos) -> None:
    """Every Page token is revoked at once."""
    chaos.wide()
    for page in chaos.world.pages.values():
        chaos.world.revoke_page(page)


def blackout(chaos: Chaos) -> None:
    """The network is away, and the daemon's machine starts again meanwhile."""
    chaos.wide()
    faults = [one for name, one in chaos.stage.network_faults.items() if name != "file"]
    before = [one.lost_request for one in faults]
    for one in faults:
        one.lost_request = 1.0
    daemon = chaos.chance.choice(chaos.stage.daemons)
    daemon.doomed = chaos.chance.random() < 0.7

    def back() -> None:
        for one, share in zip(faults, before, strict=True):
            one.lost_request = 0.0 if chaos.stage.calm else share

    chaos.simulation.at(chaos.simulation.time + chaos.chance.uniform(0.2, 2.5) * EVERY, back)


def template(chaos: Chaos) -> None:
    """The operator changes the template of the payload."""
    number = chaos.chance.randrange(1000)
    fields = {"access_token": "{token}", "page_id": "{id}", "app_id": f"{{app_id}}-{number}"}
    chaos.stage.configure(
        [
            replace(page, payload=PayloadTemplate.parse(fields, {"id": page.id, "app_id": page.app_id}))
            for page in chaos.stage.pages
        ]
    )


def labels(chaos: Chaos) -> None:
    """The operator changes the labels of the Pages."""
    team = chaos.chance.choice(("crm", "shop", "press"))
    chaos.stage.configure([replace(page, labels={"team": team}) for page in chaos.stage.pages])


ALWAYS: tuple[Callable[[Chaos], None], ...] = (
    set_clock,
    partial,
    partial,
    quota,
    refuse_tokens,
    refuse_tokens,
    revoke_all,
    blackout,
    blackout,
    template,
    labels,
)
