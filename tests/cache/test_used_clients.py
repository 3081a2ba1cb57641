"""A client is the same constant before its first use and after it: a connection is not a setting."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latent.testing import ProviderSimulator

SCRIPT = """
import sys
from pathlib import Path
{imports}

def task():
    return client

use = {use}
if sys.argv[1] == "used":
    use()
from latent.cache import code_fingerprint
print("FOUND", code_fingerprint(task, Path.cwd()).digest)
"""
CHAT = "client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'x'}])"
CLIENTS = {
    "openai": ("import openai\nclient = openai.OpenAI(max_retries=0)", f"lambda: {CHAT}"),
    "anthropic": (
        "import anthropic\nclient = anthropic.Anthropic(max_retries=0)",
        "lambda: client.messages.create(model='m', max_tokens=9, "
        "messages=[{'role': 'user', 'content': 'x'}])",
    ),
    "httpx": (
        "import os, httpx\nclient = httpx.Client()",
        "lambda: client.get(os.environ['OPENAI_BASE_URL'])",
    ),
    "requests": (
        "import os, requests\nclient = requests.Session()",
        "lambda: client.get(os.environ['OPENAI_BASE_URL'])",
    ),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_was_used_is_the_same_constant(tmp_path, name):
    imports, use = CLIENTS[name]
    (tmp_path / "script.py").write_text(SCRIPT.format(imports=imports, use=use))
    with ProviderSimulator() as provider:
        found = {
            how: subprocess.run(
                [sys.executable, "-W", "ignore", "script.py", how], cwd=tmp_path, capture_output=True,
                text=True, check=True, env=provider.environment | {"PATH": "/usr/bin:/bin"},
            ).stdout
            for how in ("fresh", "used")
        }  # fmt: skip
        assert len(provider.record().log) == 1
    assert found["fresh"].startswith("FOUND") and found["fresh"] == found["used"]


def test_an_object_that_raises_when_it_is_looked_at_counts_by_its_class(tmp_path):
    """A proxy outside of where it belongs may raise anything."""
    library = (
        "class Proxy:\n    @property\n    def __class__(self):\n        raise RuntimeError\n\nclass Holder:\n"
    )
    library += "    def __init__(self):\n        self.held = [Proxy()]\n"
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "foreign.py").write_text(library)
    (tmp_path / "script.py").write_text(
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, 'site-packages')\nimport foreign\n"
        "holder = foreign.Holder()\ndef task():\n    return holder\n"
        "from latent.cache import code_fingerprint\nprint(len(code_fingerprint(task, Path.cwd()).digest))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "32", done.stderr
