"""
Make the pictures of the page and of the comparison for the README, in `docs/images`.

    python scripts/pictures.py [FOLDER]

It evaluates an example with a simulated provider, and looks at the pages with the Chromium that is installed.
With a FOLDER, the pages themselves are left there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent.parent / "docs" / "images"
JUDGE = "anthropic:claude-opus-4-6"
MODEL = "openai:gpt-5-mini"
ROWS = 240
LABELLED = 60
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")

TOPICS = {
    "refunds": ("within 14 days", "How long do I have to return my {}?"),
    "delivery": ("in three working days", "When will my {} arrive?"),
    "warranty": ("for two years", "How long is my {} under warranty?"),
    "payment": ("by card or transfer", "How can I pay for a {}?"),
}
THINGS = (
    "kettle",
    "lamp",
    "toaster",
    "radio",
    "clock",
    "mixer",
    "heater",
    "fan",
    "scale",
    "grill",
    "iron",
    "blender",
)
_DATA = "\n\n{% for each in passages %}{{ each }}\n{% endfor %}\n{{ question }}"
PROMPTS = {
    "before": f"Answer the customer from the passages.{_DATA}",
    "after": "Answer the customer in one short sentence, and only from the passages. Say so if they do not "
    f"tell.{_DATA}",
}


def rows() -> list[dict[str, Any]]:
    """Questions to a shop, each with what its handbook says."""
    chance, found = random.Random(7), []  # noqa: S311  # no secret: the same example each time
    for number in range(ROWS):
        topic = [*TOPICS][number % len(TOPICS)]
        thing = THINGS[number // len(TOPICS) % len(THINGS)]
        answer, question = TOPICS[topic]
        others = [each for each in TOPICS.items() if each[0] != topic]
        chosen = [*chance.sample(others, 2), (topic, TOPICS[topic]) if chance.random() < 0.94 else others[0]]
        passages = [
            f"{name.title()}. The shop's handbook says of {name}: this is granted {text}. " + _FILLING
            for name, (text, _) in chosen
        ]
        found.append(
            {
                "id": f"{topic[:3]}-{number:03}", "question": question.format(thing), "topic": topic,
                "expected": answer, "passages": passages,
            }
        )  # fmt: skip
    return found


_FILLING = (
    "Exceptions are listed in the annex, and are agreed with the customer in writing before the order is "
    "confirmed. Staff name the section of the handbook when they are asked for it."
)


def provider_answers(prompt: str) -> str | None:
    """What the simulated provider says: mostly right, a little better when it is asked for one sentence."""
    chance = random.Random(prompt)  # noqa: S311
    if "Give the reason first" in prompt:
        is_good = not any(each in prompt for each in ("I do not know", "as our handbook says"))
        score = chance.choice((4, 5, 5)) if is_good else chance.choice((1, 2, 3))
        return json.dumps(
            {"reason": "The answer names the term." if is_good else "No term is named.", "score": score}
        )
    asked = prompt.rsplit("\n", 1)[-1]
    topic = next(name for name, (_, text) in TOPICS.items() if asked.startswith(text.partition("{")[0]))
    text = TOPICS[topic][0]
    if f"granted {text}" not in prompt:
        return "I do not know." if chance.random() < 0.8 else f"Usually {text}."
    is_short = "one short sentence" in prompt
    told = "as our handbook says" if chance.random() < (0.05 if is_short else 0.14) else text
    return f"It is granted {told}." if is_short else f"Thank you for asking! It is granted {told}."


def evaluated(folder: Path) -> list[Any]:
    """The example evaluated with either prompt, and the second one judged by people in part."""
    from latent.evals import Judge, evaluate
    from latent.evals.scorers import contains, rouge_l
    from latent.llm import Model
    from latent.testing import ProviderSimulator, write_files

    write_files(folder, {"config/latent.toml": "[tracking]\nenabled = false\n"})
    os.environ["LATENT_WORKSPACE"] = str(folder)
    data = rows()
    with ProviderSimulator(answer=provider_answers) as provider:
        os.environ |= provider.environment
        judge = Judge("Does the answer name the term that applies?", model=JUDGE, name="helpful", recheck=0.1)
        return [
            evaluate(
                data, Model(MODEL), [contains, rouge_l, judge], prompt=prompt, slices="topic",
                labels=labels(data, prompt), name=f"support-{name}",
            )
            for name, prompt in PROMPTS.items()
        ]  # fmt: skip


def labels(data: list[dict[str, Any]], prompt: str) -> list[dict[str, Any]]:
    """What people would say of the first answers."""
    from latent.llm import PromptTemplate

    answers = [provider_answers(PromptTemplate(prompt).render(**row)) or "" for row in data[:LABELLED]]
    return [
        {"id": row["id"], "label": 5 if row["expected"] in answer else 2}
        for row, answer in zip(data, answers, strict=False)
    ]


def take(pages: dict[str, Path]) -> None:
    """The pictures; PNG with few colours, so that each stays small."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    pictures: dict[str, tuple[str, dict[str, Any], Callable[[Any], None] | None]] = {
        "page-light": ("after", {"viewport": {"width": 1280, "height": 860}}, None),
        "page-dark": (
            "after",
            {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
            _open_row,
        ),
        "page-phone": ("after", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}, None),
        "comparison": ("comparison", {"viewport": {"width": 1280, "height": 860}}, None),
        "comparison-row": ("comparison", {"viewport": {"width": 1280, "height": 860}}, _open_row),
    }
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(QUIET))
        for name, (page, options, act) in pictures.items():
            if page not in pages:
                continue
            opened = browser.new_context(**options).new_page()
            opened.goto(pages[page].as_uri())
            opened.wait_for_selector("html[data-ready]")
            if act is not None:
                act(opened)
            opened.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


def _open_row(page: Any) -> None:
    page.select_option("#metric", "contains")
    page.select_option("#score", index=2 if page.locator("#score option", has_text="worse").count() else 1)
    page.evaluate("document.getElementById('browser').scrollIntoView({behavior: 'instant'})")
    page.focus("#grid")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail h2")


def main(folder: Path) -> None:
    """Evaluate, write the pages into the folder, and take the pictures."""
    from latent.evals import compare

    before, after = evaluated(folder)
    pages = {
        "after": after.export(folder / "after.html"),
        "comparison": compare(before, after).export(folder / "comparison.html"),
    }
    take(pages)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            main(Path(name))
