"""Reading the secrets of references."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sync.config.resolve.references import AnyReference, source
from sync.config.schema.references import EnvReference, FileReference, StoreReference
from sync.core.secret import CredentialError, Secret

CANARY = "EAABcanary0123456789canary"
AROUND = "{file: secret}: not shaped like a token or secret: blanks or line breaks around it; write it without them"
QUOTED = "{file: secret}: not shaped like a token or secret: quotes around it; write it without them"
BROKEN = "{file: secret}: not shaped like a token or secret: a line break or control character in it; write it again"


def no_store(store: str, path: str, key: str) -> Secret:
    """Fail if a store is read."""
    raise AssertionError((store, path, key))


def reading(reference: AnyReference, base: Path) -> Secret:
    """Read a reference once."""
    return source(reference, base=base, read_store=no_store)()


def refusal(reference: AnyReference, base: Path) -> str:
    """Return the message of the error when a reference is read."""
    with pytest.raises(CredentialError) as refused:
        reading(reference, base)
    assert CANARY not in str(refused.value)
    assert refused.value.__cause__ is None
    return str(refused.value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"it's", "it's"),
        (b"two words", "two words"),
        (b"\xef\xbb\xbfsecret", "secret"),
        ("gehe\u00efm".encode(), "gehe\u00efm"),
        (b"x" * 65536, "x" * 65536),
    ],
)
def test_file(tmp_path: Path, data: bytes, value: str) -> None:
    """A file's text is the secret, without one newline at its end."""
    (tmp_path / "secret").write_bytes(data)
    assert reading(FileReference(file="secret"), tmp_path).reveal() == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "{file: secret}: the file is empty; write the secret into it"),
        (b"\n", "{file: secret}: the file is empty; write the secret into it"),
        (b" \r\n", "{file: secret}: the file is empty; write the secret into it"),
        (CANARY.encode() + b"\xff", "{file: secret}: not UTF-8 text; write the file again"),
        (CANARY.encode() + b"\n\n", AROUND),
        (b" " + CANARY.encode() + b"\n", AROUND),
        (CANARY.encode() + b" \n", AROUND),
        (CANARY.encode() + b"\r", AROUND),
        (b"\n" + CANARY.encode(), AROUND),
        (CANARY.encode() + b"\xc2\xa0", AROUND),
        (b'"' + CANARY.encode() + b'"\n', QUOTED),
        (b"'" + CANARY.encode() + b"'", QUOTED),
        (b"`" + CANARY.encode() + b"`", QUOTED),
        (f"\u201c{CANARY}\u201d".encode(), QUOTED),
        (f"{CANARY}\n{CANARY}".encode(), BROKEN),
        (f"{CANARY}\0{CANARY}".encode(), BROKEN),
        (
            CANARY.encode() * 3000,
            "{file: secret}: larger than 64 KiB; name a file that contains only the secret",
        ),
    ],
)
def test_bad_file(tmp_path: Path, data: bytes, message: str) -> None:
    """A file without a usable secret is refused, and its content is not shown."""
    (tmp_path / "secret").write_bytes(data)
    assert refusal(FileReference(file="secret"), tmp_path) == message


def test_no_regular_file(tmp_path: Path) -> None:
    """A directory, a device and a pipe without a writer are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "/dev/zero", "/dev/tty"):
        text = refusal(FileReference(file=name), tmp_path)
        assert text.startswith(f"{{file: {name}}}: ")
    assert refusal(FileReference(file="pipe"), tmp_path) == (
        "{file: pipe}: not a regular file; name the file that contains the secret"
    )


def test_missing_file(tmp_path: Path) -> None:
    """The error about a missing file has the path as the configuration writes it."""
    assert refusal(FileReference(file="run/secret"), tmp_path) == (
        "{file: run/secret}: no such file; check the path, and that it is mounted"
    )


def test_path_too_long(tmp_path: Path) -> None:
    """A path that the system refuses is an error in words too."""
    name = "a b" * 100
    assert refusal(FileReference(file=name), tmp_path).endswith("cannot be read (File name too long); check the path")


def test_symlink_swapped(tmp_path: Path) -> None:
    """A file is read again each time, through links, as Kubernetes swaps its Secrets."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "secret").write_text(version, encoding="utf-8")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "secret").symlink_to("..data/secret")
    read = source(FileReference(file="secret"), base=tmp_path, read_store=no_store)
    assert read().reveal() == "one"
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert read().reveal() == "two"


def test_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is read when the secret is needed; a missing, empty or undecodable one is refused."""
    read = source(EnvReference(env="TEST_TOKEN"), base=tmp_path, read_store=no_store)
    monkeypatch.delenv("TEST_TOKEN", raising=False)
    assert refusal(EnvReference(env="TEST_TOKEN"), tmp_path) == (
        "{env: TEST_TOKEN}: the variable is not set; set it where this program is started"
    )
    monkeypatch.setenv("TEST_TOKEN", "")
    assert refusal(EnvReference(env="TEST_TOKEN"), tmp_path) == (
        "{env: TEST_TOKEN}: the variable is empty; set it where this program is started"
    )
    monkeypatch.setenv("TEST_TOKEN", CANARY + "\udcff")
    assert refusal(EnvReference(env="TEST_TOKEN"), tmp_path) == (
        "{env: TEST_TOKEN}: the variable is not UTF-8 text; set it again"
    )
    monkeypatch.setenv("TEST_TOKEN", CANARY)
    assert read().reveal() == CANARY


@pytest.mark.parametrize("kind", ["env", "store"])
def test_a_variable_and_a_store_are_treated_like_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One line break at the end is removed; quotes, blanks and further line breaks are refused, without the value."""
    value = ""

    def read_store(store: str, path: str, key: str) -> Secret:
        return Secret(value)

    env, stored = EnvReference(env="TEST_TOKEN"), StoreReference(store="vault", path="meta/user", key="token")
    read = source(env if kind == "env" else stored, base=tmp_path, read_store=read_store)
    for value in (CANARY, CANARY + "\n", CANARY + "\r\n"):
        monkeypatch.setenv("TEST_TOKEN", value)
        assert read().reveal() == CANARY
    for value in (f'"{CANARY}"', f"{CANARY} ", f"\t{CANARY}", f"{CANARY}\n\n", f"{CANARY}\n{CANARY}"):
        monkeypatch.setenv("TEST_TOKEN", value)
        with pytest.raises(CredentialError, match="not shaped like a token") as refused:
            read()
        assert CANARY not in str(refused.value)
        assert ("TEST_TOKEN" if kind == "env" else "meta/user") in str(refused.value)


def test_store(tmp_path: Path) -> None:
    """A secret in a store is read by the store, and the error of the store is passed on."""
    asked: list[tuple[str, str, str]] = []

    def read_store(store: str, path: str, key: str) -> Secret:
        asked.append((store, path, key))
        if len(asked) > 1:
            raise CredentialError("sealed")
        return Secret(CANARY)

    read = source(StoreReference(store="vault", path="meta/user", key="token"), base=tmp_path, read_store=read_store)
    assert asked == []
    assert read().reveal() == CANARY
    with pytest.raises(CredentialError, match="sealed"):
        read()
    assert asked == [("vault", "meta/user", "token")] * 2
