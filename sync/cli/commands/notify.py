"""The command ``notify``: send a test message to each receiver, and print what each answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.command import carry_out, configuration, opened
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.runtime.threads import SystemClock

if TYPE_CHECKING:
    from sync.ops.notify import Delivery, Receiver


def send_tests(given: Path | None, form: Form) -> int:
    """Send one message to each receiver; 1 if one of them failed, 2 if the configuration has none or is wrong."""
    return carry_out(lambda: _send(given, form), form)


def _send(given: Path | None, form: Form) -> int:
    config = configuration(given)
    if not config.settings.notify:
        console.put_failure("no-receivers", "There is no receiver: add one under `notify` in the configuration.", form)
        return 2
    with opened(config, SystemClock(), "sending a test message") as app:
        answers = app.send_tests()
    if form is Form.JSON:
        console.put_json({"format": 1, "receivers": [_json(*answer) for answer in answers]})
    else:
        rows = [(receiver.name, receiver.reference, _text(delivery)) for receiver, delivery in answers]
        console.put_rows(("receiver", "reference", "answer"), rows)
    return 1 if any(delivery.failure for _, delivery in answers) else 0


def _text(delivery: Delivery) -> str:
    return (
        f"failed: {delivery.failure}" if delivery.failure else f"HTTP {delivery.status} in {_milliseconds(delivery)} ms"
    )


def _json(receiver: Receiver, delivery: Delivery) -> dict[str, object]:
    return {
        "name": receiver.name,
        "reference": receiver.reference,
        "ok": not delivery.failure,
        "status": delivery.status,
        "duration_ms": _milliseconds(delivery) if delivery.status is not None else None,
        "message": delivery.failure or None,
    }


def _milliseconds(delivery: Delivery) -> int:
    return round(delivery.seconds * 1000)
