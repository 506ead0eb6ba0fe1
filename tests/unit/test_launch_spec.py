"""The plans of confined programs, as values."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.confinement import FIRST_UID, Confinement, Launch, confined, instance_of, launch_argv
from infrastructure.launcher import OF_CHECKOUT
from infrastructure.processes import LaunchFiles, Program
from infrastructure.runner import Command, Runner
from infrastructure.supervisor.processes import configuration
from infrastructure.systemd import untrusted
from infrastructure.systemd.processes import unit

PLAN = untrusted.Plan((("InaccessiblePaths", "-/run/docker.sock"),), ())
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=80)


@given(st.lists(TEXTS, min_size=1), st.dictionaries(TEXTS, TEXTS, max_size=8))
def test_a_spec_holds_argv_and_environment_as_they_are(argv: list[str], env: dict[str, str]) -> None:
    spec = json.loads(Launch(tuple(argv), env, Confinement("group"), Path("/x")).text())
    assert spec["argv"] == argv
    assert spec["env"] == env
    assert spec["cwd"] == "/x"


@given(TEXTS)
def test_neither_a_value_nor_an_argument_shows_in_the_launchers_argv(value: str) -> None:
    shown = f"-value {value}"
    with confined(Confinement(""), ["program", shown], {"NAME": shown}, None) as (argv, env):
        assert shown not in argv
        assert shown not in env.values()
        assert Path(argv[-1]).stat().st_mode & 0o777 == 0o600
    assert not Path(argv[-1]).exists()


def test_the_launcher_starts_isolated_from_the_users_python() -> None:
    assert launch_argv(Path("/spec.json"))[1:3] == ["-I", "-S"]


def test_two_instances_share_no_group(tmp_path: Path) -> None:
    assert instance_of(tmp_path / "a") != instance_of(tmp_path / "b")


def program(log: str) -> Program:
    confinement = Confinement("group", uid=FIRST_UID + 1, memory_bytes=1 << 29, cpu_percent=150, max_processes=99)
    launch = Launch(("bun", "run", "start"), {"SECRET": "value"}, confinement, Path("/builds/1/2"), release_id=2)
    return Program("bakery-deployment-1-blue", launch, Path(log), grace_seconds=7)


def test_supervisords_file_names_the_spec_and_nothing_of_the_user() -> None:
    text = configuration(program("/logs/100%/release-2.log"), Path('/data/a "b" 5%/spec.json'))
    assert text.startswith("[program:bakery-deployment-1-blue]\n")
    assert "stopwaitsecs=7\n" in text
    assert "stdout_logfile=/logs/100%%/release-2.log\n" in text
    assert '"/data/a \\"b\\" 5%%/spec.json"' in text
    assert "SECRET" not in text


def test_a_unit_is_hardened_limited_and_holds_nothing_secret() -> None:
    text = unit(program("/var/log/bakery/release-2.log"), LaunchFiles(Path("/data/5%/$x")), OF_CHECKOUT, PLAN)
    for line in (
        "MemoryMax=536870912",
        "CPUQuota=150%",
        "TasksMax=99",
        "TimeoutStopSec=7",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "InaccessiblePaths=-/run/docker.sock",
        "Release=2",
        "PrivateTmp=yes",
        "StandardOutput=append:/var/log/bakery/release-2.log",
    ):
        assert f"\n{line}\n" in text
    assert '"/data/5%%/$x/bakery-deployment-1-blue.json"' in text
    assert "SECRET" not in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path) -> None:
    file = tmp_path / "bakery-deployment-1-blue.service"
    files = LaunchFiles(Path("/data/5%/$x"))
    file.write_text(unit(program("/var/log/x.log"), files, OF_CHECKOUT, PLAN))
    verify = Command(argv=("systemd-analyze", "verify", "--", str(file)))
    assert Runner().run(verify, check=False).output == ""
