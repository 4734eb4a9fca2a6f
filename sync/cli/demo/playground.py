"""The ``sandbox`` command: a Graph API that runs until a signal, and how to reach it."""

from __future__ import annotations

import json
import sys

from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.ops.process import watch_signals
from sync.runtime.threads import SystemClock
from sync.sandbox.http.server import Sandbox, start

_HOW = """\
A Graph API with made-up values listens on {url}. Ctrl-C stops it.

Try it:
  curl -H 'Authorization: Bearer {token}' '{url}/v25.0/{page}?fields=name,access_token'
  curl -H 'Authorization: Bearer {app}|{secret}' '{url}/v25.0/debug_token?input_token={token}'
  curl {url}/_sandbox/truth            # the state of every Page and token
  curl -d name=throttled-app {url}/_sandbox/faults      # switch on a fault; -X DELETE switches all off

Set these for page-token-sync, or for your app:
  export META_APP_ID={app}
  export META_APP_SECRET={secret}
  export META_SYSTEM_USER_TOKEN={token}

Then `page-token-sync init --base-url {url}` writes a configuration, or copy this one.

config.yaml:
  version: 1
  instance: playground
  graph: {{base_url: "{url}"}}
  apps:
    messenger: {{id: "{app}", secret: {{env: META_APP_SECRET}}}}
  system_users:
    main: {{token: {{env: META_SYSTEM_USER_TOKEN}}}}
  stores:
    disk: {{type: file, directory: ./secrets}}
  pages:
{pages}
"""


def serve(
    listen: str, *, pages: int, latency_ms: float, app_quota: int | None, seed: int, faults: list[str], form: Form
) -> int:
    """Serve until a signal; return the exit code."""
    clock = SystemClock()
    watch_signals(clock, exit_code=0)
    try:
        sandbox = start(listen, pages=pages, faults=faults, latency_ms=latency_ms, app_quota=app_quota, seed=seed)
    except ValueError as error:
        console.put_failure("usage", str(error), form)
        return 2
    except OSError as error:
        console.put_failure("address", f"Cannot listen on {listen}: {error.strerror or type(error).__name__}.", form)
        return 3
    with sandbox:
        text = json.dumps(sandbox.describe()) + "\n" if form is Form.JSON else _how(sandbox)
        sys.stdout.write(text)
        sys.stdout.flush()
        clock.stop.wait()
    return 0


def _how(sandbox: Sandbox) -> str:
    listed = [f'    - {{id: "{page["id"]}", name: {page["name"]}}}' for page in sandbox.pages]
    return _HOW.format(
        url=sandbox.url,
        token=sandbox.system_user_token,
        app=sandbox.app_id,
        secret=sandbox.app_secret,
        page=sandbox.pages[0]["id"] if sandbox.pages else "me",
        pages="\n".join(listed) if listed else "    []",
    )
