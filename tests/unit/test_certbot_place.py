"""Certbot's directory."""

from __future__ import annotations

import stat
from pathlib import Path

from infrastructure.certbot.place import Place


def test_the_timers_environment_has_the_way_out_and_the_credentials_that_are_there(tmp_path: Path) -> None:
    place = Place(tmp_path / "letsencrypt")
    place.prepare()
    credentials = place.credentials("deployment-7")
    credentials.write_text("key")
    place.put_environment({"HTTPS_PROXY": "http://proxy:3128", "AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    place.put_environment({"SSL_CERT_FILE": 'a "quoted" \\ path', "TWO": "lines\nof text"})
    assert place.environment.read_text().splitlines() == [
        f'AWS_SHARED_CREDENTIALS_FILE="{credentials}"',
        'SSL_CERT_FILE="a \\"quoted\\" \\\\ path"',
    ]
    assert stat.S_IMODE(place.environment.stat().st_mode) == 0o600
    credentials.unlink()
    place.put_environment({})
    assert place.environment.read_text() == ""
