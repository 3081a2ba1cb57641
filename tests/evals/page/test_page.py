"""The page: one file that needs nothing, sends nothing, and shows what is in answers as what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from latent.evals import evaluate, scorer
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


@pytest.fixture
def opened(browser, tmp_path):
    """A page that is open, with what it asked for and complained of."""

    class Opened:
        def __init__(self, text, **options):
            file = tmp_path / "page.html"
            file.write_text(text)
            self.page = browser.new_context(**options).new_page()
            self.said, self.asked = [], []
            self.page.on("console", lambda message: self.said.append(message.text))
            self.page.on("pageerror", lambda error: self.said.append(str(error)))
            self.page.on("request", lambda request: self.asked.append(request.url))
            self.page.goto(file.as_uri())
            self.page.wait_for_selector("html[data-ready]")

        def count(self):
            return self.page.inner_text("#count")

    return Opened


def test_the_same_evaluation_gives_the_same_bytes():
    made = evaluation(30)
    assert html_page(made) == html_page(made)


def test_the_upper_part_needs_no_script_and_escapes_what_it_shows():
    text = html_page(evaluation(30))
    top = text[: text.index('<section id="browser"')]
    assert len(top) < 60_000
    assert "a page &amp; more" in top and "29 of 30" not in top
    assert top.count("<svg") >= 5 and "95 % interval" in top
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
    page.select_option("#score", "fails")
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
    assert detail.count("Tea is made of leaves.") == 20  # a passage that rows share, whole
    assert page.locator("#detail del").count() + page.locator("#detail ins").count() > 0
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('#detail h2').textContent === 'q2'")
    assert "row=q2" in page.url
    page.keyboard.press("Escape")
    assert not page.is_visible("#detail")
    page.keyboard.press("/")
    page.keyboard.type("q599")
    assert shown.count() == "1 of 600"
    assert shown.said == []


def test_marks_are_saved_as_labels_that_evaluations_take(opened, tmp_path):
    shown = opened(html_page(evaluation(30)), accept_downloads=True)
    page = shown.page
    page.focus("#grid")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail .mark")
    page.select_option("#detail .mark select", "marks")
    page.fill("#detail .mark input >> nth=0", "5")
    page.fill("#detail .mark input >> nth=1", "good")
    page.keyboard.press("Tab")
    with page.expect_download() as download:
        page.click("#detail .mark button")
    saved = tmp_path / "labels.jsonl"
    download.value.save_as(saved)
    (line,) = map(json.loads, saved.read_text().splitlines())
    assert line | {"key": ""} == {
        "id": "q0", "repeat": 0, "key": "", "metric": "marks", "label": 5, "note": "good",
    }  # fmt: skip
    assert len(line["key"]) == 16


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
    ],
)
def test_odd_rows_make_a_page(opened, data):
    shown = opened(html_page(evaluate(data, None, [right, marks])))
    assert shown.count() == "1 of 1"
    shown.page.focus("#grid")
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_selector("#detail h2")
    assert shown.said == []


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
    refused = latent("-o", "nowhere/mine.html")
    assert refused.returncode == 2 and "cannot be written" in refused.stderr
    assert latent("no-such-run").returncode == 2
