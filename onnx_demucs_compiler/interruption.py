"""Signals that end the program: an orderly exit, and one line.

Python alone raises ``KeyboardInterrupt`` between any two instructions, and where that is inside an import or
a finaliser, what is interrupted prints a traceback or swallows it. Here the exception waits until no import
is under way, and is raised again where a finaliser swallowed it.
"""

from __future__ import annotations

import signal
import sys
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
POLL = 0.01
"""Seconds between two looks at whether an import is still under way."""
IMPATIENT = 2.0
"""Seconds after which a further signal counts as one more, and not as an echo of the first."""


class Interrupted(BaseException):
    """A signal asks the program to end.

    No ``Exception``, and nothing that click turns into ``Aborted!``.
    """


class Interruptible:
    """A context that a signal ends, in one line.

    The exit code is 128 plus the signal's number.
    """

    def __enter__(self) -> None:
        """Take over the signals; an ignored SIGINT stays ignored.

        Shells ignore it for jobs in the background.
        """
        self._base: FrameType | None = sys._getframe(1)
        self._number: int | None = None
        self._raised = -IMPATIENT
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._on_unraisable
        taken = [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._on_signal) for number in taken}
        if hasattr(signal, "SIGALRM"):
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Restore the signals; after one, blame it for whatever ended the body."""
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._hook
        self._base = None
        if self._number is None or kind is None or isinstance(error, SystemExit):
            return
        print(f"error: {NAMES[signal.Signals(self._number)]}; no partial file was left", file=sys.stderr)  # noqa: T201
        raise SystemExit(128 + self._number) from None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if monotonic() - self._raised > IMPATIENT:
            self._number = number
            self._raise_outside_imports(frame)

    def _on_alarm(self, _number: int, frame: FrameType | None) -> None:
        self._raise_outside_imports(frame)

    def _raise_outside_imports(self, frame: FrameType | None) -> None:
        if self._is_importing(frame) and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, POLL)
            return
        self._raised = monotonic()
        raise Interrupted

    def _is_importing(self, frame: FrameType | None) -> bool:
        while frame is not None and frame is not self._base:
            if frame.f_globals.get("__name__") == "importlib._bootstrap":
                return True
            frame = frame.f_back
        return False

    def _on_unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            self._hook(unraisable)
        elif hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, POLL)


def ignore() -> None:
    """Ignore further signals while the interpreter shuts down."""
    for number in NAMES:
        signal.signal(number, signal.SIG_IGN)
