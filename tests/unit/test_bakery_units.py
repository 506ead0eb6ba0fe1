"""Bakery's own units, as texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.background import PROCESSES
from infrastructure.systemd.bakery_units import (
    RELAY,
    RELAY_SOCKET,
    RENEWAL,
    RENEWAL_TIMER,
    SERVICES,
    TARGET,
    Place,
    postgres_of,
    units,
)
from infrastructure.systemd.directories import directories
from infrastructure.update.services import own_services

PLACE = Place(Path("/opt/bakery"), Path("/var/lib/bakery"), Path("/var/log/bakery"), Path("/srv/builds"))


def values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_belongs_to_the_target_and_is_started_again_for_ever(name: str) -> None:
    text = units(PLACE)[name]
    assert values(text, "PartOf") == [TARGET]
    assert name in values(units(PLACE)[TARGET], "Wants")[0].split()
    assert values(text, "Restart") == ["always"]
    assert values(text, "StartLimitIntervalSec") == ["0"]
    assert "$" not in text


def test_the_target_has_no_release_in_it() -> None:
    assert "deployment" not in units(PLACE)[TARGET].replace("deployments", "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_waits_for_the_servers_and_does_not_stop_with_them(name: str) -> None:
    text = units(PLACE)[name]
    assert {"postgresql.service", "redis-server@bakery.service"} <= set(values(text, "After")[0].split())
    assert values(text, "Requires") == []


@pytest.mark.parametrize("name", ["bakery.service", "bakery-beat.service"])
def test_web_and_beat_have_no_rights_over_the_host(name: str) -> None:
    text = units(Place(**{**vars(PLACE), "docker": True}))[name]
    assert values(text, "User") == ["bakery"]
    assert values(text, "CapabilityBoundingSet") == [""]
    assert values(text, "ProtectSystem") == ["strict"]
    # Where dumps are stored that people upload.
    assert values(text, "ReadWritePaths") == (["-/var/lib/bakery/uploads"] if name == "bakery.service" else [])
    assert values(text, "SupplementaryGroups") == []
    assert "-/run/docker.sock" in values(text, "InaccessiblePaths")[0].split()


def test_the_collector_writes_to_process_logs_alone_and_has_dockers_group_where_there_is_one() -> None:
    without, with_docker = (units(Place(**{**vars(PLACE), "docker": there}))["bakery-logs.service"] for there in (0, 1))
    assert values(without, "ReadWritePaths") == ["/var/log/bakery/processes"]
    assert values(without, "SupplementaryGroups") == ["bakery"]
    assert "-/run/docker.sock" in without
    assert values(with_docker, "SupplementaryGroups") == ["bakery docker"]
    assert "-/run/docker.sock" not in with_docker


def test_every_process_runs_in_exactly_one_unit() -> None:
    named = [
        name
        for text in units(PLACE).values()
        for line in values(text, "ExecStart")
        if "bakery.background" in line
        for name in line.partition("bakery.background")[2].split()
    ]
    assert sorted(named) == sorted(PROCESSES)


def test_a_systemd_that_can_waits_longer_each_time() -> None:
    assert "RestartMaxDelaySec" not in units(PLACE)["bakery.service"]
    assert "RestartMaxDelaySec=60\n" in units(Place(**{**vars(PLACE), "systemd": 257}))["bakery.service"]


def test_where_there_is_docker_the_databases_are_at_the_bridges_gateway_for_containers_alone() -> None:
    there = units(
        Place(**{**vars(PLACE), "docker": True, "docker_subnet": "10.9.0.0/16", "postgres": "127.0.0.1:5433"})
    )
    assert values(there[RELAY_SOCKET], "ListenStream") == ["10.9.0.1:5433"]
    assert values(there[RELAY_SOCKET], "FreeBind") == ["yes"]
    assert values(there[RELAY_SOCKET], "IPAddressAllow") == ["10.9.0.0/16"]
    assert values(there[RELAY], "ExecStart")[0].endswith(" 127.0.0.1:5433")
    assert "$" not in there[RELAY] + there[RELAY_SOCKET] + there[TARGET]
    assert RELAY_SOCKET in values(there[TARGET], "Wants")[0].split()


def test_the_relay_goes_on_while_bakery_is_stopped_or_updated(tmp_path: Path) -> None:
    there = units(Place(**{**vars(PLACE), "docker": True}))
    assert "PartOf" not in there[RELAY] + there[RELAY_SOCKET] and str(PLACE.code) not in there[RELAY]
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    assert RELAY not in own_services(tmp_path)


@pytest.mark.parametrize("place", [{"docker": False}, {"docker": True, "postgres": ""}])
def test_without_docker_or_with_postgresql_elsewhere_there_is_no_relay(place: dict[str, object]) -> None:
    texts = units(Place(**{**vars(PLACE), **place}))  # type: ignore[arg-type]
    assert not {RELAY, RELAY_SOCKET} & texts.keys()
    assert RELAY_SOCKET not in texts[TARGET]


def test_the_relay_leads_to_the_server_where_databases_are_made_when_it_is_on_this_host() -> None:
    assert postgres_of("postgresql://bakery_admin:x@localhost:5433/postgres") == "127.0.0.1:5433"
    assert postgres_of("postgresql:///bakery?host=/run/postgresql") == "127.0.0.1:5432"
    assert postgres_of("postgresql://bakery_admin:x@db.example.com/postgres") == ""


def test_a_path_that_would_be_two_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no spaces"):
        units(Place(**{**vars(PLACE), "data_dir": Path("/var/lib/my bakery")}))


def test_certificates_are_renewed_without_anything_of_bakerys() -> None:
    renewal = units(Place(**{**vars(PLACE), "certbot": "/opt/certbot/bin/certbot"}))[RENEWAL]
    (start,) = values(renewal, "ExecStart")
    assert " /opt/certbot/bin/certbot renew " in start
    assert "/opt/bakery" not in renewal
    assert "bakery.target" not in renewal + units(PLACE)[RENEWAL_TIMER].split("[Unit]")[1]
    assert "postgresql" not in renewal
    assert RENEWAL_TIMER in values(units(PLACE)[TARGET], "Wants")[0].split()


@pytest.mark.parametrize("name", ["bakery.service", "bakery-beat.service", "bakery-logs.service"])
def test_the_keys_of_certificates_are_hidden_from_who_does_not_install_them(name: str) -> None:
    hidden = values(units(PLACE)[name], "InaccessiblePaths")[0].split()
    assert {"-/var/lib/bakery/letsencrypt", "-/var/lib/bakery/nginx/certificates"} <= set(hidden)


@pytest.mark.parametrize("name", ["bakery.service", "bakery-beat.service", "bakery-logs.service"])
def test_the_workers_alone_know_the_way_to_all_databases(name: str) -> None:
    hidden = values(units(PLACE)[name], "InaccessiblePaths")[0].split()
    assert "-/opt/bakery/postgres-admin-url" in hidden
    assert "postgres-admin-url" not in units(PLACE)["bakery-worker.service"]


def test_backups_are_written_by_the_workers_and_given_out_by_the_web_process() -> None:
    place = Place(**{**vars(PLACE), "backups_dir": Path("/mnt/backups")})
    assert "-/mnt/backups" in values(units(place)["bakery-worker.service"], "ReadWritePaths")[0].split()
    assert "/mnt/backups" not in units(place)["bakery.service"]
    for name in ("bakery-beat.service", "bakery-logs.service"):
        assert "-/mnt/backups" in values(units(place)[name], "InaccessiblePaths")[0].split()
    assert directories(place)[Path("/mnt/backups")] == 0o2750
    assert directories(PLACE)[Path("/var/lib/bakery/backups")] == 0o2750


def test_an_update_neither_starts_nor_stops_a_renewal(tmp_path: Path) -> None:
    for name, text in units(PLACE).items():
        (tmp_path / name).write_text(text)
    assert sorted(own_services(tmp_path)) == sorted(SERVICES)
