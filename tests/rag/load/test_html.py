"""HTML: what a page is there for is text, however the program that made it writes it down."""

# ruff: noqa: E501, RUF001 - pages as programs write them

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.errors import UnreadableDocumentError
from latent.rag.load.html import read_html

CORPUS = Path(__file__).parents[4] / "shared" / "data" / "corpus" / "kafka-docs-0.9.0"

PAGE = """<html lang="en"><head><title> A  page </title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><div class="cookie-banner">We use cookies</div>
<main><h1>Heading</h1><p>Some <b>bold</b> text,<br>and <code>code</code>.</p>
<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul><pre>def f():
    return 1</pre>
<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td><p>x</p><p>y</p></td></tr></table>
<p style="display: none">unseen</p><script>alert("no")</script></main>
<footer>Imprint</footer></body></html>"""
MARKDOWN = """# Heading

Some bold text,
and `code`.

- one
  - inner
- two

```
def f():
    return 1
```

| A | B |
| --- | --- |
| 1 | x y |
"""


def test_html_is_read_without_what_is_around_its_text(load):
    [document] = load("a.html", PAGE)
    assert (document.text, document.title, document.metadata) == (MARKDOWN, "A page", {"language": "en"})


def test_fragments_of_html_lose_nothing(load):
    [document] = load("a.html", "<h3>Options</h3><table><tr><td>name</td><td>a &lt; b</td></tr></table>tail")
    assert document.text == "### Options\n\n| name | a < b |\n| --- | --- |\n\ntail\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # Sphinx calls sections after their headings.
        ('<section id="pagination"><h2>Pagination</h2></section>rest', "## Pagination\n\nrest\n"),
        ('<div class="section" id="cookies"><p>Cookies.</p></div>rest', "Cookies.\n\nrest\n"),
        ('<section class="wy-nav-content-wrap"><p>Text.</p></section>rest', "Text.\n\nrest\n"),
        ('<div class="layout with-sidebar"><p>Text.</p></div>rest', "Text.\n\nrest\n"),
        # Words in the names of classes say nothing: they may be about the text.
        (
            '<div class="share-price"><p>Text.</p></div><div class="ads related">More.</div>',
            "Text.\n\nMore.\n",
        ),
        ('<div class="cookie-recipe sidebar-note">Text.</div>', "Text.\n"),
        ('<div id="onetrust-consent-sdk">We use cookies</div><p>Text.</p>', "Text.\n"),
        ('<div class="sphinxsidebar">Contents</div><p>Text.</p>', "Text.\n"),
        ('<div role="alert">This deletes.</div><p>Text.</p>', "This deletes.\n\nText.\n"),
        ('<form action="/"><p>Text.</p><input name="q"></form>rest', "Text.\n\nrest\n"),
        ('<p hidden>Unseen</p><p hidden="until-found">Text.</p>', "Text.\n"),
        # What the author marks as main is taken at that word, wherever it stands.
        ('<p>Junk</p><main role="main"><p>Text.</p></main>', "Text.\n"),
        ('<p>Junk</p><nav><div>Junk</nav><main><p id="menu" class="share">Text.</p></main>', "Text.\n"),
        (
            '<p>Junk</p><div class="sidebar"><main><ul id="toolbar"><li>Text.</ul></main>Junk</div>',
            "- Text.\n",
        ),
        ("<main>One.</main><main>Two.</main><p>Three.</p>", "One.\n\nTwo.\n\nThree.\n"),
        ('<p>Text.</p><pre>&lt;main role="main"&gt;</pre>', 'Text.\n\n```\n<main role="main">\n```\n'),
        # Nothing would be left.
        ("<body><nav><div>n</nav><p>Text.</p></div></body>", "n\n\nText.\n"),
        ('<div class="menu"><p>Text.</p><script>no()</script></div>', "Text.\n"),
        ("<main></main><p>Text.</p>", "Text.\n"),
        ("<p>Use ``x``<code></code> and <code>y</code></p>", "Use ``x`` and `y`\n"),
    ],
)
def test_the_text_of_a_page_is_never_taken_for_what_is_around_it(load, page, text):
    assert load("a.html", page)[0].text == text


def test_a_page_that_scripts_fill_is_refused(load):
    with pytest.raises(UnreadableDocumentError, match="scripts and no text"):
        load("a.html", "<html><body><div id=app></div><script src=app.js></script></body></html>")


