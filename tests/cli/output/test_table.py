"""What once and plan print: for a person on a terminal, for a pipe, and as JSON."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sync.cli.output.table import held_text, renewed_texts
from sync.core.memory.renewal import Renewal
from sync.core.model import Key
from sync.core.plan.guards import hold
from sync.sandbox.api.states import switch_on
from sync.sandbox.http.server import Sandbox, start
from tests.support import reports
from tests.support.rigs.cli import file_rig, on_a_terminal
from tests.support.rigs.e2e import PROGRAM
from tests.support.services.graph import sandbox
from tests.support.values import OTHER, current, fetched, judged, stored

__all__ = ["sandbox"]

pytestmark = pytest.mark.slow

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_cause_is_printed_once_for_a_thousand_pages(tmp_path: Path) -> None:
    """An invalid system user of 1,000 Pages gives 1,000 lines and its remedy once."""
    with start(pages=1000) as many:
        many.world.invalidate(many.world.user)
        ran = file_rig(tmp_path, many).run("once")

    assert ran.code == 3
    assert ran.stdout.count("system_users.*.token points") == 1
    assert ran.stdout.count("Action required") + ran.stdout.count("No action needed") <= 2
    assert len([text for text in ran.stdout.splitlines() if "store  kept" in text]) == 1000
    assert "problem system-user-invalid: system user main, 1,000 Pages (berlin, paris, rome and 997 more)" in ran.stdout


def test_problems_come_first(tmp_path: Path, sandbox: Sandbox) -> None:
    """A Page with a problem comes before those without, whatever its order in the configuration."""
    rig = file_rig(tmp_path, sandbox)
    rig.run("once")
    switch_on(sandbox.world, "unassigned@lisbon")
    lines = rig.run("once").stdout.splitlines()

    assert lines[0].startswith("Page")
    assert lines[1].startswith("lisbon")
    assert "no-access" in lines[1]


def test_a_pipe_gets_plain_lines_that_are_not_cut(tmp_path: Path) -> None:
    """In a pipe a line is a secret, however long its names; no colour, no drawing, and every Page is listed."""
    name = "a" + "-very-long-page-name" * 3
    with start(pages=30) as many:
        rig = file_rig(tmp_path, many)
        rig.write(pages=[{"id": page["id"], "name": f"{name}{target:02}"} for target, page in enumerate(many.pages)])
        rig.run("once")
        ran = rig.run("once")

    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.isascii()
    assert "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    for target in range(30):
        assert sum(text.startswith(f"{name}{target:02} ") for text in lines) == 1
    assert len({text.index("unchanged") for text in lines if " unchanged  the" in text}) == 1


def test_a_terminal_of_80_columns_is_enough(tmp_path: Path, sandbox: Sandbox) -> None:
    """On a terminal nothing is wider than it, no text is lost by that, and colour shows what is served."""
    rig = file_rig(tmp_path, sandbox)
    long = "a" + "-very-long-page-name" * 3
    rig.write(pages=[{"id": page["id"], "name": f"{long}{target}"} for target, page in enumerate(sandbox.pages)])
    rig.run("once")
    switch_on(sandbox.world, f"unassigned@{sandbox.pages[0]['id']}")
    code, shown = on_a_terminal("--config", str(rig.file), "once")
    plain = CODES.sub("", shown)

    assert code == 1
    assert "\x1b[3" in shown
    assert max(map(len, plain.splitlines())) <= 80
    assert f"{long}0" in re.sub(r"\s", "", plain)
    assert "no-access" in re.sub(r"\s", "", plain)


def test_no_color_is_obeyed(tmp_path: Path, sandbox: Sandbox) -> None:
    """With NO_COLOR a terminal gets no colour."""
    rig = file_rig(tmp_path, sandbox)
    _, shown = on_a_terminal("--config", str(rig.file), "once", env={"NO_COLOR": "1"})

    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
    assert "verified" in shown


def test_a_terminal_counts_quiet_lines(tmp_path: Path) -> None:
    """On a terminal many unchanged secrets are one line, and those with a problem are still listed."""
    with start(pages=200) as many:
        rig = file_rig(tmp_path, many)
        rig.run("once")
        switch_on(many.world, f"unassigned@{many.pages[7]['id']}")
        _, shown = on_a_terminal("--config", str(rig.file), "once")
    plain = CODES.sub("", shown)

    assert "199 unchanged and verified secrets are not listed" in plain
    assert many.pages[7]["name"] in plain
    assert plain.count("\n") < 30


def test_a_plan_says_why_and_that_nothing_was_written(tmp_path: Path, sandbox: Sandbox) -> None:
    """A plan shows each line's reason, old and new fingerprint and its checksum, and leaves the store as it was."""
    rig = file_rig(tmp_path, sandbox)
    first = rig.run("plan")
    assert (first.code, list((tmp_path / "secrets").glob("*.json"))) == (1, [])
    rig.run("once")
    before = {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    sandbox.world.rotate(sandbox.world.user)
    rig.secret("system_user_token", sandbox.system_user_token)
    ran, document = rig.run("plan"), rig.run("plan", "--output", "json")

    assert {path: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == before
    assert ran.code == document.code == 1
    assert ran.stdout.count("rotate: ") == 5
    assert len(re.findall(r"[0-9a-f]{12} > [0-9a-f]{12}", ran.stdout)) == 5
    assert "Nothing was written" in ran.stdout
    assert document.report["plan_checksum"] in ran.stdout
    assert {page["stores"][0]["reason"] for page in document.report["pages"]} == {"rotate"}


def test_orphans_are_named(tmp_path: Path, sandbox: Sandbox) -> None:
    """A secret of this instance that no Page uses is named, and changes no exit code."""
    rig = file_rig(tmp_path, sandbox)
    rig.run("once")
    rig.write(pages=[{"id": page["id"], "name": page["name"]} for page in sandbox.pages[1:]])
    ran = rig.run("once")

    assert ran.code == 0
    assert "Orphans: store:berlin.json." in ran.stdout


def test_only_a_renewal_of_this_cycle_is_printed() -> None:
    """One that was not read back says so; an earlier one, or one whose token someone else replaced, is not printed."""
    now = reports.FRAME.started_at
    tried = {
        "doubted": Renewal(now, "0" * 12, Key("vault", "meta/a"), became="1" * 12, version="2", confirmed=False),
        "earlier": Renewal(now - timedelta(hours=1), "0" * 12, Key("vault", "meta/b"), became="1" * 12, confirmed=True),
        "another's": Renewal(now, "0" * 12, Key("vault", "meta/c")),
    }
    report = reports.account(reports.of(fetched(), reports.GOOD), frame=replace(reports.FRAME, renewals=tried))
    assert renewed_texts(report) == [
        "renewed: system user doubted, 000000000000 > 111111111111, at vault:meta/a; written, not confirmed by reading it back"
    ]


def test_the_brake_s_text_names_store_count_and_share() -> None:
    """The text names the stores with too many changes, how many they are, and of how many tokens; no other store."""
    invalid = current(stored(OTHER), judged(is_valid=False))
    pages = [
        reports.of(fetched(), invalid if number < 3 else reports.GOOD, reports.GOOD, name=f"p{number}")
        for number in range(4)
    ]
    held_back = [
        replace(page, targets=(replace(page.targets[0], action=hold(page.targets[0].action, "brake")), page.targets[1]))
        for page in pages[:3]
    ]
    text, command = held_text(reports.account(*held_back, pages[3], outcomes={}), "page-token-sync once") or ("", "")

    assert "holds 3 writes" in text
    assert "Held: store vault, 3 of 4 stored tokens (75%). Nothing else is held." in text
    assert "brake.share and brake.min_changes" in text
    assert re.fullmatch("page-token-sync once --if-plan sha256:[0-9a-f]{64}", command)


def test_a_reader_of_an_old_encoding_gets_the_report(tmp_path: Path, sandbox: Sandbox) -> None:
    """Characters that the reader's encoding lacks are escaped, and the report is printed."""
    rig = file_rig(tmp_path, sandbox)
    rig.environment = {"PYTHONIOENCODING": "ascii"}
    rig.write(stores={"store": {"type": "file", "directory": str(tmp_path / "tökens")}})
    ran = rig.run("plan")

    assert (ran.code, ran.stderr) == (1, "")
    assert "t\\xf6kens" in ran.stdout


@pytest.mark.parametrize(
    ("redirected", "code"),
    [("| true", 0), (">&-", 0), ("2>&-", 0), (">/dev/full", 3)],
    ids=["gone", "stdout", "stderr", "full"],
)
def test_who_reads_the_report_changes_nothing(redirected: str, code: int, tmp_path: Path, sandbox: Sandbox) -> None:
    """A reader that has gone away, or streams that are closed, change neither cycle nor exit code; a full disk is reported."""
    rig = file_rig(tmp_path, sandbox)
    script = f"{shlex.join([*PROGRAM, '--config', str(rig.file)])} once {redirected}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, "Traceback" in done.stderr, "Internal error" in done.stderr) == (code, False, False)
    assert len(list((tmp_path / "secrets").glob("*.json"))) == 5
    assert ("could not be written" in done.stderr) == (code == 3)


def test_a_report_is_one_document(tmp_path: Path, sandbox: Sandbox) -> None:
    """With --output json stdout is one document and stderr is empty, on success and on failure."""
    rig = file_rig(tmp_path, sandbox)
    good = rig.once()
    rig.secret("app_secret", "0" * 32)
    rig.secret("system_user_token", "EAA" + "x" * 60)
    bad = rig.once()

    assert (good.code, good.stderr) == (0, "")
    assert (bad.code, bad.stderr) == (3, "")
    assert (good.report["result"], bad.report["result"]) == ("ok", "failed")
    assert good.stdout.count("\n") == 1


def test_a_cycle_in_debug_is_logged_to_stderr(tmp_path: Path, sandbox: Sandbox) -> None:
    """At log level debug the events are JSON lines on stderr, and stdout has the result only."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(log={"level": "debug"})
    ran = rig.run("once")
    lines = [json.loads(text) for text in ran.stderr.splitlines()]

    assert {line["event"] for line in lines} == {"page_written", "cycle_finished"}
    assert len({line["cycle"] for line in lines}) == 1
    assert "timestamp" not in ran.stdout


def test_no_token_is_printed(tmp_path: Path, sandbox: Sandbox) -> None:
    """No piece of a credential or a token is printed, whatever goes wrong, at debug level as well."""
    rig = file_rig(tmp_path, sandbox)
    rig.write(log={"level": "debug"})
    printed = ""
    for fault, form in (("", "table"), ("half-json*1", "json"), ("user-token@rome", "table"), ("invalid", "json")):
        if fault:
            switch_on(sandbox.world, fault)
        ran = rig.run("once", "--output", form)
        printed += ran.stdout + ran.stderr

    assert len(printed) > 5_000
    for secret in {sandbox.app_secret, *sandbox.world.tokens}:
        for target in range(0, len(secret) - 15, 4):
            assert secret[target : target + 16] not in printed


def test_another_plan_with_nothing_left_to_write_names_no_plan() -> None:
    """Where nothing is left to write, no checksum of an empty plan is offered."""
    report = reports.account(
        reports.of(fetched(), reports.GOOD), frame=replace(reports.FRAME, another_plan=True), outcomes=None
    )
    text, command = held_text(report, "page-token-sync once") or ("", "")
    assert "nothing is left" in text
    assert command == "page-token-sync once"


def test_held_plan_says_that_it_needs_the_state_file() -> None:
    """Where no other run can plan the same without it, the message names state.file before the command."""
    for needed in (False, True):
        report = reports.account(
            reports.of(fetched(), reports.GOOD),
            frame=replace(reports.FRAME, another_plan=True, needs_state_file=needed),
        )
        text, command = held_text(replace(report, checksum="sha256:1"), "page-token-sync once") or ("", "")
        assert ("First set state.file" in text) == needed
        assert command == "page-token-sync once --if-plan sha256:1"
