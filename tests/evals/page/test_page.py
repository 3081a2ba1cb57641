"""The page: one file that needs nothing, sends nothing, and shows what is in answers as what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from latent.evals import evaluate, load_evaluation, scorer
from latent.evals.page.document import html_page

pytestmark = pytest.mark.usefixtures("quick")

HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=alert(1)> </script> =1+1 \u202e"
PASSAGE = "Tea is made of leaves. " * 20


@scorer
def right(output: str, expected: str) -> bool:
    return output == expected


@scorer(scale=(0, 400))
def marks(output: str) -> int:
    return len(output)


@scorer
def topic_of(output: str) -> str:
    return output[:3]


def rows(count):
    found = [
        {
            "id": f"q{n}", "question": f"Is {n} even?", "expected": "yes",
            "topic": "sums" if n % 3 else "tea",
            "passages": [PASSAGE, f"{n} is a number."], "output": "yes" if n % 2 == 0 else "no",
        }
        for n in range(count)
    ]  # fmt: skip
    found[1]["output"] = HOSTILE
    return found


def evaluation(count=600):
    return evaluate(rows(count), None, [right, marks, topic_of], slices="topic", name="a page & more")


def test_the_same_evaluation_gives_the_same_bytes():
    made = evaluation(30)
    assert html_page(made) == html_page(made)


def test_the_upper_part_needs_no_script_and_escapes_what_it_shows():
    text = html_page(evaluation(30))
    top = text[: text.index('<section id="browser"')]
    assert len(top) < 60_000
    assert "a page &amp; more" in top and "29 of 30" not in top
    assert top.count("<svg") >= 5 and "95 % interval" in top and 'class="cards"' in top
    assert "<script" not in top
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None and policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_all_rows_are_there_and_only_those_in_view_exist(opened):
    shown = opened(html_page(evaluation(600)))
    assert shown.count() == "600 of 600"
    assert shown.page.get_attribute("#grid", "aria-rowcount") == "601"
    assert shown.page.locator(".row").count() < 80
    assert shown.said == [] and len(shown.asked) == 1


def test_rows_are_searched_filtered_and_sorted_and_the_address_remembers_it(opened):
    shown = opened(html_page(evaluation(600)))
    page = shown.page
    page.fill("#search", "is 42 even")
    assert shown.count() == "1 of 600"
    page.fill("#search", "")
    page.select_option("#metric", "right")
    page.select_option("#score", "no")
    assert shown.count() == "300 of 600"
    page.select_option("#slice", "topic=tea")
    assert shown.count() == "100 of 600"  # 0, 3, 6, ... of which the odd ones fail
    page.click("#head button:has-text('marks')")
    page.click("#head button:has-text('marks')")
    address = page.url
    assert "metric=right" in address and "sort=marks" in address and "desc=1" in address
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    assert shown.count() == "100 of 600"


def test_a_row_opens_with_the_keyboard_and_shows_everything_as_text(opened):
    shown = opened(html_page(evaluation(600)))
    page = shown.page
    page.focus("#grid")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail h2")
    detail = page.inner_text("#detail")
    assert "<script>document.title='hacked'</script>" in detail and "=1+1" in detail
    assert page.title() == "a page & more" and page.locator("#detail img").count() == 0
    page.click("#detail .passage summary >> nth=0")
    assert page.inner_text("#detail .passage >> nth=0").count("Tea is made of leaves.") > 20  # shared, whole
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('#detail h2').textContent === 'q2'")
    assert "row=q2" in page.url
    page.keyboard.press("Escape")
    assert not page.is_visible("#detail")
    page.keyboard.press("/")
    page.keyboard.type("q599")
    assert shown.count() == "1 of 600"
    assert shown.said == []


def test_what_is_marked_counts_until_the_answer_changes(opened, tmp_path):
    """From the page to `labels.jsonl`, into the next evaluation, and out of it again."""
    shown = opened(html_page(evaluation(30)), accept_downloads=True)
    page = shown.page
    page.focus("#grid")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail .score")
    card = page.locator("#detail .score", has_text="right")
    card.locator(".grade").select_option("no")
    card.locator(".note").fill("it is odd")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#detail h2').textContent === 'q2'")
    page.locator("#detail .score", has_text="topic_of").locator(".grade").select_option("yes")
    page.reload()  # what is not saved yet is not lost
    page.wait_for_selector("html[data-ready]")
    page.keyboard.press("Escape")
    assert page.inner_text("#save") == "Save 2 marks"
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "labels.jsonl"
    download.value.save_as(saved)
    first, second = map(json.loads, saved.read_text().splitlines())
    assert first | {"key": ""} == {
        "id": "q0", "repeat": 0, "key": "", "metric": "right", "label": 0, "note": "it is odd",
    }  # fmt: skip
    assert (second["id"], second["metric"], second["label"]) == ("q2", "topic_of", "yes")
    scorers = [right, marks, topic_of]
    again = evaluate(rows(30), None, scorers, labels=str(saved))
    agreement = {each["metric"]: each for each in again.about["agreement"]}
    assert (agreement["right"]["n"], agreement["right"]["agreement"]) == (1, 0.0)
    assert (agreement["topic_of"]["n"], agreement["topic_of"]["agreement"]) == (1, 1.0)
    other = rows(30)
    other[0]["output"] = other[2]["output"] = "maybe"
    changed = evaluate(other, None, scorers, labels=str(saved))
    assert (changed.about["agreement"], changed.about["marks_expired"]) == ([], 2)
    assert "2 of 2 marks by people fit nothing here" in html_page(changed)
    seen = opened(html_page(again))
    seen.page.select_option("#metric", "right")
    seen.page.select_option("#score", "people disagree")
    assert seen.count() == "1 of 30"


@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_it_is_readable_in_the_dark_and_on_a_phone(opened, options):
    shown = opened(html_page(evaluation(30)), **options)
    width = shown.page.evaluate("document.documentElement.scrollWidth")
    assert width <= shown.page.evaluate("innerWidth")
    colours = shown.page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    "data",
    [
        [{"id": "a", "expected": "yes", "output": "x" * 1_000_000}],
        [{"id": "a", **{f"c{n}": n for n in range(300)}, "expected": "y", "output": "\x00\x07\x1b[31m"}],
        [{"id": "\u05d0\u05d1", "expected": None, "output": "\ud800"}],
        [{"id": "\x01 \u202e a", "expected": "\u0634\u0643\u0631\u0627", "output": "\u0634\u0643\u0631"}],
    ],
)
def test_odd_rows_make_a_page(opened, data):
    shown = opened(html_page(evaluate(data, None, [right, marks])))
    assert shown.count() == "1 of 1"
    shown.page.focus("#grid")
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_selector("#detail h2")
    assert shown.said == []


def test_a_few_rows_of_many_columns_take_a_small_table_and_show_the_answer_first(opened):
    wide = [{"id": str(n), "output": "yes", **{f"column_{m}": m for m in range(300)}} for n in range(5)]
    shown = opened(html_page(evaluate([{**row, "expected": "yes"} for row in wide], None, right)))
    assert shown.page.locator("#grid").bounding_box()["height"] < 300
    shown.page.locator(".row").first.click()
    panel = shown.page.locator("#detail")
    assert panel.get_by_text("300 columns").is_visible()
    assert not panel.get_by_text("column_299", exact=True).is_visible()
    panel.get_by_text("300 columns").click()
    assert panel.get_by_text("column_299", exact=True).is_visible()


def test_a_conversation_and_what_the_target_returned_are_shown(opened):
    def answers(messages):
        return {"output": "yes", "passages": [{"id": "doc-7", "text": PASSAGE}], "steps": 3}

    data = [
        {
            "id": "a",
            "messages": [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "?"}],
        }
    ]
    shown = opened(html_page(evaluate(data, answers, topic_of)))
    shown.page.focus("#grid")
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_selector("#detail .message")
    assert shown.page.locator("#detail .message").all_inner_texts() == ["user\nIs it?", "assistant\n?"]
    assert "doc-7" in shown.page.inner_text("#detail .passage")
    assert "steps\n3" in shown.page.inner_text("#detail")


def test_each_cause_has_the_command_that_runs_it_again(quick):
    rows = '{"id": "a", "output": "yes", "expected": "yes"}\n{"id": "b", "expected": "no"}\n'
    (quick.root / "q.jsonl").write_text(rows)
    words = [sys.executable, "-m", "latent", "eval", "q.jsonl", "--score", "exact_match"]
    subprocess.run(words, cwd=quick.root, check=False, capture_output=True)
    text = html_page(load_evaluation("last"))
    assert "<code>latent eval q.jsonl --score exact_match --only-failed</code>" in text
    assert "The row has no output." in text


def test_beyond_its_size_a_page_leaves_out_what_passed_and_says_how_to_write_it(opened, monkeypatch):
    monkeypatch.setattr("latent.evals.page.document.LARGEST_BYTES", 500)  # 20 MB take long to make
    made = evaluate(rows(30), None, [right, topic_of])
    shown = opened(html_page(made))
    page = shown.page
    assert "leaves out the details of 15 rows that passed everything" in page.inner_text("main")
    assert f"latent report {made.run_id[:8]} --whole" in page.inner_text("main")
    page.focus("#grid")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail h2")
    assert "left out" in page.inner_text("#detail")
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('#detail h2').textContent === 'q1'")
    assert "question" in page.inner_text("#detail") and shown.said == []
    assert "leaves out" not in html_page(made, whole=True)


def test_a_page_is_made_where_the_data_and_the_records_of_the_run_are_gone(quick):
    made = evaluation(10)
    for file in made.folder.parent.parent.glob("*.json*"):
        file.unlink()
    assert html_page(load_evaluation(made.folder)).startswith("<!doctype html>")


def test_rows_without_an_answer_are_missing_and_say_why(opened):
    def fails(n):
        raise ConnectionError("the line was dead")

    data = [{"id": str(n), "n": n, "expected": "x"} for n in range(3)]
    made = evaluate(
        [*data, {"id": "ok", "n": 9, "expected": "9"}], lambda n: fails(n) if n < 9 else str(n), right
    )
    shown = opened(html_page(made))
    assert "the line was dead" in shown.page.inner_text("main")
    shown.page.select_option("#metric", "right")
    shown.page.select_option("#score", "missing")
    assert shown.count() == "3 of 4"


def test_the_command_writes_the_page_of_any_run(quick):
    made = evaluation(10)

    def latent(*words):
        return subprocess.run(
            [sys.executable, "-m", "latent", "report", *words], cwd=quick.root, capture_output=True, text=True
        )

    ended = latent()
    assert ended.returncode == 0 and "report.html" in ended.stdout, ended.stderr
    assert (made.folder / "report.html").read_text().startswith("<!doctype html>")
    assert latent(made.run_id[:8], "-o", "mine.html").returncode == 0
    assert (quick.root / "mine.html").exists()
    assert latent("--md").stdout.startswith("# a page & more")
    refused = latent("-o", "rows.xlsx")
    assert refused.returncode == 2 and "its suffix is one of .html" in refused.stderr
    refused = latent("-o", "nowhere/mine.html")
    assert refused.returncode == 2 and "cannot be written" in refused.stderr
    assert latent("no-such-run").returncode == 2
