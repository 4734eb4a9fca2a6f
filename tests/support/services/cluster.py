"""Three real OpenBao nodes on raft, which tests kill and restart; tests put them behind a proxy as load balancer.

The ``api_addr`` of each node is a trap's address, which shows whether a client follows the redirect of a standby.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.services.bao import Bao, free_port, start_server


def until(done: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@dataclass
class Node:
    """One server: its folder, its port, and its process while it runs."""

    name: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address at which it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, sealed, and wait until it answers."""
        self.process = start_server(self.folder, f"-config={self.folder / 'bao.hcl'}")
        until(lambda: self.state() is not None, f"{self.name} answers")

    def state(self) -> int | None:
        """Return the status of sys/health: 200 leads, 429 follows, 501 is new, 503 is sealed; None without an answer."""
        with suppress(OSError, ValueError):
            return Bao(self.url, "").call("GET", "sys/health")[0]
        return None

    def kill(self) -> None:
        """Kill the node at once, as a power failure does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None


@dataclass
class Trap:
    """A port that no client should use; counts the connections."""

    socket: socket.socket

    @property
    def url(self) -> str:
        """The trap's address."""
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def caught(self) -> int:
        """Return the number of connections since the last call."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
                count += 1
        return count


@dataclass
class Cluster:
    """The running cluster; calls as root go to the leader."""

    nodes: Sequence[Node]
    trap: Trap
    root: str = ""
    key: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def urls(self) -> list[str]:
        """The addresses of all nodes."""
        return [node.url for node in self.nodes]

    def leader(self) -> Node | None:
        """Return the leader, if there is one."""
        return next((node for node in self.nodes if node.state() == 200), None)

    def bao(self) -> Bao:
        """Return the leader as a server, waiting for one."""
        until(self.leader, "a leader")
        return Bao((self.leader() or self.nodes[0]).url, self.root)

    def unseal(self, node: Node) -> None:
        """Unseal a started node, and wait until it is leader or standby."""

        def done() -> bool:
            if node.state() == 503:
                Bao(node.url, self.root).call("PUT", "sys/unseal", {"key": self.key})
            return node.state() in (200, 429)

        until(done, f"{node.name} is unsealed")

    def restart(self, node: Node) -> None:
        """Start a killed node and unseal it."""
        node.start()
        self.unseal(node)

    def is_healthy(self) -> bool:
        """Check whether one node leads, and all three vote and are healthy."""
        leader = self.leader()
        if leader is None or any(node.state() not in (200, 429) for node in self.nodes):
            return False
        status, answer = Bao(leader.url, self.root).call("GET", "sys/storage/raft/autopilot/state")
        servers: dict[str, Any] = answer["data"]["servers"] if status == 200 and answer.get("data") else {}
        return len(servers) == 3 and all(
            server["healthy"] and server["status"] in ("leader", "voter") for server in servers.values()
        )

    def heal(self) -> None:
        """Start the nodes that do not run, and wait until the cluster is healthy."""
        for node in self.nodes:
            if node.process is None:
                self.restart(node)
        until(self.is_healthy, "three voters", 90)


def _config(node: Node, nodes: Sequence[Node], cluster_port: int, trap: Trap, multiplier: int) -> str:
    others = "".join(f'  retry_join {{ leader_api_addr = "{other.url}" }}\n' for other in nodes if other is not node)
    return f"""storage "raft" {{
  path = "{node.folder}/data"
  node_id = "{node.name}"
  performance_multiplier = {multiplier}
{others}}}
listener "tcp" {{
  address = "127.0.0.1:{node.port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
api_addr = "{trap.url}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
"""


@contextmanager
def three_nodes(folder: Path, multiplier: int) -> Iterator[Cluster]:
    """Run three voters; ``multiplier`` 1 has a new leader within about 3 seconds, OpenBao's default of 5 within about 10."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        sock.setblocking(False)
        trap = Trap(sock)
        nodes = [Node(f"n{number}", folder / f"n{number}", free_port()) for number in (1, 2, 3)]
        for node in nodes:
            (node.folder / "data").mkdir(parents=True)
            text = _config(node, nodes, free_port(), trap, multiplier)
            (node.folder / "bao.hcl").write_text(text)
        cluster = Cluster(nodes, trap)
        try:
            _form(cluster)
            yield cluster
        finally:
            for node in nodes:
                node.kill()


def _form(cluster: Cluster) -> None:
    first, *others = cluster.nodes
    first.start()
    made = Bao(first.url, "").admin("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    cluster.root, cluster.key = made["root_token"], made["keys"][0]
    cluster.unseal(first)
    until(lambda: first.state() == 200, "the first node leads")
    # A node votes once it has been healthy for this long; the default is 10 seconds.
    Bao(first.url, cluster.root).admin(
        "POST", "sys/storage/raft/autopilot/configuration", {"server_stabilization_time": "1s"}
    )
    for node in others:
        node.start()
    for node in others:
        cluster.unseal(node)
    until(cluster.is_healthy, "three voters", 90)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, long: bool) -> Iterator[Cluster]:
    """Start three voters for all tests; a test that kills heals. With ``--long`` elections have their default length."""
    with three_nodes(tmp_path_factory.mktemp("cluster"), multiplier=5 if long else 1) as running:
        yield running
