"""What Vault and AWS allow for names, labels and tags, checked before anything is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from sync.config.schema.stores import AnyStore, AwsStore, VaultStore
from sync.core.marks import to_map
from sync.core.model import Marks

OURS = len(to_map(Marks(instance="", page_id="", app_id="", fingerprint="")))
"""How many marks every secret may carry beside its labels."""

# Vault's custom_metadata: 64 keys of 1 to 128 bytes, values of 1 to 512 bytes, printable (Vault's API documentation of
# KV version 2, measured on OpenBao 2.7, November 2026).
_VAULT_KEYS, _VAULT_KEY, _VAULT_VALUE = 64, 128, 512
# AWS tags: 50 a secret, keys of 1 to 128 and values of up to 256 characters (Secrets Manager's API reference of Tag,
# November 2026).
_AWS_TAGS, _AWS_KEY, _AWS_VALUE = 50, 128, 256
_AWS_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]+")
AWS_NAME_LENGTH = 512
_AWS_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


def label_faults(labels: Mapping[str, str], store: AnyStore) -> Iterator[tuple[str | None, str]]:
    """Return each label that a store would refuse, None for their number, with what is wrong."""
    if isinstance(store, VaultStore):
        if len(labels) + OURS > _VAULT_KEYS:
            yield None, f"more than {_VAULT_KEYS - OURS} labels, which is what custom_metadata of Vault leaves room for"
        for key, value in labels.items():
            fault = _vault_fault("label." + key, value) if key else "its name is empty"
            if fault:
                yield key, f"a label that custom_metadata of Vault does not hold: {fault}"
    if isinstance(store, AwsStore):
        if len(labels) + len(store.tags) + OURS > _AWS_TAGS:
            yield None, f"more than {_AWS_TAGS - OURS} labels and tags together, which is what AWS leaves room for"
        for key, value in labels.items():
            fault = aws_tag_fault("page-token-sync:label." + key, value) if key else "its name is empty"
            if fault:
                yield key, f"a label that is no tag of AWS: {fault}"


def _vault_fault(key: str, value: str) -> str | None:
    if len(key.encode()) > _VAULT_KEY:
        return f"its name is longer than {_VAULT_KEY - len('label.')} bytes"
    if not value:
        return "its value is empty"
    if len(value.encode()) > _VAULT_VALUE:
        return f"its value is longer than {_VAULT_VALUE} bytes"
    return None if (key + value).isprintable() else "it holds a character that cannot be printed"


def aws_tag_fault(key: str, value: str) -> str | None:
    """Return why AWS would refuse a tag; None where it would not."""
    if not 1 <= len(key) <= _AWS_KEY:
        return f"its name, with our prefix before it, is empty or longer than {_AWS_KEY} characters"
    if len(value) > _AWS_VALUE:
        return f"its value is longer than {_AWS_VALUE} characters"
    if not all(char in "_.:/=+-@" or unicodedata.category(char)[0] in "LZN" for char in key + value):
        return "it holds characters other than letters, digits, spaces and _ . : / = + - @"
    return None


def aws_name_fault(name: str) -> str | None:
    """Return why AWS would refuse the name of a secret; None where it would not."""
    if not _AWS_NAME.fullmatch(name):
        return "it holds characters other than letters, digits and / _ + = . @ -"
    return f"it is longer than {AWS_NAME_LENGTH} characters" if len(name) > AWS_NAME_LENGTH else None


def ends_like_arn(name: str) -> bool:
    """Tell whether a name ends as AWS's own suffix of an ARN does, so that a partial ARN finds the wrong secret."""
    return _AWS_SUFFIX.search(name) is not None
