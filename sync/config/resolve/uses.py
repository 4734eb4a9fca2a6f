"""What a configuration does with each secret of its stores. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync.config.schema.references import StoreReference, models_in
from sync.config.schema.settings import Settings
from sync.core.memory.renewal import RenewalRule
from sync.core.model import Key, Never, Page, Use


def uses(settings: Settings, pages: Sequence[Page]) -> Mapping[str, Mapping[Key, Use]]:
    """Return the secrets of each store: those of these Pages, then the credentials that the configuration refers to.

    Under ``mode: observe`` the secrets of Pages are only read, and no credential is renewed.
    """
    writes = settings.mode == "sync"
    found: dict[str, dict[Key, Use]] = {name: {} for name in settings.stores}
    for page in pages:
        for key in page.targets:
            found[key.store][key] = Use("write" if writes else "read", page)
    renewed = {rule.target for rule in renewal_rules(settings).values()} if writes else set()
    for _, reference in models_in(settings, skip=("pages", "defaults")):
        if isinstance(reference, StoreReference):
            key = Key(reference.store, reference.path)
            found[key.store].setdefault(key, Use("renew" if key in renewed else "read"))
    return found


def renewal_rules(settings: Settings) -> Mapping[str, RenewalRule]:
    """Return which system users' tokens are renewed before they expire, by system user."""
    return {
        name: RenewalRule(Key(user.token.store, user.token.path), user.token.key, user.renew_before)
        for name, user in settings.system_users.items()
        if isinstance(user.token, StoreReference) and not isinstance(user.renew_before, Never)
    }
