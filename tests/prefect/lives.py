"""
Short lives of `latent run main`: `python -m tests.prefect.lives KILLS SEED`, in the folder of a workspace.

Imports take longer than such a life, so they are done once, and each life is a fork. A signal ends it at a
random moment, most often SIGKILL, while others go on. The last line printed tells how each life went.

Its rows touch the file `working-PID`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random

from latent.cli import main as latent

AT_ONCE = 3
"""Lives at the same time: they share rows in flight, and one inherits what another held."""
SIGNALS = [signal.SIGKILL] * 8 + [signal.SIGTERM, signal.SIGINT]
MODULES = Path("modules.txt")
PATIENCE_SECONDS = 15.0
"""How long a life may take to stop when it is asked to; then it is killed, and counts as one that hung."""


@dataclass
class Life:
    """One run, from its fork to its end."""

    pid: int
    number: int
    """The signal that is to end it."""
    delay: float
    """Seconds from its start, or from its first row, to that signal."""
    due: float | None
    """When to send it, in monotonic seconds; None until the first row."""
    sent: float | None = None
    status: int | None = None
    """As `os.waitpid` gives it."""
    stopped_after: float | None = None
    """Seconds from the signal to the end."""
    hung: bool = False

    @property
    def cut_short(self) -> bool:
        """Whether the signal came in time: the run did not end by itself."""
        return self.status is not None and self.status != 0 and self.sent is not None

    def tend(self, now: float) -> None:
        """Send the signal when it is due, and see whether the life has ended."""
        if self.due is None and Path(f"working-{self.pid}").exists():
            self.due = now + self.delay
        if self.sent is None and self.due is not None and now >= self.due:
            self.sent = now
            os.kill(self.pid, self.number)
        elif self.sent is not None and now > self.sent + PATIENCE_SECONDS and not self.hung:
            self.hung = True
            os.kill(self.pid, signal.SIGKILL)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = status
            self.stopped_after = None if self.sent is None else now - self.sent


def fork(*arguments: str) -> int:
    """The process id of a `latent run main` with these arguments; it leaves its modules' names."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        log = os.open("lives.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["latent", "run", "main", *arguments]
        latent()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        MODULES.write_text("\n".join(sys.modules))
        sys.stdout.flush()
        os._exit(code)


def begin(random: Random) -> Life:
    """Start a life, and draw how it ends and when: one in five while it starts, the others at work."""
    number, delay, starts = random.choice(SIGNALS), random.uniform(0.0, 0.8), random.random() < 0.2
    return Life(fork(), number, delay, due=time.monotonic() + delay if starts else None)


def import_like_a_first_life() -> None:
    """Import what a run imports, and start nothing: threads do not come through a fork."""
    _, status = os.waitpid(fork("-p", "rows=4"), 0)
    if status != 0:
        sys.exit(f"The first run ended with {status}:\n{Path('lives.log').read_text()}")
    for name in MODULES.read_text().splitlines():
        with suppress(ImportError):
            import_module(name)


def main(kills: int, seed: int) -> None:
    """Let so many lives be cut short, and print what became of each."""
    random, lives = Random(seed), []
    living: list[Life] = []
    while living or sum(life.cut_short for life in lives) < kills:
        while len(living) < AT_ONCE and sum(life.cut_short for life in lives) + len(living) < kills:
            living.append(begin(random))
        for life in living:
            life.tend(time.monotonic())
        lives += [life for life in living if life.status is not None]
        living = [life for life in living if life.status is None]
        time.sleep(0.005)
    print(json.dumps([asdict(life) for life in lives]))


if __name__ == "__main__":
    import_like_a_first_life()
    main(int(sys.argv[1]), int(sys.argv[2]))
