"""What an update tells while it runs: its state file and its log, both without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.secret import Masker
from infrastructure.update import state as states
from infrastructure.update.state import FAILED, SUCCEEDED, State, Step


class Journal:
    """Also the ``Recorder`` of the update's ``Runner``."""

    def __init__(self, file: Path, state: State, log: Path, masker: Masker) -> None:
        self.file, self.state, self.masker = file, state, masker
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab", buffering=0)
        self._unfinished = b""
        self._phase = "prepare"

    def save(self) -> None:
        states.write(self.file, self.state)

    def about_to(self, what: str) -> None:
        """Note what would have to be put back, before it is changed."""
        if what not in self.state.did:
            self.state.did.append(what)
            self.save()

    @contextmanager
    def phase(self, name: str) -> Iterator[Step]:
        self._phase = name
        step = Step(name, started_at=states.now())
        self.state.steps.append(step)
        self.save()
        self.say(f"── {name}")
        try:
            yield step
        except BaseException as error:
            step.state, step.note = FAILED, self.masker.mask(str(error))[:1000]
            raise
        else:
            step.state = SUCCEEDED
        finally:
            step.ended_at = states.now()
            self.save()

    def started(self, argv: list[str]) -> object:
        step = Step(self._phase, argv=argv, started_at=states.now())
        self.state.steps.append(step)
        self.save()
        self.say(f"$ {' '.join(argv)}")
        return step

    def ended(self, handle: object, exit_code: int | None, note: str) -> None:
        if isinstance(handle, Step):
            handle.state = SUCCEEDED if exit_code == 0 else FAILED
            handle.exit_code, handle.note, handle.ended_at = exit_code, note, states.now()
            self.save()

    def hear(self, output: bytes) -> None:
        """Output of a command. It is kept back until its line is whole, so that no secret is torn and missed."""
        *lines, self._unfinished = (self._unfinished + output).split(b"\n")
        for line in lines:
            self._put(line)

    def say(self, text: str) -> None:
        if self._unfinished:
            self.hear(b"\n")
        for line in text.splitlines():
            self._put(line.encode())

    def close(self) -> None:
        if self._unfinished:
            self.hear(b"\n")
        self._log.close()

    def _put(self, line: bytes) -> None:
        text = self.masker.mask(line.decode("utf-8", "replace"))
        self._log.write(text.encode() + b"\n")
