"""The plain script that the program is compared with: what a careful engineer writes in an afternoon.

For one Page at a time it reads the token, has Meta debug it, reads the secret, and writes it if it changed. Run it as
``python tools/bench/plain.py SETTINGS.json``; it prints what it did as one line of JSON.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
import requests


def proof(secret: str, token: str) -> str:
    """Return the appsecret_proof of a call that is made with this token."""
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def ask(settings: dict[str, Any], path: str, token: str, **params: str) -> dict[str, Any]:
    """Call Graph, and raise for any error."""
    params |= {"access_token": token, "appsecret_proof": proof(settings["app_secret"], token)}
    answer = requests.get(f"{settings['graph']}/v25.0/{path}", params=params, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def page_token(settings: dict[str, Any], page: str) -> str:
    """Read a Page's token and check that ``debug_token`` calls it valid."""
    token = str(ask(settings, page, settings["system_user_token"], fields="access_token")["access_token"])
    app = f"{settings['app_id']}|{settings['app_secret']}"
    facts = ask(settings, "debug_token", app, input_token=token)["data"]
    wanted = {"is_valid": True, "type": "PAGE", "app_id": settings["app_id"], "profile_id": page}
    if any(facts.get(name) != value for name, value in wanted.items()) or "pages_messaging" not in facts["scopes"]:
        raise SystemExit(f"Page {page}: the token is not valid")
    return token


def stored(client: hvac.Client, mount: str, path: str) -> tuple[dict[str, str] | None, int]:
    """Read a secret and its version; return None and 0 where there is none."""
    try:
        answer = client.secrets.kv.v2.read_secret_version(path, mount_point=mount, raise_on_deleted_version=False)
    except hvac.exceptions.InvalidPath:
        return None, 0
    return answer["data"]["data"], answer["data"]["metadata"]["version"]


def main() -> None:
    """Bring every Page's secret up to date."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    client = hvac.Client(settings["vault"], token=settings["vault_token"])
    done = {"unchanged": 0, "written": 0}
    for page in settings["pages"]:
        wanted = {"access_token": page_token(settings, page["id"]), "page_id": page["id"], "app_id": settings["app_id"]}
        path = f"{settings['path']}/{page['name']}"
        found, version = stored(client, settings["mount"], path)
        if found == wanted:
            done["unchanged"] += 1
            continue
        client.secrets.kv.v2.create_or_update_secret(path, wanted, cas=version, mount_point=settings["mount"])
        done["written"] += 1
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
