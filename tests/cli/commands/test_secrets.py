"""Who reads the output of ``adopt`` and ``rollback``, and what interrupts them, on a real OpenBao."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
from pathlib import Path
from uuid import UUID

import pytest

from sync.app.adopt import adopt, carry_out
from sync.app.app import build
from sync.cli.output import console
from sync.cli.output.adopted import put_adopted
from sync.cli.output.forms import Form
from sync.config.load import load
from sync.config.resolve.select import select
from sync.core.model import Key, Stored
from sync.runtime.threads import Stopping, SystemClock
from sync.sandbox.http.server import Sandbox
from tests.support.fakes import StoreInMemory
from tests.support.forkserver import shared
from tests.support.rigs.cli import on_a_terminal
from tests.support.rigs.vault_program import VaultProgram
from tests.support.services.bao import Bao, bao, mount
from tests.support.services.graph import sandbox

__all__ = ["bao", "mount", "sandbox"]

ROLLBACK = ("rollback", "berlin", "--store", "store")
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ADOPT = ("adopt", "paris", "--store", "store")


@pytest.fixture
def program(tmp_path: Path, sandbox: Sandbox, bao: Bao, mount: str) -> VaultProgram:
    """Return a program whose secrets have two versions; the one of paris has no marks."""
    made = VaultProgram(tmp_path, sandbox, bao, mount)
    made.settle()
    with made.world.lock:
        made.world.rotate(made.world.user)
    made.secret("system_user_token", sandbox.system_user_token)
    made.settle()
    bao.admin("POST", f"{mount}/metadata/meta/pages/paris", {"custom_metadata": {}})
    made.note()
    return made


def marks(program: VaultProgram, name: str) -> dict[str, str]:
    """Return the marks of a secret."""
    return program.everything()[name][1]["custom_metadata"] or {}


def test_a_reader_that_closes_the_pipe(program: VaultProgram) -> None:
    """It changes neither what is done nor the exit code."""
    for command in (ROLLBACK, ADOPT):
        reader, writer = os.pipe()
        os.close(reader)
        with shared().start("--config", str(program.file), *command, "--yes", stdout=writer) as process:
            os.close(writer)
            assert (process.communicate(30), process.returncode) == (("", ""), 0)
    assert marks(program, "berlin")["reason"] == "rollback"
    assert marks(program, "paris")["reason"] == "adopted"


def test_a_terminal_of_80_columns(program: VaultProgram) -> None:
    """Each line fits but that of the next command, which is whole."""
    for command, rest in ((ROLLBACK, "--version 1 --yes"), (ADOPT, "--yes")):
        code, shown = on_a_terminal("--config", str(program.file), *command)
        lines = CODES.sub("", shown).splitlines()
        following = f"  page-token-sync --config {program.file} {' '.join(command)} {rest}"
        assert (code, lines.count(following)) == (1, 1), shown
        assert max(len(line) for line in lines if line != following) <= 80


class Terminal(io.StringIO):
    """A terminal, as far as the output asks."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_a_version_of_aws_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 36 characters can be copied into --version from a terminal of 80 columns; time and reason are folded instead."""
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    version = str(UUID(int=7))
    console.put_rows(
        ("version", "token", "written", "reason"), [(version, "a" * 12, "2026-12-02 15:03:35Z", "current, rotate")]
    )
    lines = CODES.sub("", terminal.getvalue()).splitlines()
    assert [part for part in (version, "a" * 12, "15:03:35Z") if not any(part in line for line in lines)] == []
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", [ROLLBACK, ADOPT, (*ROLLBACK, "--release")], ids=lambda command: command[-1])
def test_ctrl_c_while_graph_is_asked(program: VaultProgram, command: tuple[str, ...]) -> None:
    """Nothing is changed, and the command says so, with exit code 130."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program.write(graph={"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": "20s"})
        yes = () if "--release" in command else ("--yes",)
        with shared().start("--config", str(program.file), *command, *yes) as process:
            silent.settimeout(20)
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(20)
            connection.close()
    assert (process.returncode, stdout, stderr) == (130, "", "Interrupted before anything was changed.\n")
    assert program.everything() == program.before


def test_ctrl_c_between_two_marks(program: VaultProgram, capsys: pytest.CaptureFixture[str]) -> None:
    """What is marked is in the result, and the next command is for the rest; nothing claims that nothing was marked."""
    program.write(instance="other-instance")
    with build(load(program.file), clock=SystemClock()) as app:
        shown = adopt(app, select(app.config.pages), by_name=True, write=False)
        assert {one.action for one in shown} == {"adopt"}
        store = StoreInMemory("store")
        store.secrets = {one.key: one.read for one in shown if isinstance(one.read, Stored)}

        def stop(step: str, key: Key | None) -> None:
            if step == "marks":
                raise Stopping

        first = carry_out(shown[:1], {"store": store}, app.clock)
        store.before = stop
        found = first + carry_out(shown[1:], {"store": store}, app.clock)
    assert [one.action for one in found] == ["adopted", *["adopt"] * 4]
    put_adopted(found, Form.TABLE, again="AGAIN")
    printed = capsys.readouterr().out
    assert "Interrupted. To mark the rest:\n  AGAIN\n" in printed
    assert "Nothing was marked" not in printed
