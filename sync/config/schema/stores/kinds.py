"""The kinds of store. A new kind is added here, and to ``sync.app.stores``, which constructs it."""

from __future__ import annotations

from typing import Annotated

from sync.config.schema.choices import ChosenBy
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.file import FileConfig
from sync.config.schema.stores.vault import VaultConfig

AnyStore = VaultConfig | AwsConfig | FileConfig
Store = Annotated[AnyStore, ChosenBy("type")]
