"""The command ``notify``: send a test message to each receiver, and print what each answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sync.cli.command import carry_out, configuration, opened
from sync.cli.output import console
from sync.cli.output.forms import Form
from sync.runtime.threads import SystemClock


@dataclass(frozen=True, slots=True)
class _Answer:
    name: str
    reference: str
    status: int | None
    milliseconds: int | None
    failure: str

    @property
    def text(self) -> str:
        return f"failed: {self.failure}" if self.failure else f"HTTP {self.status} in {self.milliseconds} ms"


def send_tests(given: Path | None, form: Form) -> int:
    """Send one message to each receiver; 1 if one of them failed, 2 if the configuration has none or is wrong."""
    return carry_out(lambda: _send(given, form), form)


def _send(given: Path | None, form: Form) -> int:
    config = configuration(given)
    if not config.settings.notify:
        console.put_failure("no-receivers", "There is no receiver: add one under `notify` in the configuration.", form)
        return 2
    with opened(config, SystemClock(), "sending a test message") as app:
        answers = [
            _Answer(
                receiver.name,
                receiver.reference,
                delivery.status,
                round(delivery.seconds * 1000) if delivery.status is not None else None,
                delivery.failure,
            )
            for receiver, delivery in app.send_tests()
        ]
    _put(answers, form)
    return 1 if any(answer.failure for answer in answers) else 0


def _put(answers: list[_Answer], form: Form) -> None:
    if form is Form.JSON:
        console.put_json({"format": 1, "receivers": list(map(_json, answers))})
        return
    console.put_rows(("receiver", "reference", "answer"), list(_rows(answers)))


def _json(answer: _Answer) -> dict[str, object]:
    return {
        "name": answer.name,
        "reference": answer.reference,
        "ok": not answer.failure,
        "status": answer.status,
        "duration_ms": answer.milliseconds,
        "message": answer.failure or None,
    }


def _rows(answers: list[_Answer]) -> Iterator[tuple[str, str, str]]:
    for answer in answers:
        yield answer.name, answer.reference, answer.text
