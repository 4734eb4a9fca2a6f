"""The first configuration: valid for each kind of store and environment, short, and without a secret."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sync.config.errors import ConfigErrors
from sync.config.load import Config
from sync.config.new_file import load_draft, write_new
from sync.config.schema.stores.aws import AwsConfig
from sync.config.schema.stores.vault import AppRoleAuth, KubernetesAuth, TokenAuth, VaultConfig
from sync.config.show.starter import KINDS, Draft, Kind, draft, likely_kind, text

META = {"META_APP_ID": "123", "META_APP_SECRET": "hunter2secret", "META_SYSTEM_USER_TOKEN": "EAAhunter2token"}


def loaded(folder: Path, of: Draft) -> Config:
    """Load the text of a draft."""
    config = load_draft(folder / "config.yaml", text(of))
    assert list(folder.iterdir()) == []
    return config


@pytest.mark.parametrize("environment", [{}, META])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_valid(tmp_path: Path, kind: Kind, environment: dict[str, str]) -> None:
    """Whatever is in the environment, the file is valid and names variables or files, never a secret."""
    of = draft(kind, environment)
    config = loaded(tmp_path, of)
    assert config.warnings == ()
    assert len(text(of).splitlines()) < 100
    assert "hunter2" not in text(of)
    reference = str(config.settings.apps["messenger"].secret)
    assert ("META_APP_SECRET" in reference) == bool(environment)
    assert ("made up" in text(of)) is True
    listed = replace(of, app_id="123", pages={"1": "Bäckerei", "2": "null", "3": "東京"})
    assert [page.name for page in loaded(tmp_path, listed).pages] == ["baeckerei", "null", "3"]
    assert "made up" not in text(listed)


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, "file"),
        ({"VAULT_ADDR": "https://v:8200", "AWS_REGION": "eu-west-1"}, "vault"),
        ({"BAO_ADDR": "https://v:8200"}, "vault"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "aws"),
        ({"VAULT_ADDR": ""}, "file"),
    ],
)
def test_the_kind_that_the_environment_suggests(environment: dict[str, str], kind: Kind) -> None:
    """The address of Vault comes before a region of AWS; an empty variable is none."""
    assert likely_kind(environment) == kind


def test_what_the_tools_of_vault_use(tmp_path: Path) -> None:
    """Address, namespace and login are taken from the variables of Vault's or OpenBao's own tools, secrets as references."""
    bao = {"BAO_ADDR": "https://bao:8200", "BAO_NAMESPACE": "team-a", "BAO_TOKEN": "s.hunter2"}
    store = loaded(tmp_path, draft("vault", bao)).settings.stores["vault"]
    assert isinstance(store, VaultConfig)
    assert isinstance(store.auth, TokenAuth)
    assert (store.address, store.namespace) == ("https://bao:8200", "team-a")
    assert "BAO_TOKEN" in str(store.auth.token)
    role = {"VAULT_ADDR": "https://v:8200", "VAULT_ROLE_ID": "hunter2", "VAULT_TOKEN": "s.hunter2"}
    store = loaded(tmp_path, draft("vault", role)).settings.stores["vault"]
    assert isinstance(store, VaultConfig)
    assert isinstance(store.auth, AppRoleAuth)
    assert ("VAULT_ROLE_ID" in str(store.auth.role_id), "vault_secret_id" in str(store.auth.secret_id)) == (True, True)
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    store = loaded(tmp_path, draft("vault", pod)).settings.stores["vault"]
    assert isinstance(store, VaultConfig)
    assert isinstance(store.auth, KubernetesAuth)


def test_what_the_tools_of_aws_use(tmp_path: Path) -> None:
    """Region and address are taken from the variables of AWS's own tools, the more special one first."""
    names = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}
    store = loaded(tmp_path, draft("aws", names)).settings.stores["aws"]
    assert isinstance(store, AwsConfig)
    assert (store.region, store.endpoint_url) == ("eu-west-1", "http://127.0.0.1:5000")


def test_errors_name_the_file_that_is_to_be_written(tmp_path: Path) -> None:
    """What makes the file invalid is reported at its own path, and the temporary one is gone."""
    with pytest.raises(ConfigErrors) as errors:
        load_draft(tmp_path / "config.yaml", text(replace(draft("file", {}), instance="Not A Name")))
    (error,) = errors.value.errors
    assert (error.file, error.path) == (str(tmp_path / "config.yaml"), "instance")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(tmp_path: Path) -> None:
    """A file, or a link to nowhere, that is there when the new one is complete stays, and no other file is left."""
    taken, link = tmp_path / "a.yaml", tmp_path / "b.yaml"
    taken.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path in (taken, link):
        with pytest.raises(FileExistsError):
            write_new(path, "new")
    assert taken.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]
    write_new(tmp_path / "c.yaml", "new")
    assert (tmp_path / "c.yaml").read_text() == "new"


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without links the file is created by itself, and still never written over another one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = tmp_path / "config.yaml"
    write_new(file, "new")
    with pytest.raises(FileExistsError):
        write_new(file, "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert file.read_text() == "new"
