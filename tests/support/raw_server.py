"""Servers that send any bytes a test wants, to show how HTTP fails on the wire."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class RawServer:
    """A server: ``received`` is what each connection sent, in the order of the connections."""

    port: int
    received: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    serving: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def receive(self, sock: socket.socket, number: int) -> bytes:
        """Read one request's head and body; empty at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return data
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += sock.recv(65536)
        self.received[number] += head + b"\r\n\r\n" + body
        return data

    def all_ended(self, seconds: float) -> bool:
        """Wait until the peer has ended every connection so far."""
        for thread in list(self.serving):
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self.serving)

    def drip(self, sock: socket.socket, data: bytes) -> None:
        """Send byte by byte, each well within any timeout per read."""
        for byte in data:
            if self.over.wait(0.02):
                return
            sock.sendall(bytes([byte]))


@contextlib.contextmanager
def raw_server(
    talk: Callable[[RawServer, socket.socket, int], None], *, tls: ssl.SSLContext | None = None
) -> Iterator[RawServer]:
    """Serve ``talk`` on a free port, each connection in a thread; its number counts from 0."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])
    opened: list[socket.socket] = []

    def serve(sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            talk(server, tls.wrap_socket(sock, server_side=True) if tls else sock, number)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                opened.append(sock)
                server.received.append(b"")
                server.serving.append(threading.Thread(target=serve, args=(sock, len(opened) - 1), daemon=True))
                server.serving[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in opened:
            with contextlib.suppress(OSError):
                sock.close()


def answering(answer: bytes) -> Callable[[RawServer, socket.socket, int], None]:
    """Answer each request with the same bytes and keep the connection."""

    def talk(server: RawServer, sock: socket.socket, number: int) -> None:
        while server.receive(sock, number):
            sock.sendall(answer)

    return talk


def once(answer: bytes) -> Callable[[RawServer, socket.socket, int], None]:
    """Answer one request and end the connection."""

    def talk(server: RawServer, sock: socket.socket, number: int) -> None:
        server.receive(sock, number)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    return talk


def reset(sock: socket.socket) -> None:
    """End the connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()
