"""An image builder and a container engine without a daemon, with a store of their own and a stand-in base image.

The stand-in is a minimal Debian with a Python of its own. It replaces the first base of the Dockerfile, so that the
image can be built where no image registry is reached. It is kept in BASE, so that the next run is quick.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

BASE = Path("/var/tmp/page-token-sync-base-trixie.tar")
NEEDED = ("buildah", "podman", "runc", "debootstrap")
BUILD = {"SOURCE": "https://example.com/page-token-sync", "VERSION": "1.2.3", "REVISION": "0" * 40}
"""What the image is built with, for its labels."""

_STAND_IN = "localhost/page-token-sync-base"
_CA = "/etc/ssl/certs/ca-certificates.crt"
_PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
# The engine's default limits are higher than what root may set in some containers.
_LOCKED = (
    "--network=host",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--log-driver=k8s-file",
)


def lacking() -> str | None:
    """Return what is not there to build and run an image with; None where all is."""
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {' '.join(missing)} (apt-get install {' '.join(missing)})" if missing else None


def sh(*argv: str, env: dict[str, str] | None = None, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without standard input."""
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        env=env,
    )


def must(*argv: str, env: dict[str, str] | None = None, timeout: float = 600) -> str:
    """Run a command that has to succeed; gives its output."""
    done = sh(*argv, env=env, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def stand_in() -> Path:
    """Return the stand-in base image as an archive; makes it where it is not yet there."""
    if BASE.exists():
        return BASE
    with tempfile.TemporaryDirectory(dir=BASE.parent, prefix="page-token-sync-base-") as folder:
        root, archive = Path(folder) / "root", Path(folder) / "base.tar"
        include = "--include=python3,python3-venv,python3-pip,ca-certificates"
        must("debootstrap", "--variant=minbase", include, "trixie", str(root), timeout=900)
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        # The official image's pip may install into its own Python, and both tools must trust a CA of this machine's.
        (root / "etc/pip.conf").write_text("[global]\nbreak-system-packages = true\n")
        (root / "etc/uv").mkdir()
        (root / "etc/uv/uv.toml").write_text("system-certs = true\n")
        must("tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "-cf", str(archive), ".")
        archive.replace(BASE)
    return BASE


@dataclass(frozen=True)
class Engine:
    """A built image, and the way to run it: read-only, without capabilities, privileges, network of its own or /tmp."""

    image: str
    env: dict[str, str]

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask the engine."""
        return sh(*_PODMAN, *arguments, env=self.env)

    def run(self, *command: str, options: Sequence[str] = (), entrypoint: str = "") -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        other = [f"--entrypoint={entrypoint}"] if entrypoint else []
        return self.podman("run", "--rm", *_LOCKED, *other, *options, self.image, *command)

    def start(self, name: str, *command: str, options: Sequence[str] = ()) -> None:
        """Start a container that goes on."""
        done = self.podman("run", "--detach", f"--name={name}", *_LOCKED, *options, self.image, *command)
        assert done.returncode == 0, done.stderr


def _environment(folder: Path, driver: str) -> dict[str, str]:
    conf = folder / f"{driver}.conf"
    conf.write_text(
        f'[storage]\ndriver = "{driver}"\ngraphroot = "{folder}/{driver}"\nrunroot = "{folder}/{driver[0]}"\n'
    )
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "CONTAINERS_STORAGE_CONF": str(conf)}


@contextmanager
def built() -> Iterator[Engine]:
    """Build the image from this tree; the store is gone after the block."""
    base = stand_in()
    # Sockets lie below: where their path is too long the engine misses a container's end and waits 20 s for it.
    with tempfile.TemporaryDirectory(dir=BASE.parent, prefix="pts-") as name:
        folder = Path(name)
        # Overlay is quick, but is not to be had inside some containers; vfs copies every layer and works everywhere.
        tried = (_environment(folder, driver) for driver in ("overlay", "vfs"))
        env = next(env for env in tried if sh(*_PODMAN, "info", env=env).returncode == 0)
        must(*_PODMAN, "import", str(base), _STAND_IN, env=env)
        certificates = ["-v", f"{_CA}:{_CA}:ro"] if Path(_CA).exists() else []
        build = [
            "buildah",
            "bud",
            "--pull-never",
            f"--from={_STAND_IN}",
            "--isolation=chroot",
            "--network=host",
            "--format=docker",
            *(f"--build-arg={name}={value}" for name, value in BUILD.items()),
        ]
        must(*build, *certificates, "-t", "page-token-sync-test", str(ROOT), env=env)
        engine = Engine("localhost/page-token-sync-test", env)
        try:
            yield engine
        finally:
            engine.podman("rm", "--all", "--force", "--time=0")
            # The builder keeps a container, and its mount, for a stage that holds no instruction.
            sh("buildah", "rm", "--all", env=env)
