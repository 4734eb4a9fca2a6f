"""Set-ups that are broken in one way each: doctor alone names the cause, who acts and the cure, and after the cure nothing is wrong."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from sync.cli.output.doctor import exit_code
from sync.sandbox.api.effects import WIRE
from sync.sandbox.api.states import NAMES, switch_off
from sync.sandbox.replies import REFUSALS
from sync.sandbox.world.business import SCOPES
from tests.doctor.setups import Setup, assert_sound, failed, results, setup, tls_before
from tests.support.raw_server import RawServer, raw_server
from tests.support.services.bao import free_port

Case = Callable[[Setup], Iterator[None]]
"""Breaks a set-up until it is resumed, and then does what the remedy says."""

ASSIGN = "In Business Settings > Users > System users"


def faults(*names: str) -> Case:
    """Switch faults of the sandbox on and off."""

    def case(made: Setup) -> Iterator[None]:
        made.fault(*names)
        yield
        switch_off(made.sandbox.world)

    return case


def secret(name: str, change: Callable[[str], str]) -> Case:
    """Write another value into a credential's file, and then the right one."""

    def case(made: Setup) -> Iterator[None]:
        value = (made.rig.folder / name).read_text().strip()
        made.secret(name, change(value))
        yield
        made.secret(name, value)

    return case


def settings(**changes: Any) -> Case:
    """Write another configuration, and then the right one."""

    def case(made: Setup) -> Iterator[None]:
        before = dict(made.rig.settings)
        made.rig.write(**changes)
        yield
        made.rig.settings = before
        made.rig.write()

    return case


def graph(**changes: Any) -> Case:
    """Change how Graph is reached."""

    def case(made: Setup) -> Iterator[None]:
        yield from settings(graph={"base_url": made.sandbox.url, "timeout": "10s", **changes})(made)

    return case


def fewer_scopes(made: Setup) -> Iterator[None]:
    """Generate the token without the permission that the checks demand, and then with all."""
    user = made.sandbox.world.user
    lesser = made.sandbox.world.rotate(user, scopes=tuple(one for one in SCOPES if one != "pages_messaging"))
    made.secret("system_user_token", lesser.value)
    yield
    made.secret("system_user_token", made.sandbox.world.rotate(user, scopes=SCOPES).value)


def wrong_page_id(made: Setup) -> Iterator[None]:
    """Write an id that is nobody's."""
    pages = [{"id": page["id"], "name": page["name"]} for page in made.sandbox.pages]
    yield from settings(pages=[{**pages[0], "id": "4"}, *pages[1:]])(made)


def another_app(made: Setup) -> Iterator[None]:
    """Configure another app with its own secret, of which the token is none."""
    other = made.sandbox.world.other_app
    made.secret("other_secret", other.secret)
    apps = {"messenger": {"id": other.id, "secret": {"file": str(made.rig.folder / "other_secret")}}}
    yield from settings(apps=apps)(made)


def wrong_app_id(made: Setup) -> Iterator[None]:
    """Configure an id to which the secret does not belong."""
    secret = {"file": str(made.rig.folder / "app_secret")}
    yield from settings(apps={"messenger": {"id": "1234567890", "secret": secret}})(made)


def wrong_clock(made: Setup) -> Iterator[None]:
    """Set the clock an hour back."""
    made.clock.set_by = timedelta(hours=-1)
    yield
    made.clock.set_by = timedelta(0)


def closed_proxy(made: Setup) -> Iterator[None]:
    """Lead calls to a proxy that does not listen."""
    made.secret("proxy", f"http://127.0.0.1:{free_port()}")
    yield from graph(proxy={"file": str(made.rig.folder / "proxy")})(made)


