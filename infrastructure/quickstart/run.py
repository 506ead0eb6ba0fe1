"""One run of the quickstart: start, tell, and stay until it is asked to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.quickstart import check, demo, environment_file, processes, stop
from infrastructure.quickstart.django import Django
from infrastructure.quickstart.layout import ROOT_FALLBACK, Layout, layout_for
from infrastructure.quickstart.options import Options
from infrastructure.quickstart.start import PYTHON, only_one_start, start
from infrastructure.report import Report
from infrastructure.runner import Runner

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: Options, place: Layout) -> int:
    report = Report()
    if processes.running_supervisord(place):
        say_running(place, report)
        return 0
    end_leftovers(place, report)  # first: they hold the ports
    check.refuse_what_cannot_work(options, place)
    if ROOT_FALLBACK in place.data.parents:
        report.say(f"Other accounts cannot reach into {place.checkout}, so the data is kept in {place.data}.")
    with only_one_start(place):
        for number in ENDING:
            signal.signal(number, _interrupt)
        try:
            password = start(options, place, report, Runner())
            if options.demo:
                demo.deploy(place, Django(place, Runner(), PYTHON), options, report)
        except BaseException as error:
            _stop_after(error, place, report)
            if isinstance(error, KeyboardInterrupt):
                return 130
            raise
    say_ready(options, place, report, password)
    return 0 if options.detach else stay(place, report)


def end_leftovers(place: Layout, report: Report) -> None:
    """What a supervisord that was killed has left behind."""
    leftovers = processes.of_instance(place)
    if leftovers:
        with report.step(f"Ending {len(leftovers)} processes that an earlier start left behind"):
            stop.end_all(leftovers)


def stop_instance(place: Layout) -> int:
    report = Report()
    if not place.data.exists() or not processes.of_instance(place):
        report.say(f"Nothing runs in {place.data}.")
        _say_where_else(place, report)
        return 0
    with report.step("Stopping") as step:
        step.note = f"{stop.stop(place)} processes ended"
    report.say(f"All data stays in {place.data}.")
    return 0


def stay(place: Layout, report: Report) -> int:
    """Until Ctrl-C, or until supervisord is gone."""
    try:
        while True:
            leader = processes.running_supervisord(place)
            if leader is None:
                break
            time.sleep(0.5)
    except KeyboardInterrupt:
        _stop_after(KeyboardInterrupt(), place, report)
        return 0
    if place.session.exists():  # killed: a stop from elsewhere would have removed it
        with _deaf():
            stop.stop(place)
        raise HostProblem(
            "quickstart.supervisord-gone", "supervisord ended unexpectedly; the rest was stopped.", "Start again."
        )
    report.say("Stopped from elsewhere.")
    return 0


def say_running(place: Layout, report: Report) -> None:
    values = environment_file.read(place.environment_file)
    report.say(f"Bakery is already running: {values.get('BAKERY_BASE_URL', '')} (data in {place.data}).")
    report.say(f"Stop it with {how_to_stop(place)}.")


def say_ready(options: Options, place: Layout, report: Report, password: str | None) -> None:
    values = environment_file.read(place.environment_file)
    email = values.get("BAKERY_ADMIN_EMAIL", "")
    report.say(f"\nBakery is ready after {report.total():.0f} s.\n")
    report.say(f"  Open       {values['BAKERY_BASE_URL']}")
    report.say(f"  E-mail     {email}")
    if password:
        report.say(f"  Password   {password}    (shown this once; it is stored nowhere in readable form)")
    else:
        report.say("  Password   the one of the first start")
        report.say(f"             forgotten? .venv/bin/python manage.py create_admin {email} --reset")
    if options.demo:
        report.say(f"  Sample     {demo.address(options)}")
    report.say("\nWhat to try next")
    report.say("  .venv/bin/python manage.py status")
    report.say("  .venv/bin/python manage.py create_deployment shop --repo https://github.com/OWNER/NAME.git")
    report.say("  .venv/bin/python manage.py deploy shop")
    report.say(f"\nData and logs are in {place.data}.")
    ending = f"{how_to_stop(place)} ends it." if options.detach else "Ctrl-C stops everything."
    report.say(ending)


def how_to_stop(place: Layout) -> str:
    """The command, with the directory where it would look for another one by itself."""
    usual = layout_for(None, is_root=os.geteuid() == 0, checkout=place.checkout).data
    chosen = "" if place.data == usual else f" --data-dir {place.data}"
    return f"infrastructure/scripts/quickstart.sh --stop{chosen}"


def _say_where_else(place: Layout, report: Report) -> None:
    try:
        listed = Layout(place.checkout, Path(place.pointer.read_text().strip()).parent)
    except OSError:
        return
    if listed.data != place.data and processes.of_instance(listed):
        report.say(f"This checkout's instance runs in {listed.data}. Stop it with {how_to_stop(listed)}.")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop_after(error: BaseException, place: Layout, report: Report) -> None:
    with _deaf():
        if isinstance(error, KeyboardInterrupt):
            report.say("")
        if processes.of_instance(place):
            with report.step("Stopping") as step:
                step.note = f"{stop.stop(place)} processes ended; all data stays"


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """A second Ctrl-C must not interrupt the clean-up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
