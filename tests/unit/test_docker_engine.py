"""What is concluded from an engine's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakery.doctor.docker import address_findings, engine_findings
from bakery.doctor.finding import Finding
from infrastructure.docker.engine import negotiated
from infrastructure.docker.leftovers import Notes, StepImages, own_records, spare_images
from infrastructure.errors import HostProblem

# As Docker 20.10's classic builder prints it.
OUTPUT = b"""Sending build context to Docker daemon  3.072kB\r
Step 1/5 : FROM alpine AS maker
 ---> aaaaaaaaaaaa
Step 2/5 : COPY . .
 ---> Using cache
 ---> bbbbbbbbbbbb
Step 3/5 : RUN make
 ---> Running in 0123456789ab
some output
 ---> not an id
Removing intermediate container 0123456789ab
 ---> cccccccccccc
Step 4/5 : FROM alpine
 ---> aaaaaaaaaaaa
Step 5/5 : COPY --from=maker /x /x
 ---> dddddddddddd
Successfully built dddddddddddd
Successfully tagged bakery/deployment-1:release-1
"""


@pytest.mark.parametrize(
    ("engine", "spoken"), [("1.41", "1.41"), ("1.44", "1.44"), ("1.45", "1.45"), ("1.52", "1.45"), ("1.100", "1.45")]
)
def test_engine_and_sdk_speak_the_newest_version_that_both_know(engine: str, spoken: str) -> None:
    assert negotiated(engine, "1.45") == spoken


def test_an_engine_before_20_10_is_refused_in_words() -> None:
    with pytest.raises(HostProblem) as caught:
        negotiated("1.40", "1.45")
    assert caught.value.id == "docker.too-old"
    assert "20.10" in caught.value.message


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_images_of_our_steps_are_told_from_those_that_were_there(size: int) -> None:
    steps = StepImages()
    for start in range(0, len(OUTPUT), size):
        steps.hear(OUTPUT[start : start + size])
    assert steps.made == {"cccccccccccc", "dddddddddddd"}


def image(id: str, parent: str = "", *, size: int = 0, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"Id": id, "ParentId": parent, "Size": size, "RepoTags": list(tags) or None, "Created": 0}


def test_what_a_kept_image_or_somebody_elses_is_made_of_is_no_leftover() -> None:
    listed = [
        image("base", size=100, tags=("alpine:latest",)),
        image("kept-step", "base", size=150),
        image("kept", "kept-step", size=160, tags=("bakery/deployment-1:release-1",)),
        image("step", "base", size=130),
        image("last-step", "step", size=170),
        image("shared-step", "base", size=120),
        image("a-strangers", "shared-step", size=121),
        image("a-strangers-step", "base", size=300),
    ]
    ours = {"kept-step", "kept", "step", "last-step", "shared-step", "long-gone"}
    assert spare_images(listed, ours) == {"step": 30, "last-step": 40}


def test_buildkits_records_are_ours_when_nobody_else_made_or_used_them() -> None:
    notes = Notes(windows=[(1_000_000.0, 1_000_060.0)])
    during, before = "1970-01-12T13:47:00.5Z", "1970-01-12T10:00:00Z"
    record = {"ID": "ours", "CreatedAt": during, "LastUsedAt": during, "Size": 1, "InUse": False, "Shared": False}
    others = [
        {**record, "ID": "older", "CreatedAt": before},
        {**record, "ID": "used-by-others", "LastUsedAt": "1970-01-13T00:00:00Z"},
        {**record, "ID": "in-use", "InUse": True},
        {**record, "ID": "part-of-an-image", "Shared": True},
    ]
    never_used = {**record, "ID": "never-used", "LastUsedAt": None}
    assert [one["ID"] for one in own_records([record, *others, never_used], notes)] == ["ours", "never-used"]


def test_notes_that_cannot_be_read_are_no_notes(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    assert Notes.read(file) == Notes()
    file.write_text('{"images": 3')
    assert Notes.read(file) == Notes()
    Notes({"sha256:a"}, [(1.0, 2.0)]).write(file)
    assert Notes.read(file) == Notes({"sha256:a"}, [])  # the window is older than any cache is kept


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.verdict.value for finding in findings}


def test_the_doctor_names_an_old_engine_and_a_poor_storage_driver() -> None:
    old = {"Version": "19.03.15", "ApiVersion": "1.40"}
    assert verdicts(engine_findings(old, {})) == {"Docker": "wrong"}
    new = {"Version": "29.1.0", "ApiVersion": "1.52"}
    assert verdicts(engine_findings(new, {"Driver": "vfs"}))["Docker storage"] == "warning"
    for driver in ("overlay2", "overlayfs", "btrfs"):
        found = verdicts(engine_findings(new, {"Driver": driver}))
        assert (found["Docker"], found["Docker storage"]) == ("ok", "ok")


def network(name: str, subnet: str) -> dict[str, Any]:
    return {"Name": name, "Id": "0123456789abcdef", "IPAM": {"Config": [{"Subnet": subnet}]}}


@pytest.mark.parametrize(
    ("networks", "host", "verdict"),
    [
        ([], {"eth0": "192.168.1.0/24"}, "ok"),
        ([], {"eth0": "10.207.3.0/24"}, "wrong"),
        ([], {"tun0 to 10.0.0.0": "10.0.0.0/8"}, "wrong"),
        ([network("shop", "10.207.0.0/20")], {}, "wrong"),
        ([network("bakery", "10.207.0.0/16")], {"br-0123456789ab": "10.207.0.0/16"}, "ok"),
        ([network("bakery", "10.207.0.0/16")], {"br-0123456789ab to 10.207.0.0": "10.207.0.0/16"}, "ok"),
        ([network("bakery", "10.207.0.0/16")], {"tun0": "10.0.0.0/8"}, "warning"),
        ([network("bakery", "10.99.0.0/16")], {}, "wrong"),
        ([{"Name": "host", "Id": "1", "IPAM": {"Config": None}}], {"lo": "127.0.0.0/8"}, "ok"),
    ],
)
def test_the_doctor_finds_addresses_that_others_have(
    networks: list[dict[str, Any]], host: dict[str, str], verdict: str
) -> None:
    assert verdicts(address_findings("10.207.0.0/16", networks, host)) == {"Docker addresses": verdict}