DOCUSAURUS = """<body><nav class="navbar">Home</nav><aside><nav>Side</nav></aside><main><article>
<nav class="theme-doc-breadcrumbs">Docs</nav><header><h1>Install</h1></header>
<div class="theme-admonition"><div>tip</div><div>Use it.</div></div>
<h2 id="a">Linux<a href="#a" class="hash-link">\u200b</a></h2><ul role="tablist"><li role="tab">npm</li>
<li role="tab">Yarn</li></ul><div role="tabpanel"><pre class="prism-code"><code><span class="token-line"
style="color:red"><span>npm i x</span><br></span><span class="token-line"><span>npm run</span><br></span></code>
</pre><button aria-label="Copy">Copy</button></div><div role="tabpanel" hidden><pre>yarn add x</pre></div>
<details><summary>More</summary><div>Inner.</div></details><footer>Edit this page</footer></article>
<nav class="pagination-nav">Next</nav></main><footer>Copyright</footer></body>"""
MKDOCS = """<body><header><nav>x</nav></header><main><div class="md-sidebar"><nav>Side</nav></div><article>
<h1 id="x">Setup<a class="headerlink" href="#x">&para;</a></h1><div class="tabbed-labels"><label>C</label><label>C++
</label></div><table class="highlighttable"><tr><td class="linenos"><div class="linenodiv"><pre><span>1</span>
<span>2</span></pre></div></td><td class="code"><div><pre><span></span><code><span>int</span> a;
    b;
</code></pre></div></td></tr></table><p>Foot<sup id="r"><a href="#fn:1">1</a></sup>.</p><div class="footnote"><ol>
<li><p>The note. <a href="#r">&#8617;</a></p></li></ol></div></article></main><footer>foot</footer></body>"""
SPHINX = """<body><div class="related" role="navigation">Navigation</div><div class="body" role="main"><section>
<h1>API<a class="headerlink" href="#a">¶</a></h1><dl class="py function"><dt class="sig"><span>f</span>(<em>x</em>)
<a class="headerlink" href="#f">¶</a></dt><dd><p>Does.</p></dd></dl><div class="highlight"><pre><span></span><span
class="linenos">1</span>def f():
<span class="linenos">2</span>    return 1
</pre></div><aside class="footnote-list brackets"><aside class="footnote brackets" role="doc-footnote"><span>1</span>
<p>Small print.</p></aside></aside></section></div><div class="sphinxsidebar" role="navigation">Toc</div>
<div class="footer" role="contentinfo">&copy;</div></body>"""
CONFLUENCE = """<body><div id="page"><div id="main"><div id="main-header"><div id="breadcrumb-section">Space</div>
<h1 id="title-heading">Runbook</h1></div><div id="content"><div id="main-content"><p>Intro</p>
<div class="expand-control">Open</div><div class="expand-content expand-hidden"><p>Hidden step.</p></div>
<pre class="syntaxhighlighter-pre">kubectl get
pods</pre></div></div></div><div id="footer" role="contentinfo">Generated by Confluence</div></div></body>"""
NOTION = """<body><article class="page sans"><header><h1 class="page-title">Plan</h1><table class="properties">
<tr><th>Status</th><td>Done</td></tr></table></header><div><ul class="toggle"><li><details open><summary>Toggle
</summary><p>Inside.</p></details></li></ul><figure class="callout"><div>Tip.</div></figure><figure class="equation">
<style>x</style><span class="katex"><span class="katex-mathml"><math><semantics><mi>E</mi><annotation
encoding="application/x-tex">E=mc^2</annotation></semantics></math></span><span class="katex-html"
aria-hidden="true">E=mc2</span></span></figure></div></article></body>"""


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            DOCUSAURUS,
            "# Install\n\ntip\n\nUse it.\n\n## Linux\n\n- npm\n- Yarn\n\n```\nnpm i x\nnpm run\n```\n\n"
            "```\nyarn add x\n```\n\nMore\n\nInner.\n",
        ),
        (MKDOCS, "# Setup\n\nC C++\n\n```\nint a;\n    b;\n```\n\nFoot^1.\n\n1. The note.\n"),
        (SPHINX, "# API\n\nf(x)\n\nDoes.\n\n```\ndef f():\n    return 1\n```\n\n1\n\nSmall print.\n"),
        (CONFLUENCE, "# Runbook\n\nIntro\n\nOpen\n\nHidden step.\n\n```\nkubectl get\npods\n```\n"),
        (NOTION, "# Plan\n\n| Status | Done |\n| --- | --- |\n\n- Toggle\n\n  Inside.\n\nTip.\n\nE=mc^2\n"),
    ],
    ids=["Docusaurus", "MkDocs", "Sphinx", "Confluence", "Notion"],
)
def test_exports_of_known_programs_are_read_whole_and_without_navigation(page, text):
    assert read_html(page).text == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # What a click shows: FAQs by heading and button, by ARIA, by Bootstrap; tabs by role, by the link to them.
        ("<h3><button>Why?</button></h3><div hidden><p>So.</p></div>", "### Why?\n\nSo.\n"),
        (
            '<button aria-expanded="false" aria-controls="a">Why?</button><p id="a" hidden>So.</p>',
            "Why?\n\nSo.\n",
        ),
        ('<p id="a" hidden>So.</p><h2><button aria-controls="a">Why?</button></h2>', "So.\n\n## Why?\n"),
        ('<dl><dt><button>Why?</button></dt><dd style="display: none">So.</dd></dl>', "Why?\n\nSo.\n"),
        ('<ul><li><a href="#win">Win</a></li></ul><div id="win" hidden>winget</div>', "- Win\n\nwinget\n"),
        ('<a data-bs-target="#c">More</a><div id="c" style="display:none">Text.</div>', "More\n\nText.\n"),
        # What stays hidden.
        ("<p>Text.</p><button>Subscribe</button><div hidden>Cookies</div>", "Text.\n"),
        ("<p>Text.</p><h2>Other</h2><div hidden>Cookies</div>", "Text.\n\n## Other\n"),
        # Asides and footers of sections are theirs, those of the page are not.
        ("<article><p>A.</p><aside>Caution</aside></article><aside>Other stories</aside>", "A.\n\nCaution\n"),
        ("<section><aside>Note</aside><p>A.</p></section><footer>Imprint</footer>", "Note\n\nA.\n"),
        ("<blockquote><p>Q.</p><footer>Ada</footer></blockquote>", "> Q.\n>\n> Ada\n"),
        # Powers, ordinals and marks of footnotes; formulas are told once.
        ("<p>10<sup>6</sup> N, 5<sup>th</sup>, x<sup>n</sup>, H<sub>2</sub>O</p>", "10^6 N, 5th, x^n, H2O\n"),
        ("<p>so<sup><a href='#1'>[2]</a></sup>.</p>", "so^[2].\n"),
        ("<p>Let <math><msup><mi>x</mi><mn>2</mn></msup></math> be.</p>", "Let x^2 be.\n"),
        (
            '<math><semantics><mi>q</mi><annotation-xml encoding="MathML-Content"><ci>q</ci></annotation-xml>'
            '<annotation encoding="StarMath 5.0">q over 2</annotation>'
            '<annotation encoding="application/x-tex">\\frac{q}{2}</annotation><annotation-xml>q</annotation-xml>'
            "</semantics></math>",
            "\\frac{q}{2}\n",
        ),
        ("<p>漢<ruby>字<rt>じ</rt></ruby></p>", "漢字(じ)\n"),
        # Numbers of lines: Chroma, highlight.js, GitHub.
        (
            '<table class="lntable"><tr><td><pre><span class="lnt">1\n2</span></pre></td><td><pre>go\n  run</pre></td>'
            "</tr></table>",
            "```\ngo\n  run\n```\n",
        ),
        (
            '<table><tr><td class="hljs-ln-numbers">1</td><td>a = 1</td></tr>'
            '<tr><td class="hljs-ln-numbers">2</td><td>  b</td></tr></table>',
            "```\na = 1\n  b\n```\n",
        ),
        (
            '<table><tr><td class="blob-num" data-line-number="1"></td><td>x</td></tr></table>',
            "```\nx\n```\n",
        ),
        ("<table><tr><td>1</td><td><pre>a\nb</pre></td></tr></table>", "| 1 | `a b` |\n| --- | --- |\n"),
        # From right to left.
        ('<main dir="rtl"><p>שלום <b>עולם</b> 12</p><p>مرحبا</p></main>', "שלום עולם 12\n\nمرحبا\n"),
    ],
)
def test_what_a_reader_can_see_is_text_and_nothing_else(page, text):
    assert read_html(page).text == text


WORDS = st.text("abcdefgäß", min_size=1, max_size=6)
TREES = st.recursive(
    WORDS,
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{' '.join(parts)}</{tag}>",
        st.sampled_from(
            [
                "p",
                "div",
                "ul",
                "li",
                "table",
                "tr",
                "td",
                "pre",
                "blockquote",
                "h2",
                "dl",
                "dt",
                "dd",
                "b",
                "span",
                "code",
                "article",
                "section",
            ]
        ),
        st.lists(inner, max_size=4),
    ),
    max_leaves=25,
)


@given(TREES)
def test_no_word_of_a_page_is_lost(page):
    expected = sorted(re.findall(r"[a-gäß]+", re.sub(r"<[^>]*>", " ", page)))
    assert sorted(re.findall(r"[a-gäß]+", read_html(f"<main>{page}</main>").text)) == expected


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared data is not here")
def test_reference_pages_keep_their_tables():
    """Tables of settings are what tools that look for articles leave out: one row for each setting of Kafka 0.9."""
    page = (CORPUS / "generated" / "kafka_config.html").read_text()
    assert read_html(page).text.count("\n| ") == page.count("<tr>") > 100
