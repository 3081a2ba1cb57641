"""The examples of docs/catalog.md, in their order, in one workspace."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"
BLOCK = re.compile(r"^```(yaml|python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_examples_run(make_workspace, capsys):
    make_workspace({})
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} == {"yaml", "python", "toml"}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, str(PAGE), "exec"), {"__name__": "example"})
        else:
            name = text.splitlines()[0].removeprefix("# ")
            make_workspace({name: text})
    assert "Dataset 'costumers' is not in flows/sales/catalog.yaml: did you mean 'customers'?" in (
        capsys.readouterr().out
    )
