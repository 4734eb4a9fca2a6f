"""Write the secrets of the trial to the volumes below SECRETS, unless they are there: nothing token-shaped lies in the repository.

The two tokens of OpenBao are random. The sandbox makes up Meta's two, so that they are those of the sandbox in this project.
"""

import json
import os
import secrets
import subprocess
from pathlib import Path


def sandbox_secrets() -> dict[str, str]:
    """Start a sandbox, read what it prints about itself, and end it."""
    command = ["page-token-sync", "sandbox", "--listen", "127.0.0.1:0", "--output", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sandbox:
        described = json.loads(sandbox.stdout.readline())
        sandbox.terminate()
    return {"app_secret": described["app_secret"], "system_user_token": described["system_user_token"]}


def write(file: Path, value: str) -> None:
    """Write one secret; one that is there stays, because a running OpenBao may already use it."""
    if not file.exists():
        file.write_text(f"{value}\n")
        file.chmod(0o644)  # the containers that read it run as other users


def main() -> None:
    """Write all of them."""
    folder = Path(os.environ.get("SECRETS", "/secrets"))
    write(folder / "openbao-root" / "token", secrets.token_urlsafe())
    write(folder / "openbao-daemon" / "token", secrets.token_urlsafe())
    for name, value in sandbox_secrets().items():
        write(folder / "meta" / name, value)
    print("The secrets are ready.")


if __name__ == "__main__":
    main()