def private_authority(made: Setup) -> Iterator[None]:
    """Place a certificate of an unknown authority before Graph, as a proxy does that inspects TLS; then trust the authority."""
    authority = trustme.CA(organization_name="Corp Inspection CA")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(made.rig.folder / "ca.pem")
    server = made.stack.enter_context(tls_before(int(made.sandbox.url.rpartition(":")[2]), context))
    url = server.url.replace("http://", "https://")
    made.rig.write(graph={"base_url": url, "timeout": "10s"})
    yield
    made.rig.write(graph={"base_url": url, "timeout": "10s", "ca_file": str(made.rig.folder / "ca.pem")})


def no_folder(made: Setup) -> Iterator[None]:
    """Place a file where the store's directory is expected."""
    folder = made.rig.folder / "secrets"
    folder.rmdir()
    folder.touch()
    yield
    folder.unlink()
    folder.mkdir(mode=0o700)


def foreign_file(made: Setup) -> Iterator[None]:
    """Place a secret of another program at the path of a Page; then move it away."""
    file = made.rig.folder / "secrets" / "berlin.json"
    file.write_text('{"access_token": "of another program"}')
    yield
    file.unlink()


def foreign_state(made: Setup) -> Iterator[None]:
    """Refer to a state file of another instance; then to another file."""
    (made.rig.folder / "other.json").write_text('{"instance": "other"}')
    made.rig.write(state={"file": str(made.rig.folder / "other.json")})
    yield
    made.rig.write(state={"file": str(made.rig.folder / "state.json")})


def plain_http(made: Setup) -> Iterator[None]:
    """Call Graph by plain http on an address that only looks like another machine's."""
    yield from graph(base_url=made.sandbox.url.replace("127.0.0.1", "0.0.0.0"), allow_http=True)(made)


TOKEN = "system-user-token main"
APP = "app-secret messenger"
BERLIN = "page-visible berlin"

