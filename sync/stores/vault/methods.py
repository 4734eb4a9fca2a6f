"""The auth methods: hvac builds the login request from the credentials, and this store's wire sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, assert_never
from urllib.parse import quote

from sync.stores.vault.answers import Answer, Call, Trouble
from sync.stores.vault.aws_login import Identity
from sync.stores.vault.settings import AppRoleLogin, JwtLogin
from sync.stores.vault.wire import Wire


@dataclass(frozen=True, slots=True)
class Proof:
    """Credentials as they are now; ``show`` has hvac build the login.

    ``credentials`` are their fingerprints, by which it is known whether they have changed; ``hint`` says what may be wrong with them.
    """

    show: Callable[[Any], object]
    credentials: Sequence[str] = ()
    hint: str = ""


_TOKENS = ("hvs.", "hvb.", "hvr.", "s.", "b.", "r.")
"""How tokens of Vault and OpenBao begin (Vault's documentation of tokens, read 2026-12-02); a secret id is a UUID by default."""
_WRAPPED = (
    "The secret id has the form of a token: it may be a wrapping token, which must be unwrapped first (vault unwrap)."
)


def proof(login: AppRoleLogin | JwtLogin | Identity, seconds: float) -> Proof:
    """Read the credentials again, within ``seconds`` where that needs a network; raises CredentialError and NoThreadError."""
    match login:
        case AppRoleLogin():
            role, secret = login.role_id(), login.secret_id()
            return Proof(
                lambda hvac: hvac.auth.approle.login(
                    role.reveal(), secret.reveal(), use_token=False, mount_point=login.mount
                ),
                credentials=(role.fingerprint, secret.fingerprint),
                hint=_WRAPPED if secret.reveal().startswith(_TOKENS) else "",
            )
        case JwtLogin():
            jwt = login.jwt()
            return Proof(
                lambda hvac: hvac.auth.jwt.jwt_login(login.role, jwt.reveal(), use_token=False, path=login.mount),
                credentials=(jwt.fingerprint,),
            )
        case Identity(login=aws):
            # hvac's own iam_login signs for the global STS whatever the region, which AWS then refuses.
            identity = {"role": aws.role, **login.signed(seconds)}
            return Proof(lambda hvac: hvac.login(f"/v1/auth/{quote(aws.mount)}/login", use_token=False, json=identity))
        case _:
            assert_never(login)


def sent(shown: Proof, wire: Wire, namespace: str, end: float) -> Answer | Trouble:
    """Have hvac build the login and send it by ``wire``, so that timeouts, retries and errors are the same for all requests."""
    import hvac  # noqa: PLC0415 - its import takes a third of a second, and only logins need it

    # The token is "" and not None, since for None hvac reads VAULT_TOKEN or ~/.vault-token.
    client = hvac.Client(url="http://wire", token="", session=_WireSession(wire, namespace, end), verify=True)
    try:
        shown.show(client)
    except _Caught as caught:
        return caught.found
    raise AssertionError("hvac sent nothing")


class _Caught(Exception):  # noqa: N818 - carries the answer past hvac, whose own errors hold URLs and bodies
    def __init__(self, found: Answer | Trouble) -> None:
        super().__init__()
        self.found = found


class _WireSession:
    """Replaces the requests.Session that hvac expects, and sends by the wire."""

    verify = True
    cert = None
    proxies = None

    def __init__(self, wire: Wire, namespace: str, end: float) -> None:
        self._wire = wire
        self._namespace = namespace
        self._end = end

    def request(self, *, method: str, url: str, json: Mapping[str, Any], **_: Any) -> NoReturn:
        """Send the request that hvac built; the answer leaves as an exception, so that hvac does not interpret it."""
        path = url.partition("/v1/")[2]
        call = Call(method.upper(), path, "update", path, body=json, namespace=self._namespace)
        raise _Caught(self._wire.ask(call, None, self._end))
