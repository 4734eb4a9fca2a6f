"""Compare the stores with the reports: what each secret holds, and the writes that each store saw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sync.sandbox.world.tokens import fingerprint
from tools.soak.chaos import Chaos

Json = Mapping[str, Any]


class Stores:
    """The stores of a soak test, and the versions that the reports say were written to each secret."""

    def __init__(self, chaos: Chaos, folder: Path) -> None:
        self._chaos = chaos
        self._folder = folder
        self._writes: dict[tuple[str, str], list[str]] = {}

    def add(self, report: Json) -> None:
        """Note the values that a cycle or a check wrote."""
        for page in report["pages"]:
            for target in page["stores"]:
                if target["action"] in ("created", "replaced"):
                    self._writes.setdefault((target["store"], target["path"]), []).append(target["version"])

    def wrong(self, report: Json) -> Iterator[str]:
        """Yield each secret that holds another token or version than a report of now says."""
        for page in report["pages"]:
            for target in page["stores"]:
                found = self._now(target)
                if found != (target["fingerprint"], target["version"]):
                    said = f"{target['fingerprint']} in {target['version']}"
                    yield f"{target['store']} {target['path']} holds {' in version '.join(found)}, and the report says {said}"

    def unseen_writes(self) -> Iterator[str]:
        """Yield each secret of which the reports, and so the metrics, count more writes than its store saw."""
        for (store, path), versions in self._writes.items():
            newest = len(versions)
            if store == "vault":
                metadata = self._chaos.bao.admin("GET", f"{self._chaos.mount}/metadata/{path}")
                newest = metadata["data"]["current_version"]
            # The version of a file is that of its content, which may come back.
            if newest < len(versions) or (store != "disk" and len(set(versions)) < len(versions)):
                yield f"{len(versions)} writes of {store} {path} were counted, as {versions}; it has {newest} versions"
        counted = sum(len(versions) for (store, _), versions in self._writes.items() if store == "aws")
        calls = self._chaos.aws.calls["PutSecretValue"] + self._chaos.aws.calls["CreateSecret"]
        if counted > calls:
            yield f"{counted} writes to aws were counted, and it had {calls} requests"

    def _now(self, target: Json) -> tuple[str, str]:
        """Return the fingerprint of the token that a secret holds, and its version; a file has none of its own."""
        version = target["version"]
        match target["store"]:
            case "vault":
                answer = self._chaos.bao.admin("GET", f"{self._chaos.mount}/data/{target['path']}")
                token = answer["data"]["data"]["access_token"]
                version = str(answer["data"]["metadata"]["version"])
            case "aws":
                answer = self._chaos.aws.client.get_secret_value(SecretId=target["path"], VersionStage="AWSCURRENT")
                token, version = json.loads(answer["SecretString"])["access_token"], answer["VersionId"]
            case _:
                token = json.loads((self._folder / target["path"]).read_text())["access_token"]
        return fingerprint(token), version
