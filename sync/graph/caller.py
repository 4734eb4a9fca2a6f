"""Whose token a call to Graph is sent with, and the quotas that the call counts on."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from sync.core.memory.quota import QuotaKey
from sync.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Caller:
    """A token, and the proof that its sender holds the secret of the token's app.

    ``app`` is the app's name in the configuration. ``system_user`` is empty for an app's own token and for a Page's.
    """

    app: str
    app_id: str
    token: Secret
    proof: Secret
    system_user: str = ""

    @property
    def app_quota(self) -> QuotaKey:
        """The app's own quota, which ``debug_token`` counts on."""
        return QuotaKey(self.app_id)

    @property
    def user_quota(self) -> QuotaKey | None:
        """The system user's quota, which closes where Graph's refusal is about no single Page."""
        return QuotaKey(self.app_id, "system_user", self.system_user) if self.system_user else None

    def page_quota(self, page_id: str) -> QuotaKey:
        """Return the quota of a Page, which reads of the Page and uses of its token count on."""
        return QuotaKey(self.app_id, "page", page_id)


def prove(token: Secret, app_secret: Secret) -> Secret:
    """Compute the ``appsecret_proof`` of a token: HMAC-SHA256 keyed with the app's secret, in hex (Meta, secure requests)."""
    key, message = (secret.reveal().encode("utf-8", "surrogatepass") for secret in (app_secret, token))
    return Secret(hmac.new(key, message, hashlib.sha256).hexdigest())
