"""storage.remote.secrets: which options are secrets, and what is taken out of texts."""

from __future__ import annotations

import pytest

from storage.remote.secrets import secrets_in, without_secrets


@pytest.mark.parametrize(
    "name",
    [
        "access_key", "access_key_id", "account_key", "api_key", "apikey", "auth", "authorization", "client_secret",
        "connection_string", "credential", "delegation", "encryption_key", "key", "pass", "passphrase", "passwd",
        "password", "pwd", "sas_token", "secret_id", "server_side_encryption_customer_key", "temp_url_key", "user_pass",
    ],
)  # fmt: skip
def test_the_options_that_are_secrets(name: str) -> None:
    for options in (
        {name: "hidden"},
        {name.upper(): b"hidden"},
        {"deep": [{name: ("hidden",)}]},
        {name: {"a": "hidden"}},
    ):
        assert secrets_in(options) == {"hidden"}


@pytest.mark.parametrize("name", ["bypass", "monkey", "passive", "author", "skip_signature", "endpoint", "keyboard"])
def test_the_options_that_are_none(name: str) -> None:
    assert secrets_in({name: "shown", "key": "", "token": True}) == frozenset()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:p@ss@host/x", "https://...@host/x"),
        ("sftp://bob:pa/ss@host/x", "sftp://...@host/x"),
        ("sftp://bob:p@s/s@host:22/x", "sftp://...@host:22/x"),
        ("sftp://bob:123@host", "sftp://...@host"),
        ("sftp://:pass@host", "sftp://...@host"),
        ("https://to@ken@host", "https://...@host"),
        ("s3://bucket:80/a@b http://host/@scope/name", "s3://bucket:80/a@b http://host/@scope/name"),
        ("http://[::1]:80/a@b, to me@home", "http://[::1]:80/a@b, to me@home"),
        ("'http://host:', me@home", "'http://host:', me@home"),
    ],
)
def test_passwords_are_taken_out_of_addresses(address: str, shown: str) -> None:
    assert without_secrets(f"GET {address} failed") == f"GET {shown} failed"
