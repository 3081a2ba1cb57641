"""The support bot's story, told from start to end by its script in a copy of the example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from latent.testing import write_files
from tests.examples.conftest import files_of


def test_a_killed_run_pays_nothing_twice_and_a_changed_prompt_is_not_called_worse_on_200_rows(tmp_path: Path):
    write_files(tmp_path, files_of("support_bot"))
    told = subprocess.run(
        [sys.executable, "story.py"],
        cwd=tmp_path,
        env={**os.environ, "LATENT_TRACKING__ENABLED": "false"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    ).stdout
    assert re.search(r"openai:gpt-5 +120 ok, 80 cached .* 80 of 200\n", told)
    assert "gave 80 answers before the kill and 120 after it; 0 were paid twice." in told
    assert re.search(r"exact_match +0\.880 +0\.875 +-0\.005 .* 1 / 2 +200 +no difference seen", told)
    assert re.search(r"- Answer with the name.*\n\+ Think of who can solve it", told)
    flips = re.findall(r"^(\S+-\d\d)  exact_match: (\d) -> (\d)$", told, re.MULTILINE)
    assert sorted(flips) == [("account-07", "1", "0"), ("billing-03", "0", "1"), ("shipping-02", "1", "0")]
    settled = re.search(r"inconclusive +(\d+) rows would settle it \(some \$(\d+\.\d\d) more\)", told)
    assert settled is not None
    assert (settled[1], float(settled[2]) > 0.5) == ("523", True)
