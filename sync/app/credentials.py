"""Read the credentials of a configuration, those in its stores included."""

from __future__ import annotations

from collections.abc import Mapping

from sync.config.load import Config
from sync.config.resolve import references
from sync.config.schema.references import Reference, StoreReference
from sync.core.judge.ownership import is_access_token
from sync.core.model import Key, Stored, StoreError
from sync.core.secret import CredentialError, Secret, SecretSource, is_credential
from sync.stores.interface import Store


class Credentials:
    """Reads credentials again each time, so that a rotated one needs no restart.

    ``stores`` are those that references may name; they are read only where one does. ``begun`` are the stores that have
    begun the present cycle, since a credential was read from them.
    """

    def __init__(self, config: Config, stores: Mapping[str, Store]) -> None:
        self.begun: set[str] = set()
        self._config = config
        self._stores = stores
        self._writes = False

    def configure(self, config: Config) -> None:
        """Read what another configuration refers to from now on."""
        self._config = config

    def begin(self, *, writes: bool) -> None:
        """Begin a cycle; ``writes``: its plan will be carried out."""
        self.begun = set()
        self._writes = writes

    def source(self, reference: Reference) -> SecretSource:
        """Return what reads the credential again each time it is called."""
        return references.source(reference, base=self._config.base, read_store=self._read_store)

    def optional(self, reference: Reference | None) -> SecretSource | None:
        """Return the same as ``source``, and None for no reference."""
        return self.source(reference) if reference is not None else None

    def read(self, reference: Reference) -> Secret | CredentialError:
        """Read a credential; an error is a value, so that it stops no other work."""
        try:
            return self.source(reference)()
        except CredentialError as error:
            return error

    def read_meta(self, reference: Reference) -> Secret | CredentialError:
        """Read a credential of Meta's; one that is not shaped like a token is never sent."""
        found = self.read(reference)
        if isinstance(found, Secret) and not is_credential(found.reveal()):
            return CredentialError(
                f"{reference}: not shaped like a token: characters that no token has; write it again"
            )
        return found

    def read_app_secret(self, reference: Reference) -> Secret | CredentialError:
        """Read the secret of an app; an access token in its stead is never sent as one."""
        found = self.read_meta(reference)
        if isinstance(found, Secret) and is_access_token(found):
            return CredentialError(
                f"{reference}: this is an access token (it begins with EAA), and not the app's secret; "
                "check that the secret and the system user's token are not swapped"
            )
        return found

    def _read_store(self, store: str, path: str, key: str) -> Secret:
        """Read one string out of a secret in a store; raises CredentialError.

        Graph's credentials are read before the cycle begins its stores, so the store must first forget the last cycle.
        """
        if store not in self.begun:
            self.begun.add(store)
            self._stores[store].begin(writes=self._writes)
        where = str(StoreReference(store=store, path=path, key=key))
        found = self._stores[store].read([Key(store, path)])[Key(store, path)]
        if isinstance(found, StoreError):
            raise self._store_failed(where, store, found)
        secret = found.payload.secret(key) if isinstance(found, Stored) and found.payload is not None else None
        if secret is None or not secret.reveal().strip():
            raise CredentialError(f"{where}: there is no text under this key; write the credential there")
        return secret

    def _store_failed(self, where: str, store: str, error: StoreError) -> CredentialError:
        """Return the error of a credential whose store failed; what the store's own problem reports is not repeated."""
        holds_pages = any(target.store == store for page in self._config.pages for target in page.targets)
        if error.whole and holds_pages:
            remedy = f"Resolve the problem of store {store}. The credential is read again in each cycle."
            return CredentialError(f"{where}: store {store} failed ({error.error_code})", remedy)
        message = error.message.rstrip(".")
        return CredentialError(f"{where}: store {store} failed ({error.error_code}): {message}", error.remedy)
