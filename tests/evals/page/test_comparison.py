"""The page of a comparison: the same technique, with both answers of each row."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latent.errors import UsageError
from latent.evals import compare, evaluate, scorer
from latent.evals.page.comparison import comparison_page

pytestmark = pytest.mark.usefixtures("quick")


@scorer
def right(output: str, expected: str) -> bool:
    return output == expected


@scorer
def length(output: str) -> int:
    return len(output)


def rows(answer, count=40):
    return [
        {
            "id": f"q{n}", "question": f"What is {n} + {n}?", "topic": "even" if n % 2 == 0 else "odd",
            "expected": f"it is {2 * n}", "output": answer(n),
        }
        for n in range(count)
    ]  # fmt: skip


def hasty(n):
    return f"it is {2 * n}" if n % 3 else "it is <b>ten</b> or so"


def careful(n):
    return f"it is {2 * n}" if n != 4 else "it is about 8"


def compared():
    old = rows(hasty)
    new = [*rows(careful, 42)[1:]]
    old[7]["question"] = "What is seven and seven?"
    scorers = [right, length]
    return compare(
        evaluate(old, None, scorers, slices="topic", name="hasty"),
        evaluate(new, None, scorers, slices="topic", name="careful"),
    )


def test_it_says_what_can_be_concluded_without_a_script():
    comparison = compared()
    text = comparison_page(comparison)
    assert comparison_page(comparison) == text
    top = text[: text.index('<section id="browser"')]
    assert "hasty → careful" in top and "right is better: +0." in top
    assert "1 have other content now, and are left out: q7" in top
    assert "2 are new: q40, q41" in top and "1 are gone: q0" in top
    assert top.count("<svg") == 2 and "<script" not in top


def test_rows_are_filtered_by_flip_and_show_both_answers_word_by_word(opened):
    shown = opened(comparison_page(compared()))
    page = shown.page
    assert shown.count() == "42 of 42"
    page.select_option("#metric", "right")
    page.select_option("#score", "better")
    assert shown.count() == "13 of 42"  # 3, 6, ... 39; 0 is gone
    page.select_option("#score", "worse")
    assert shown.count() == "1 of 42"
    page.focus("#grid")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail .both")
    assert page.inner_text("#detail h2") == "q4"
    old, new = page.locator("#detail .both > div").all()
    assert "it is 8" in old.inner_text() and "it is about 8" in new.inner_text()
    assert new.locator("ins").inner_text().strip() == "about" and old.locator("del").count() == 0
    assert page.locator("#detail .grade").count() == 0 and not page.is_visible("#save")
    page.keyboard.press("Escape")
    page.click("#clear")
    for kind, count in (("new", 2), ("gone", 1), ("changed", 1)):
        page.select_option("#outcome", kind)
        assert shown.count() == f"{count} of 42"
        page.keyboard.press("j")
    assert shown.said == [] and len(shown.asked) == 1


def test_the_prompts_are_compared_word_by_word(make_provider_simulator):
    from latent.llm import Model

    make_provider_simulator(answer=lambda prompt: "yes")
    model, data = Model("openai:gpt-5-mini"), [{"id": "a", "question": "Is it?", "expected": "yes"}]
    first, second = (
        evaluate(data, model, right, prompt=f"Answer {how}, please: {{{{ question }}}}")
        for how in ("at once", "at length")
    )
    text = comparison_page(compare(first, second))
    assert "Answer at <del>once</del><ins>length</ins>, please" in text


def test_the_command_writes_the_page_and_a_file_of_another_kind_is_refused(quick, tmp_path):
    comparison = compared()
    runs = [comparison.old.run_id, comparison.new.run_id]

    def latent(*words):
        command = [sys.executable, "-m", "latent", "compare", *runs, *words]
        return subprocess.run(command, cwd=quick.root, capture_output=True, text=True)

    ended = latent("--html")
    assert ended.returncode == 0 and f"compared-with-{runs[0][:8]}.html" in ended.stdout, ended.stderr
    assert latent("-o", "c.md").returncode == 0
    assert (quick.root / "c.md").read_text().startswith("# Comparison")
    with pytest.raises(UsageError, match=r"\.html, \.htm, \.md"):
        comparison.export(tmp_path / "c.csv")


def test_more_than_two_are_ranked_and_causes_are_a_filter(opened):
    from latent.evals.comparing.causes import Causes, CauseShare, MetricCauses

    three = [evaluate(rows(answer), None, right, name=answer.__name__) for answer in (hasty, careful)]
    three.insert(1, evaluate(rows(lambda n: "no"), None, right, name="never"))
    ranking = opened(comparison_page(compare(*three)))
    top = ranking.page.inner_text("main")
    assert "3 evaluations" in top and "careful is ahead of hasty, never" in top
    assert ranking.count() == "40 of 40"
    pair = compare(three[0], three[2])
    flips = {flip.id: "prompt" for flip in pair.flips}
    share = CauseShare(cause="prompt", flips=len(flips), effect=None)
    metric = MetricCauses(
        metric="right", flips=len(flips), shares=(share,), together=0, noise=None, unknown=0, rows=flips
    )
    shown = opened(comparison_page(Causes(pair, {"right": metric}, ["a side cannot be asked again"])))
    assert "Causes of the flips" in shown.page.inner_text("main")
    shown.page.select_option("#slice", "cause of right=prompt")
    assert shown.count() == f"{len(flips)} of 40"