# name; how it is broken; what fails; who acts; what message and remedy say
CASES: list[tuple[str, Case, str, str, tuple[str, ...]]] = [
    ("scope", fewer_scopes, "system-user-scopes main", "app-admin", ("pages_messaging", "generate a new token")),
    (
        "permission",
        faults("missing-permission=pages_read_engagement"),
        "system-user-scopes main",
        "app-admin",
        ("lacks the permission pages_read_engagement", ASSIGN),
    ),
    (
        "unassigned",
        faults("unassigned@berlin"),
        "page-tasks berlin",
        "business-admin",
        ("berlin is not assigned", ASSIGN),
    ),
    (
        "invisible",
        faults("unassigned=object-missing@berlin"),
        BERLIN,
        "business-admin",
        ("no Page has this id, or it is not assigned", ASSIGN),
    ),
    ("wrong Page id", wrong_page_id, BERLIN, "business-admin", ("under 4", "Check the Page's id")),
    ("a person's id", faults("person@berlin"), BERLIN, "operator", ("Business Settings > Accounts > Pages",)),
    ("moved Page", faults("moved=77@berlin"), BERLIN, "operator", ("77", "Put the new id into the configuration")),
    ("two-factor", faults("two-factor@berlin"), "page-token berlin", "app-admin", ("Business Settings > Security",)),
    ("scope of one Page", faults("missing-scope@berlin"), "page-proof berlin", "app-admin", ("pages_messaging",)),
    ("short life", faults("short-lived@berlin"), "page-proof berlin", "app-admin", ("checks.expires",)),
    ("another Page's token", faults("other-page@berlin"), "page-proof berlin", "operator", ("profile_id",)),
    ("another app", another_app, TOKEN, "operator", ("belongs to another app", "apps.*.id")),
    ("wrong app id", wrong_app_id, APP, "operator", ("App settings > Basic",)),
    ("wrong app secret", secret("app_secret", lambda text: text[::-1]), APP, "operator", ("App settings > Basic",)),
    ("token as app secret", secret("app_secret", lambda _: f"EAA{'x' * 60}"), APP, "operator", ("not swapped",)),
    ("blocked app", faults("app-blocked"), APP, "app-admin", ("API access blocked", "the app's dashboard")),
    ("desktop app", faults("desktop-app"), APP, "app-admin", ("Native or desktop app",)),
    ("address", faults("address-refused"), APP, "app-admin", ("Server IP allowlist",)),
    ("outage", faults("server-error=500"), "graph-reached", "nobody", ("An unexpected error", "Meta's status page")),
    ("no capability", faults("capability"), APP, "app-admin", ("add the use case",)),
    ("wrong version", graph(version="v99.0"), "graph-version", "operator", ("v99.0", "Set graph.version")),
    ("invalid token", faults("invalid"), TOKEN, "app-admin", ("changed their password", ASSIGN)),
    ("expired token", faults("expired"), TOKEN, "app-admin", ("Session has expired", ASSIGN)),
    ("blocked user", faults("checkpoint"), TOKEN, "app-admin", ("Business Support Home",)),
    (
        "truncated token",
        secret("system_user_token", lambda text: text[:-40]),
        TOKEN,
        "app-admin",
        ("could not be decrypted", "not copied completely"),
    ),
    ("quotes", secret("system_user_token", lambda text: f'"{text}"'), TOKEN, "operator", ("quotes around it",)),
    ("NAME=", secret("app_secret", lambda text: f"APP_SECRET={text}"), APP, "operator", ("not shaped like a token",)),
    (
        "unset variable",
        settings(system_users={"main": {"token": {"env": "NOT_SET"}}}),
        TOKEN,
        "operator",
        ("NOT_SET", "is not set"),
    ),
    (
        "missing file",
        settings(system_users={"main": {"token": {"file": "/gone/token"}}}),
        TOKEN,
        "operator",
        ("/gone/token", "that it is mounted"),
    ),
    ("clock", wrong_clock, "clock", "operator", ("minutes behind", "NTP")),
    ("DNS", graph(base_url="https://graph.invalid"), "graph-dns", "operator", ("graph.invalid", "has no IP address")),
    (
        "nobody answers",
        graph(base_url=f"http://127.0.0.1:{free_port()}"),
        "graph-reached",
        "operator",
        ("The connection to Graph", "failed"),
    ),
    ("proxy", closed_proxy, "graph-reached", "operator", ("the proxy 127.0.0.1", "graph.proxy")),
    (
        "unreadable proxy",
        graph(proxy={"file": "/gone/proxy"}),
        "graph-reached",
        "operator",
        ("graph.proxy cannot be read", "/gone/proxy"),
    ),
    (
        "private authority",
        private_authority,
        "graph-reached",
        "operator",
        (
            "is not trusted",
            "OpenSSL says: unable to get local issuer certificate",
            "issued by Corp Inspection CA",
            "graph.ca_file",
        ),
    ),
    (
        "authorities' file",
        graph(base_url="https://127.0.0.1:1", ca_file="/gone/ca.pem"),
        "graph-reached",
        "operator",
        ("graph.ca_file",),
    ),
    ("an odd answer", faults("html"), "graph-reached", "operator", ("cannot be used",)),
    (
        "web token",
        settings(web={"token": {"file": "/gone/web"}}),
        "process-credentials",
        "operator",
        ("web.token", "no such file"),
    ),
    ("state file", settings(state={"file": "/proc/1/gone/state.json"}), "process-state", "operator", ("/proc/1",)),
    ("store's directory", no_folder, "store-reached store", "operator", ("Set directory to a folder",)),
    (
        "foreign secret",
        foreign_file,
        "store-secrets store berlin.json",
        "operator",
        ("no mark", "It is never overwritten"),
    ),
]


