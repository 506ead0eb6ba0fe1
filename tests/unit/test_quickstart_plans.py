from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.quickstart import debian, environment_file, layout, postgres, programs, redis_server, supervisord
from infrastructure.quickstart.environment_file import Services
from infrastructure.quickstart.layout import Account, Layout
from infrastructure.quickstart.options import Options, parse
from infrastructure.quickstart.programs import Postgres, Program, Tools
from infrastructure.secret import Secret

TOOLS = Tools(
    git=Path("/usr/bin/git"),
    postgres=Postgres(Path("/pg/bin"), 15),
    redis=Program(Path("/usr/bin/redis-server")),
    nginx=Program(Path("/data/tools/nginx"), "/data/tools/lib"),
    bun=Path("/opt/bun"),
)
REACHED = Services(5555, Secret("pg-password"), 6666, Secret("redis-password"))
PLACE = Layout(Path("/checkout"), Path("/data"))
POSTGRES_ACCOUNT = Account("postgres", 101, 104)


def plan(old: dict[str, str], **options: int) -> dict[str, str]:
    return environment_file.plan(PLACE, Options(**options), TOOLS, old)


def test_the_options_have_the_documented_defaults() -> None:
    assert parse([]) == Options(
        port=4100, http_port=8080, https_port=None, data_dir=None, demo=True, detach=False, stop=False, check=False
    )


@pytest.mark.parametrize(
    "argv", [["--port", "0"], ["--port", "x"], ["--port", "70000"], ["--port=80", "--http-port=80"]]
)
def test_a_port_that_cannot_be_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2


def test_a_second_start_keeps_every_secret_and_what_a_person_added() -> None:
    first = plan({})
    second = plan({**first, "CERTBOT_EMAIL": "alice@example.com"}, port=4105)
    for name in ("SESSION_SECRET", "ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL", "BAKERY_PORT_RANGE"):
        assert second[name] == first[name], name
    assert second["CERTBOT_EMAIL"] == "alice@example.com"
    assert second["BAKERY_BASE_URL"] == "http://localhost:4105"


def test_two_instances_have_secrets_and_port_ranges_of_their_own() -> None:
    first, second = plan({}), plan({}, port=4101)
    for name in ("SESSION_SECRET", "ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL", "BAKERY_PORT_RANGE"):
        assert first[name] != second[name], name


def test_an_address_that_a_person_has_set_stays() -> None:
    assert plan({"BAKERY_BASE_URL": "https://bakery.example.com"})["BAKERY_BASE_URL"] == "https://bakery.example.com"


def test_the_environment_file_is_its_owners_alone_and_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "bakery.env"
    values = plan({})
    environment_file.write(file, values)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert environment_file.read(file) == values
    assert [path.name for path in tmp_path.iterdir()] == ["bakery.env"]


def test_postgresql_never_runs_as_root() -> None:
    command = postgres.initdb(TOOLS.postgres, Path("/data/postgres"), Path("/tmp/password"), POSTGRES_ACCOUNT)
    assert command.argv[:5] == ("setpriv", "--reuid=101", "--regid=104", "--clear-groups", "--")
    assert "--auth=scram-sha-256" in command.argv
    as_user = postgres.initdb(TOOLS.postgres, Path("/data/postgres"), Path("/tmp/password"), None)
    assert as_user.argv[0] == "/pg/bin/initdb"


def test_postgresql_and_redis_listen_on_loopback_alone() -> None:
    assert "listen_addresses = '127.0.0.1'\n" in postgres.settings_text(5555)
    configuration = redis_server.configuration(PLACE, REACHED)
    assert "bind 127.0.0.1\n" in configuration
    assert "requirepass redis-password\n" in configuration


def supervisor_text(tools: Tools = TOOLS, place: Layout = PLACE) -> str:
    listen = ("127.0.0.1", 4100)
    all_programs = supervisord.programs(
        place, tools, REACHED, POSTGRES_ACCOUNT, Path("/checkout/.venv/bin/python"), listen
    )
    return supervisord.configuration(place, all_programs, is_root=True, files=4096)


def test_supervisord_runs_each_part_of_bakery_and_includes_the_releases() -> None:
    text = supervisor_text()
    for name in (*supervisord.SERVERS, *supervisord.BAKERY):
        assert f"[program:{name}]" in text
    assert "files=/data/supervisor/conf.d/*.ini" in text


def test_containers_reach_postgresql_where_there_is_docker_and_only_there() -> None:
    listen = ("127.0.0.1", 4100)
    python = Path("/checkout/.venv/bin/python")
    without, there = (
        {one.name: one for one in supervisord.programs(PLACE, TOOLS, REACHED, None, python, listen, containers=subnet)}
        for subnet in ("", "10.9.0.0/16")
    )
    assert supervisord.RELAY not in without
    port = REACHED.postgres_port
    argv = there[supervisord.RELAY].argv
    assert argv[-3:] == (f"10.9.0.1:{port}", f"127.0.0.1:{port}", "10.9.0.0/16")


def test_no_secret_stands_in_supervisords_configuration() -> None:
    text = supervisor_text()
    assert "pg-password" not in text
    assert "redis-password" not in text


def test_a_percent_sign_in_a_path_is_not_expanded() -> None:
    text = supervisor_text(place=Layout(Path("/check%out"), Path("/da%ta")))
    assert "directory=/check%%out" in text
    assert "/da%ta" not in text.replace("%%", "")


def test_a_library_path_is_given_to_the_program_that_needs_it_alone() -> None:
    text = supervisor_text(replace(TOOLS, redis=Program(Path("/data/tools/redis-server"), "/data/tools/lib")))
    sections = {part.split("]")[0]: part for part in text.split("[program:")[1:]}
    assert 'LD_LIBRARY_PATH="/data/tools/lib"' in sections["redis"]
    assert "LD_LIBRARY_PATH" not in sections["web"]


def test_a_checkout_that_others_cannot_reach_keeps_its_data_elsewhere_as_root(tmp_path: Path) -> None:
    checkout = tmp_path / "private" / "bakery"
    checkout.mkdir(parents=True)
    for part in (tmp_path, *tmp_path.parents):
        if not part.stat().st_mode & 0o001:
            pytest.skip("the directory of temporary files is private itself")
    assert layout.layout_for(None, is_root=True, checkout=checkout).data == checkout / ".bakery"
    checkout.parent.chmod(0o700)
    assert layout.layout_for(None, is_root=True, checkout=checkout).data.parent == layout.ROOT_FALLBACK
    assert layout.layout_for(None, is_root=False, checkout=checkout).data == checkout / ".bakery"


def test_the_packages_to_unpack_are_read_from_apts_simulation() -> None:
    simulation = (
        "Reading…\nInst liblzf1 (3.6-3 Debian [amd64])\nInst redis-server (5:7.0 Debian [amd64]) []\nConf liblzf1\n"
    )
    assert debian.needed(simulation) == ["liblzf1", "redis-server"]


def test_a_cluster_is_opened_by_its_own_version_alone(tmp_path: Path) -> None:
    assert programs.data_major(tmp_path) is None
    (tmp_path / "PG_VERSION").write_text("15\n")
    assert programs.data_major(tmp_path) == 15
