"""Call Graph with a Page token that page-token-sync keeps, and recover from error 190 within seconds.

    pip install requests hvac        # for Vault and OpenBao; VAULT_ADDR, VAULT_TOKEN and VAULT_PATH (below the mount)
    pip install requests boto3       # for AWS Secrets Manager; AWS_SECRET_ID and what boto3 reads
    echo 'me?fields=name' | PAGE=berlin VAULT_PATH=meta/pages/berlin python page_app.py

Each line of the input is a path of Graph; each line of the output is what became of it, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import requests

GRAPH = os.environ.get("GRAPH_URL", "https://graph.facebook.com/v25.0")
CACHE_SECONDS = 60

ADVICE = {
    10: "The app lacks a permission: the app's admin requests it. Do not repeat the call.",
    200: "The token lacks a permission for this Page: the app's admin grants it. Do not repeat the call.",
    100: "The call is wrong, or its object does not exist. Correct it; another token changes nothing.",
    368: "Meta has blocked this action for the Page for a time. Stop writing, and ask a person to look.",
    190: "No valid token is stored. Stop calling for this Page, and raise an alarm.",
}
"""What to do on errors that a repetition does not solve, by Graph's code."""


class GraphError(Exception):
    """Graph refused a call."""

    def __init__(self, code: int) -> None:
        super().__init__(ADVICE.get(code, "See Meta's documentation of this code."))
        self.code = code


def read_from_vault() -> str:
    """Read the token from the secret's newest version in Vault or OpenBao."""
    import hvac

    vault = hvac.Client(os.environ.get("VAULT_ADDR"), os.environ.get("VAULT_TOKEN"))
    found = vault.secrets.kv.v2.read_secret_version(
        os.environ["VAULT_PATH"],
        mount_point=os.environ.get("VAULT_MOUNT", "secret"),
        raise_on_deleted_version=True,
    )
    return str(found["data"]["data"]["access_token"])


def read_from_aws() -> str:
    """Read the token from the secret's current version in AWS Secrets Manager."""
    import boto3

    found = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["AWS_SECRET_ID"])
    return str(json.loads(found["SecretString"])["access_token"])


def ask_for_check() -> float:
    """Ask page-token-sync to check this Page's secret now; return the seconds after which it may be asked again."""
    url = f"{os.environ['CHECK_URL']}/v1/pages/{os.environ['PAGE']}/check"
    try:
        answer = requests.post(url, headers={"Authorization": f"Bearer {os.environ['CHECK_TOKEN']}"}, timeout=12)
        return float(answer.json().get("retry_after") or 60)
    except (requests.RequestException, ValueError):
        return 60.0  # The daemon finds the invalid token in its next cycle.


class PageToken:
    """The Page's token, cached for a minute. ``read`` reads the secret, ``ask_for_check`` has it checked and healed."""

    def __init__(self, read: Callable[[], str], ask_for_check: Callable[[], float]) -> None:
        self._read = read
        self._ask_for_check = ask_for_check
        self._token = ""
        self._read_at = self._no_check_before = float("-inf")

    def get(self) -> str:
        """Return the token, at most a minute old."""
        if time.monotonic() - self._read_at >= CACHE_SECONDS:
            self._read_again()
        return self._token

    def get_other_than(self, refused: str) -> str | None:
        """Return another token than the one that Graph refused; None where there is none."""
        self._read_again()
        if self._token == refused and time.monotonic() >= self._no_check_before:
            self._no_check_before = time.monotonic() + self._ask_for_check()
            self._read_again()
        return self._token if self._token != refused else None

    def _read_again(self) -> None:
        self._token = self._read()
        self._read_at = time.monotonic()


def call_graph(path: str, page_token: PageToken) -> dict[str, Any]:
    """Return Graph's answer; after error 190 the call is repeated once, with another token. Raises GraphError."""
    token = page_token.get()
    answer = _get(path, token)
    if _code(answer) == 190:
        other = page_token.get_other_than(token)
        if other is not None:
            answer = _get(path, other)
    code = _code(answer)
    if code is not None:
        raise GraphError(code)
    return answer


def _get(path: str, token: str) -> dict[str, Any]:
    # In a header, and not in the URL, where proxies would log it.
    answer = requests.get(f"{GRAPH}/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return dict(answer.json())


def _code(answer: dict[str, Any]) -> int | None:
    return answer["error"]["code"] if "error" in answer else None


def main() -> None:
    """Call each path of the standard input."""
    page_token = PageToken(read_from_aws if "AWS_SECRET_ID" in os.environ else read_from_vault, ask_for_check)
    for line in sys.stdin:
        try:
            result: dict[str, Any] = {"answer": call_graph(line.strip(), page_token)}
        except GraphError as error:
            result = {"error": error.code, "advice": str(error)}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
