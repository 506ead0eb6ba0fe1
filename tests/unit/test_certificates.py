from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.certificates.pem import Facts, read_pair
from infrastructure.certificates.store import CertificateStore
from infrastructure.errors import Refused
from tests.certificates import Authority, Issued, key_pem, pem, self_signed

AUTHORITY = Authority()
SHOP = AUTHORITY.issue("shop.example.com", "www.shop.example.com")


def refused(id: str, chain: bytes, key: bytes, **options: str) -> Refused:
    with pytest.raises(Refused) as caught:
        read_pair(chain, key, **options)
    assert caught.value.id == id, str(caught.value)
    return caught.value


def test_what_stands_in_a_certificate_is_read() -> None:
    pair = read_pair(SHOP.chain_pem, SHOP.key_pem)
    assert pair.names == ("shop.example.com", "www.shop.example.com")
    assert pair.issuer == "CN=Tests intermediate"
    assert int(pair.serial, 16) == SHOP.certificate.serial_number
    assert len(pair.fingerprint) == 64
    assert pair.not_before.tzinfo and pair.not_after > pair.not_before
    assert (pair.self_signed, pair.key) == (False, "EC P-256")
    assert "PRIVATE KEY" not in repr(pair)


def test_an_rsa_key_in_the_old_form_and_one_with_a_passphrase_are_taken() -> None:
    issued = AUTHORITY.issue("a.example.com", key=rsa.generate_private_key(65537, 2048))
    assert read_pair(issued.chain_pem, issued.key_pem).key == "RSA 2048"
    old = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert read_pair(issued.chain_pem, old).key_pem == issued.key_pem
    locked = key_pem(issued.key, b"open sesame")
    assert read_pair(issued.chain_pem, locked, passphrase="open sesame").key_pem == issued.key_pem
    refused("certificate.key-encrypted", issued.chain_pem, locked)
    refused("certificate.passphrase", issued.chain_pem, locked, passphrase="open barley")


def test_a_passphrase_that_is_not_needed_does_not_matter() -> None:
    assert read_pair(SHOP.chain_pem, SHOP.key_pem, passphrase="none needed").names


def test_a_chain_is_put_in_order_without_its_root_and_without_doubles() -> None:
    mixed = pem(AUTHORITY.root, AUTHORITY.intermediate, SHOP.certificate, AUTHORITY.intermediate)
    assert read_pair(mixed, SHOP.key_pem).chain_pem == SHOP.chain_pem
    windows = SHOP.chain_pem.replace(b"\n", b"\r\n")
    assert read_pair(b"some words\n" + windows, SHOP.key_pem.replace(b"\n", b"\r\n")).chain_pem == SHOP.chain_pem


def test_a_chain_of_somebody_elses_and_a_missing_one_are_refused() -> None:
    refused("certificate.chain", SHOP.chain_pem + pem(Authority("Others").intermediate), SHOP.key_pem)
    refused("certificate.chain", pem(SHOP.certificate), SHOP.key_pem)


def test_one_that_signed_itself_is_taken_and_said_to_have() -> None:
    own = self_signed("own.example.com")
    assert read_pair(own.chain_pem, own.key_pem).self_signed


def test_a_key_of_another_certificate_is_refused() -> None:
    refused("certificate.mismatch", SHOP.chain_pem, AUTHORITY.issue("shop.example.com").key_pem)


def test_an_expired_one_and_one_of_the_future_are_refused_and_read_where_that_is_asked() -> None:
    old = AUTHORITY.issue("old.example.com", days=(-90, -1))
    refused("certificate.expired", old.chain_pem, old.key_pem)
    assert read_pair(old.chain_pem, old.key_pem, allow_expired=True).names == ("old.example.com",)
    coming = AUTHORITY.issue("coming.example.com", days=(2, 90))
    refused("certificate.not-yet-valid", coming.chain_pem, coming.key_pem)


def test_what_browsers_do_not_take_is_refused() -> None:
    nobody, client = AUTHORITY.issue(), AUTHORITY.issue("a.example.com", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    refused("certificate.names", nobody.chain_pem, nobody.key_pem)
    refused("certificate.not-for-servers", client.chain_pem, client.key_pem)
    short = rsa.generate_private_key(65537, 1024)
    refused("certificate.key-kind", SHOP.chain_pem, key_pem(short))
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "Ed25519" in refused("certificate.key-kind", SHOP.chain_pem, edwards).message


def test_too_much_is_refused() -> None:
    refused("certificate.too-large", SHOP.chain_pem + b"\n" * 131_072, SHOP.key_pem)
    refused("certificate.too-large", SHOP.chain_pem * 6, SHOP.key_pem)
    refused("certificate.too-large", SHOP.chain_pem, SHOP.key_pem + b"\n" * 131_072)


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_words(garbage: bytes) -> None:
    for text in (garbage, b"-----BEGIN CERTIFICATE-----\n" + garbage + b"\n-----END CERTIFICATE-----\n"):
        refused("certificate.not-pem", text, SHOP.key_pem)
    for text in (garbage, b"-----BEGIN PRIVATE KEY-----\n" + garbage + b"\n-----END PRIVATE KEY-----\n"):
        refused("certificate.key-not-pem", SHOP.chain_pem, text)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("Example.com", True),
        ("a.example.com", True),
        ("a.b.example.com", False),
        ("*.example.com", True),
        ("com", False),
    ],
)
def test_a_wildcard_covers_one_label(name: str, covered: bool) -> None:
    wide = AUTHORITY.issue("example.com", "*.example.com")
    assert read_pair(wide.chain_pem, wide.key_pem).covers(name) is covered


def install(store: CertificateStore, issued: Issued, name: str = "deployment-7") -> str:
    return store.install(name, read_pair(issued.chain_pem, issued.key_pem, allow_expired=True))


def test_an_installed_pair_is_the_current_one_and_the_one_before_is_kept(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path / "certificates", os.getgid())
    old, first, second = (AUTHORITY.issue("a.example.com", days=(-9, end)) for end in (-1, 1, 2))
    for age, each in enumerate((old, first, second, second)):
        fingerprint = install(store, each)
        os.utime(store.root / "deployment-7" / fingerprint, (0, 1_000 + age))
        found = store.current("deployment-7")
        assert isinstance(found, Facts)
        assert found.fingerprint == fingerprint
        assert found.not_after == each.certificate.not_valid_after_utc
    folder = store.root / "deployment-7"
    assert (folder / "current").is_symlink()
    assert len([path for path in folder.iterdir() if path.name != "current"]) == 2
    assert store.names() == ["deployment-7"]
    modes = [path.stat().st_mode & 0o777 for path in (store.root, folder, folder / "current" / "key.pem")]
    assert modes == [0o750, 0o750, 0o640]
    store.remove("deployment-7")
    store.remove("deployment-7")
    assert (store.current("deployment-7"), store.names()) == (None, [])


def test_files_that_are_broken_are_no_certificate_and_are_replaced(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path, None)
    install(store, SHOP)
    key = store.root / "deployment-7" / "current" / "key.pem"
    for broken in (b"", b"\xff\xfe", AUTHORITY.issue("b.example.com").key_pem):
        key.write_bytes(broken)
        assert store.current("deployment-7") is None
        install(store, SHOP)
        assert store.current("deployment-7")
    key.unlink()
    assert store.current("deployment-7") is None
    assert store.current("panel") is None


@pytest.mark.parametrize("name", ["", "..", "../x", "deployment-0", "deployment-7/..", "Panel", "panel\n"])
def test_only_names_of_our_own_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not usable"):
        CertificateStore(tmp_path, None).current(name)
