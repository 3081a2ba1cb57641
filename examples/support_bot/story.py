"""
A regression and what it takes to see it, told in the terminal: `python story.py`, in under a minute.

The provider is simulated on this machine, so that it takes no key and costs nothing. All else is real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from latent.testing import ModelCall, ProviderSimulator, Reply

HERE = Path(__file__).parent
LATENT = [sys.executable, "-m", "latent"]

TICKETS = [
    json.loads(line) for line in (HERE / "data/tickets.jsonl").read_text(encoding="utf-8").splitlines()
]
ALWAYS_WRONG = {f"{team}-{number:02}" for team in ("billing", "technical") for number in range(3, 50, 4)}
LOST, GAINED = {"shipping-02", "account-07"}, {"billing-03"}
"""The tickets that the changed prompt gets wrong, and the one that it gets right."""

ANSWERS_BEFORE_KILL = 80

GATE_INCONCLUSIVE = 5
"""What `latent gate` ends with."""


def model(prompt: str) -> Reply:
    """The simulated model: mostly right; with the changed prompt it sends three tickets elsewhere."""
    text = prompt.rpartition("Ticket: ")[2]
    ticket = next(each for each in TICKETS if each["text"] == text)
    wrong = (ALWAYS_WRONG | LOST) - GAINED if "who can solve it" in prompt else ALWAYS_WRONG
    other = "account" if ticket["expected"] != "account" else "technical"
    return Reply(other if ticket["id"] in wrong else ticket["expected"], reasoning_tokens=250)


class Connection:
    """Answers come after 0.2 s; after the first eighty it hangs, until the run has been killed."""

    def __init__(self) -> None:
        self.answers, self.hangs = 0, True

    def seconds(self, call: ModelCall) -> float:
        self.answers += 1
        return 3600.0 if self.hangs and self.answers > ANSWERS_BEFORE_KILL else 0.2


def main() -> None:
    connection = Connection()
    with ProviderSimulator(
        answer=model, latency=connection.seconds, requests_per_second=25, burst=5
    ) as provider:
        os.environ |= provider.environment
        latent("cache", "clear", "--yes", quiet=True)

        say("200 tickets, 25 requests a second. After 80 answers the connection hangs, and we use kill -9")
        killed_run(provider)
        connection.hangs = False
        before = provider.record()

        say("Once more. What was answered is remembered, and only the rest is asked")
        latent("run", "support")
        after = provider.record()
        first, all_of_them = before.answered.total(), after.answered.total()
        print(
            f"\nThe provider gave {first} answers before the kill and {all_of_them - first} after it; "
            f"{len(after.duplicates)} were paid twice.\n"
            f"It refused {after.statuses[429]} requests, until latent had learned how many a second it takes."
        )

        say("This is what later runs are compared with")
        latent("runs", "tag", "last", "main")

        say("A colleague changes the prompt, and the score falls by half a point. Is it worse?")
        latent("run", "support", "-p", "prompt=careful")
        latent("compare", "main", "last", "--flips", "3")
        latent("compare", "main", "last", "--html", "--no-open", "-o", "comparison.html")

        say("The gate says what is known: 200 tickets cannot tell. So many would, at this price")
        latent("gate", may_end_with=GATE_INCONCLUSIVE)


def killed_run(provider: ProviderSimulator) -> None:
    """Start the flow, and end it as a crash would: nothing can be saved any more."""
    print("\n$ latent run support", flush=True)
    with subprocess.Popen([*LATENT, "run", "support"], cwd=HERE) as process:
        while provider.record().answered.total() < ANSWERS_BEFORE_KILL:
            if process.poll() is not None:
                sys.exit("The run ended before it could be killed.")
            time.sleep(0.1)
        time.sleep(2.0)  # the last answers are on their way to the disk
        process.kill()
    print(f"$ kill -9 {process.pid}", flush=True)


def latent(*words: str, may_end_with: int = 0, quiet: bool = False) -> None:
    """Run a command of latent in this folder, as one would type it."""
    if not quiet:
        print(f"\n$ latent {' '.join(words)}", flush=True)
    done = subprocess.run(
        [*LATENT, *words], cwd=HERE, check=False, stdout=subprocess.DEVNULL if quiet else None
    )
    if done.returncode not in (0, may_end_with):
        sys.exit(done.returncode)


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    main()
