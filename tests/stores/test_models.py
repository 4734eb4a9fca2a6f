"""The simulation's models of Vault and AWS keep the store contract, as the real services do."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from sync.core.model import Absent, Key, Marks, Removed, Stored, StoreError, Version, Written
from sync.core.payload import Payload
from sync.runtime.threads import Clock, SystemClock
from sync.stores.aws.store import AwsStore
from sync.stores.vault.settings import VaultSettings
from sync.stores.vault.store import VaultStore
from tests.simulation.aws_http import handler, over, plain
from tests.simulation.secrets_manager import SecretsManager
from tests.simulation.vault import Vault
from tests.simulation.vault_http import VaultHttp
from tests.support.clock import QuickClock
from tests.support.rigs.aws import AwsRig
from tests.support.rigs.vault import VaultRig
from tests.support.services.aws import REGION, aws_environment
from tests.support.store_contract import (
    DeletedContract,
    EmptyContract,
    MarkedAtCreation,
    RawTextContract,
    StoreContract,
)

__all__ = ["aws_environment"]

_NUMBERS = itertools.count(1)


class ModelOfBao:
    """The part of a real server that a rig uses, answered by the model."""

    def __init__(self, **settings: Any) -> None:
        self.model = Vault(time.time, **settings)
        self.url, self.root, self.ca, self.namespace = "http://127.0.0.1:8200", "root", None, None

    def admin(self, method: str, path: str, body: object = None, *, kind: str = "application/json") -> Any:
        """Carry out as root a request that must succeed, and let every node catch up."""
        done = self.model.do(method, path, body, kind=kind)
        self.model.settle()
        return done

    def mount(self) -> str:
        """Make a fresh mount."""
        name = f"kv{next(_NUMBERS)}"
        self.admin("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}})
        return name

    def policy(self, text: str) -> str:
        """Make a policy and return its name."""
        name = f"policy{next(_NUMBERS)}"
        self.admin("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def token(self, *policies: str) -> str:
        """Make a token with these policies."""
        return str(self.admin("POST", "auth/token/create", {"policies": list(policies)})["auth"]["client_token"])


class PatientStore(VaultStore):
    """A store whose writes reach every node before another store reads; its own requests may meet nodes that lag."""

    def __init__(self, model: Vault, settings: VaultSettings) -> None:
        self._model = model
        super().__init__("vault", settings, clock=QuickClock(), http=lambda **made: VaultHttp(model, **made))

    def write(self, key: Key, payload: Payload, marks: Marks, *, replaces: Version | None) -> Written | StoreError:
        """Write payload and marks."""
        done = super().write(key, payload, marks, replaces=replaces)
        self._model.settle()
        return done

    def mark(self, key: Key, marks: Marks, *, version: Version, read: Stored | None = None) -> Written | StoreError:
        """Write the marks alone."""
        done = super().mark(key, marks, version=version, read=read)
        self._model.settle()
        return done

    def remove(self, key: Key, *, version: Version, marks: Marks) -> Removed | Absent | StoreError:
        """Delete the version."""
        done = super().remove(key, version=version, marks=marks)
        self._model.settle()
        return done

    def renew(self, key: Key, payload: Payload, *, replaces: Version) -> Written | StoreError:
        """Write the payload alone."""
        done = super().renew(key, payload, replaces=replaces)
        self._model.settle()
        return done


class ModelRig(VaultRig):
    """The rig of a real server, over the model."""

    def make_store(self, **changes: Any) -> VaultStore:
        """Make a store over the model."""
        return PatientStore(self.bao.model, self.settings(**changes))  # type: ignore[attr-defined]


class TestVaultDetailed(StoreContract, EmptyContract, DeletedContract):
    """The model as a dev server whose policy allows the detailed listing."""

    @pytest.fixture
    def rig(self) -> ModelRig:
        """Return a fresh mount."""
        return ModelRig(ModelOfBao(indexed=False))  # type: ignore[arg-type]


class TestVaultPlain(StoreContract, EmptyContract, DeletedContract):
    """The model without the detailed listing."""

    @pytest.fixture
    def rig(self) -> ModelRig:
        """Return a fresh mount."""
        return ModelRig(ModelOfBao(), detailed=False)  # type: ignore[arg-type]


class TestVaultCluster(StoreContract, EmptyContract, DeletedContract):
    """The model as three nodes whose standbys lag, behind a load balancer."""

    @pytest.fixture
    def rig(self) -> ModelRig:
        """Return a fresh mount."""
        bao = ModelOfBao(nodes=3)
        bao.model.lag = lambda: bao.model.random.uniform(0.001, 0.02)
        return ModelRig(bao)  # type: ignore[arg-type]


class ModelOfAws:
    """The part of the emulator that a rig uses, answered by the model."""

    url = "https://secretsmanager.eu-central-1.amazonaws.com"

    def __init__(self) -> None:
        self.model = SecretsManager(time.time)
        self.client = boto3.client(
            "secretsmanager", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.client.meta.events.register("before-send.secrets-manager.*", handler(plain(self.model)))

    @property
    def forbidden(self) -> str | None:
        """The secret whose value must not be read."""
        return self.model.forbidden

    @forbidden.setter
    def forbidden(self, name: str | None) -> None:
        """Forbid this secret's value from now on; None forbids none."""
        self.model.forbidden = name


class AwsModelRig(AwsRig):
    """The rig of the emulator, over the model."""

    def make_store(self, clock: Clock | None = None, **changes: Any) -> AwsStore:
        """Make a store over the model."""
        send = plain(self.service.model)  # type: ignore[attr-defined]
        return over(send, self.name, self.settings(**changes), clock=clock or SystemClock())

    def unreachable_store(self) -> AwsStore:
        """Make a store that uses the network, at an endpoint where nothing listens."""
        return super().make_store(endpoint_url="http://127.0.0.1:9")


class TestAws(MarkedAtCreation, RawTextContract, EmptyContract):
    """The model of Secrets Manager."""

    @pytest.fixture
    def rig(self, aws_environment: Path) -> AwsModelRig:
        """Return an empty account."""
        return AwsModelRig(ModelOfAws())  # type: ignore[arg-type]
