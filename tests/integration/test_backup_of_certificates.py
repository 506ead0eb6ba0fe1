"""Certificates on their way from one host to another, inside a backup of the panel."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from bakery.panel import certificates
from deployments.services import host
from domains.models import Certificate
from domains.services import authority
from infrastructure.certificates.pem import read_pair
from infrastructure.errors import Problem
from tests.certificates import Authority

pytestmark = pytest.mark.django_db
NAMES = ("panel.example.com", "www.panel.example.com")
Move = Callable[[Path], None]


@pytest.fixture
def move_to(settings: Any) -> Iterator[Move]:
    """Go on as the Bakery whose data are there."""

    def go(data: Path) -> None:
        (data / "nginx").mkdir(parents=True, exist_ok=True)
        settings.BAKERY = replace(django_settings.BAKERY, data_dir=data, web_server="private")
        host.router.cache_clear()

    yield go
    host.router.cache_clear()


def lineage(name: str, chain: bytes, key: bytes) -> None:
    """As Certbot leaves it."""
    place = authority.place()
    place.prepare()
    archive = place.config / "archive" / name
    for folder in (archive, place.live(name), place.renewal(name).parent):
        folder.mkdir(parents=True, exist_ok=True)
    for part, text in (("fullchain", chain), ("privkey", key)):
        (archive / f"{part}1.pem").write_bytes(text)
        (archive / f"{part}1.pem").chmod(0o600)
        (place.live(name) / f"{part}.pem").symlink_to(f"../../archive/{name}/{part}1.pem")
    hook = f"python3 {place.hook} --store {host.router().certificates.root} --group 4711"
    place.renewal(name).write_text(f"archive_dir = {archive}\n[renewalparams]\nrenew_hook = {hook}\n")


def test_what_is_served_and_what_renews_it_move_with_the_panel(tmp_path: Path, move_to: Move) -> None:
    old, new, between = tmp_path / "old", tmp_path / "new", tmp_path / "between"
    between.mkdir(mode=0o700)
    issued = Authority().issue(*NAMES)
    pair = read_pair(issued.chain_pem, issued.key_pem)
    move_to(old)
    row = Certificate.objects.create(names=list(NAMES), fingerprint=pair.fingerprint, not_after=pair.not_after)
    host.router().certificates.install("panel", pair)
    lineage("panel", issued.chain_pem, issued.key_pem)
    gathered = certificates.collect(between)

    move_to(new)
    assert certificates.bring_back(gathered) == []
    served = host.router().certificates.current("panel")
    assert served is not None
    assert served.fingerprint == pair.fingerprint
    place = authority.place()
    assert (place.live("panel") / "privkey.pem").read_bytes() == issued.key_pem
    keys = list(place.config.rglob("privkey1.pem"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in keys] == [0o600]
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o700
    text = place.renewal("panel").read_text()
    assert str(old) not in text
    assert f"{place.hook} --store {host.router().certificates.root}" in text
    assert place.hook.exists()
    row.refresh_from_db()
    assert row.fingerprint == pair.fingerprint


def test_a_certificate_that_did_not_come_along_is_issued_anew(tmp_path: Path, move_to: Move) -> None:
    """An older Bakery's backup has rows at most."""
    move_to(tmp_path)
    here = Authority().issue(*NAMES)
    host.router().certificates.install("panel", read_pair(here.chain_pem, here.key_pem))
    row = Certificate.objects.create(names=list(NAMES), fingerprint="0" * 64)
    assert certificates.bring_back(None) == []
    assert host.router().certificates.names() == []
    row.refresh_from_db()
    assert (row.fingerprint, row.names) == ("", [])


@pytest.mark.parametrize(
    ("name", "link"),
    [("../outside", ""), ("/outside", ""), ("certbot/config/x", "../../../outside"), ("x", "/outside")],
)
def test_nothing_is_unpacked_to_another_place(tmp_path: Path, move_to: Move, name: str, link: str) -> None:
    move_to(tmp_path / "data")
    file = tmp_path / "certificates.tar"
    with tarfile.open(file, "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = (tarfile.SYMTYPE, link) if link else (tarfile.REGTYPE, "")
        tar.addfile(entry, io.BytesIO())
    with pytest.raises(Problem, match="none of Bakery's"):
        certificates.bring_back(file)
    assert not (tmp_path / "outside").exists()