@pytest.mark.parametrize(
    ("case", "cause", "owner", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_cause_is_named(tmp_path: Path, case: Case, cause: str, owner: str, words: tuple[str, ...]) -> None:
    """One failure is the cause, with its owner and the cure; what follows from it is skipped; after the cure nothing fails."""
    with setup(tmp_path) as made:
        broken = case(made)
        next(broken)
        found = made.examine()
        assert [secret for secret in made.secrets() if secret in str(found)] == []
        assert cause in failed(found), failed(found)
        assert set(failed(found)) <= {cause, *(cause.replace("berlin", one) for one in ("paris", "rome"))}
        one = next(one for one in found if f"{one.id} {one.subject}".rstrip() == cause)
        assert one.owner == owner
        text = f"{one.message} {one.remedy}"
        assert [word for word in words if word not in text] == [], text
        skips = {one.because for one in found if one.status == "skipped"}
        assert skips <= set(failed(found))
        assert next(broken, None) is None
        assert results(made.examine(), "fail", "skipped") == {}


# what is only a warning: it works, and should be changed
WARNINGS: list[tuple[str, Case, str, str, tuple[str, ...]]] = [
    ("person's token", faults("person-token"), TOKEN, "app-admin", ("a person's account", "Business Settings")),
    ("one task", faults("tasks=ANALYZE@berlin"), "page-tasks berlin", "business-admin", ("It has: ANALYZE", ASSIGN)),
    ("expires", faults("expiring=2000000"), "system-user-expiry main", "operator", ("renew_before: 14d",)),
    ("state file", foreign_state, "process-state", "operator", ("another instance's",)),
    ("plain http", plain_http, "process-configuration", "operator", ("http",)),
    ("other version", faults("version=v26.0"), "graph-version", "operator", ("v26.0",)),
]


@pytest.mark.parametrize(
    ("case", "cause", "owner", "words"), [case[1:] for case in WARNINGS], ids=[case[0] for case in WARNINGS]
)
def test_what_should_be_changed_is_a_warning(
    tmp_path: Path, case: Case, cause: str, owner: str, words: tuple[str, ...]
) -> None:
    """It is named with its owner and the cure, and nothing fails; after the cure the warning is gone."""
    with setup(tmp_path) as made:
        broken = case(made)
        next(broken)
        found = made.examine()
        assert results(found, "fail", "skipped") == {}
        (one,) = [one for one in found if f"{one.id} {one.subject}".rstrip() == cause]
        assert (one.status, one.owner) == ("warn", owner)
        assert [word for word in words if word not in f"{one.message} {one.remedy}"] == []
        next(broken, None)
        assert cause in results(made.examine(), "ok")


NO_VERDICT = {TOKEN, *(f"page-proof {name}" for name in ("berlin", "paris", "rome"))}
PAGES_UNREAD = {f"page-token {name}" for name in ("berlin", "paris", "rome")}

# what goes wrong at Meta; the results that are unknown
UNKNOWN: list[tuple[str, set[str]]] = [
    ("server-error:debug_token=500", NO_VERDICT),
    ("unknown-error:debug_token", NO_VERDICT),
    ("html:debug_token", NO_VERDICT),
    ("half-json:debug_token", NO_VERDICT),
    ("null-body:debug_token", NO_VERDICT),
    ("error:debug_token=999", NO_VERDICT),
    ("debug-without-data", NO_VERDICT),
    ("debug-partial=scopes", NO_VERDICT),
    ("cut:debug_token", {TOKEN}),
    ("throttled-app:debug_token", {TOKEN}),
    ("throttled-app", {APP}),
    ("server-error:batch=500", {TOKEN, *PAGES_UNREAD}),
    ("server-error:node=500", PAGES_UNREAD),
    ("server-error:node,debug_token=500", {APP, *PAGES_UNREAD}),
]


@pytest.mark.parametrize(("fault", "unknown"), UNKNOWN, ids=[fault for fault, _ in UNKNOWN])
def test_what_meta_does_not_answer_is_unknown(tmp_path: Path, fault: str, unknown: set[str]) -> None:
    """An answer that decides nothing fails no check; no Page can be judged, which is exit 3; the remedy is to examine again."""
    with setup(tmp_path) as made:
        made.fault(fault)
        found = made.examine()
        assert_sound(found)
        assert failed(found) == []
        assert set(results(found, "unknown")) == unknown
        assert exit_code(found) == 3
        roots = {one.because for one in found if one.status == "skipped"}
        assert roots - {"page-token berlin", "page-token paris", "page-token rome"} <= unknown
        remedies = {one.remedy for one in found if one.status == "unknown"}
        assert all("again" in text or "error reference" in text for text in remedies)


@pytest.mark.parametrize("fault", ["server-error:accounts,assigned_pages=500", "throttled-user:assigned_pages*1"])
def test_a_list_that_meta_does_not_return_fails_no_check(tmp_path: Path, fault: str) -> None:
    """Without the list of assigned Pages their tasks are unknown, and nothing fails."""
    with setup(tmp_path) as made:
        made.fault(fault)
        found = made.examine()
        assert failed(found) == []
        assert set(results(found, "unknown")) >= {f"page-tasks {name}" for name in ("berlin", "paris", "rome")}


def test_a_proxy_that_cannot_be_read_is_not_bypassed(tmp_path: Path) -> None:
    """Nothing is sent to Graph where its proxy is not known."""
    with setup(tmp_path) as made:
        next(graph(proxy={"file": "/gone/proxy"})(made))
        made.examine()
        assert made.sandbox.world.calls.requests == 0


@pytest.mark.parametrize("shape", REFUSALS)
def test_each_refusal_of_a_page_is_explained(tmp_path: Path, shape: str) -> None:
    """However Graph refuses a Page, one check says that it is not assigned, or that its id may be wrong."""
    with setup(tmp_path) as made:
        made.fault(f"unassigned={shape}@berlin")
        found = [one for one in made.examine() if one.status == "fail"]
        assert {one.id for one in found} <= {"page-visible", "page-tasks"}
        (one,) = found
        assert (one.subject, one.owner) == ("berlin", "business-admin")
        assert "not assigned" in one.message


def test_a_list_with_gaps_proves_nothing(tmp_path: Path) -> None:
    """Where the list lacks Pages whose token Graph returns, a Page that it lacks may be assigned all the same."""
    with setup(tmp_path) as made:
        made.fault("listing-empty:assigned_pages", "unassigned@berlin")
        found = made.examine()
        assert failed(found) == ["page-token berlin"]
        assert results(found, "unknown") == {f"page-tasks {name}": "unknown" for name in ("berlin", "paris", "rome")}


def test_the_way_to_graph_is_named(tmp_path: Path) -> None:
    """A proxy is named without its password, and so is who issued the certificate that is trusted."""
    with setup(tmp_path) as made:
        port = int(made.sandbox.url.rpartition(":")[2])

        def forward(server: RawServer, sock: socket.socket, number: int) -> None:
            before = 0
            while server.receive(sock, number):
                request, before = server.received[number][before:], len(server.received[number])
                head, _, rest = request.partition(b"\r\n")
                method, url, version = head.split()
                path = b"/" + url.split(b"/", 3)[3]
                with socket.create_connection(("127.0.0.1", port)) as upstream:
                    upstream.sendall(b" ".join((method, path, version)) + b"\r\nConnection: close\r\n" + rest)
                    while data := upstream.recv(65536):
                        sock.sendall(data)

        with raw_server(forward) as proxy:
            made.secret("proxy", proxy.url.replace("//", "//me:hunter2@"))
            next(graph(proxy={"file": str(made.rig.folder / "proxy")})(made))
            (reached,) = [one for one in made.examine() if one.id == "graph-reached"]
        assert reached.message.endswith(f"through the proxy 127.0.0.1:{proxy.port} of the configuration.")
        trusted = private_authority(made)
        next(trusted)
        next(trusted, None)
        (reached,) = [one for one in made.examine() if one.id == "graph-reached"]
        assert (reached.status, "issued by Corp Inspection CA" in reached.message) == ("ok", True)


@pytest.mark.parametrize("fault", [name for name in NAMES if name not in WIRE])
def test_any_fault_of_graph_is_judged(tmp_path: Path, fault: str) -> None:
    """Whatever Graph answers, doctor ends, its results are sound, and none shows a secret."""
    with setup(tmp_path) as made:
        made.fault(fault)
        found = made.examine()
        assert_sound(found)
        assert [secret for secret in made.secrets() if secret in str(found)] == []
