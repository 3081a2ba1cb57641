"""
Office documents, books, mails and notebooks: read whole, and never at the cost of this process.

The files in `office/` were written by LibreOffice 7.4.7 from `office/sources/`; see the README there.
"""

# ruff: noqa: E501 - files as programs write them

from __future__ import annotations

import gzip
import json
import re
from email.message import EmailMessage
from html import unescape
from pathlib import Path

import pytest

from latent.errors import UnreadableDocumentError
from latent.rag import load_document
from latent.rag.load.office.reading import MEDIA_TYPES
from tests.rag.load.office_files import paragraph, run, table, word_document

OFFICE = Path(__file__).parent / "office"
GUIDE = ["docx", "docm", "dotx", "odt", "rtf", "doc", "epub"]
ARRIVALS = ["xlsx", "ods", "xls"]
REVIEW = ["pptx", "odp", "ppt"]


def read(name: str):
    if name.endswith(".ppt"):
        from latent.rag.load.loading import documents_in

        [document] = documents_in(gzip.decompress((OFFICE / f"{name}.gz").read_bytes()), name)
    else:
        [document] = load_document(name, root=OFFICE)
    return document


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def words_of_source(name: str) -> list[str]:
    """What LibreOffice was given: the text of the XML's paragraphs and headings, without headers and comments."""
    xml = (OFFICE / "sources" / name).read_text()
    body = xml[xml.index("<office:body>") :]
    body = re.sub(
        r"<office:annotation.*?</office:annotation>|<text:note-citation>.*?</text:note-citation>", " ", body
    )
    return words(
        unescape(re.sub(r"<[^>]*>", " ", re.sub(r"</?text:(?:span|note|note-body)\b[^>]*>", " ", body)))
    )


def recall(found: str, expected: list[str]) -> float:
    there = words(found)
    return sum(min(there.count(word), expected.count(word)) for word in set(expected)) / len(expected)


@pytest.mark.parametrize(
    ("source", "names", "least"),
    [
        ("guide.fodt", [f"guide.{each}" for each in GUIDE], 0.97),
        ("arrivals.fods", [f"arrivals.{each}" for each in ARRIVALS], 0.97),
        ("review.fodp", [f"review.{each}" for each in REVIEW], 0.95),
    ],
)
def test_files_that_office_wrote_are_read_whole(source, names, least):
    expected = words_of_source(source)
    found = {name: recall(read(name).text, expected) for name in names}
    lost_notes = {"review.ppt"}  # of the old PowerPoint's files, speakers' notes are not read
    assert {name: share for name, share in found.items() if share < least and name not in lost_notes} == {}


GUIDE_TEXT = """# The harbour master\u2019s guide

Every vessel announces itself before the outer buoy. The load limit is 10^6 newton.

## Berths

- Northern quay for tankers
- Southern quay for ferries
- Dry dock, by appointment
"""


@pytest.mark.parametrize("suffix", ["docx", "docm", "dotx", "odt", "rtf"])
def test_headings_lists_and_powers_are_markdown(suffix):
    assert read(f"guide.{suffix}").text.startswith(GUIDE_TEXT)
    assert (
        "| Vessel | Fee | Due |\n| --- | --- | --- |\n| Barge | 120 crowns | monthly |"
        in read(f"guide.{suffix}").text
    )


@pytest.mark.parametrize(
    "name", ["guide.docx", "guide.odt", "guide.epub", "arrivals.xlsx", "arrivals.ods", "review.pptx"]
)
def test_title_author_and_dates_are_those_of_the_properties(name):
    document = read(name)
    assert document.title == {"g": "Harbour guide", "a": "Arrivals", "r": "Annual review"}[name[0]]
    assert document.metadata["author"] == "Ada Winter"
    assert document.metadata["modified"].startswith("2025-01-02T09:30:00")
    assert document.media_type == MEDIA_TYPES[Path(name).suffix]


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_sheets_of_a_workbook_are_headed_by_their_names(suffix):
    text = read(f"arrivals.{suffix}").text
    assert "## Arrivals 2024\n\n| Vessel | Flag | Crew | Draught |" in text
    assert "## Tide table\n\n| Hour | Height |\n| --- | --- |\n| dawn | 1.2 |" in text


def test_sheets_of_an_old_workbook_are_named_above_its_tables():
    assert read("arrivals.xls").text.startswith("Sheets: Arrivals 2024, Tide table, Empty\n\n| Vessel |")


@pytest.mark.parametrize("suffix", ["pptx", "odp"])
def test_notes_of_a_speaker_are_text_of_the_slides(suffix):
    text = read(f"review.{suffix}").text
    assert "Thank the pilots first." in text
    assert "New crane in service" in text


def test_comments_headers_and_footers_are_not_text():
    for suffix in ("docx", "odt"):
        text = read(f"guide.{suffix}").text
        assert not re.search("Ask the pilot|internal|Printed on both sides", text)


def test_a_mail_is_its_subject_its_text_and_the_names_of_what_is_attached(load):
    mail = EmailMessage()
    mail["From"], mail["To"] = "Ada <ada@example.org>", "ben@example.org"
    mail["Subject"], mail["Date"] = "Grüße", "Tue, 05 Mar 2024 10:00:00 +0000"
    mail.set_content("Grüße aus Köln.\n")
    mail.add_attachment(b"%PDF-1.4 secret", maintype="application", subtype="pdf", filename="plan.pdf")
    [document] = load("a.eml", mail.as_bytes())
    assert (document.title, document.metadata["author"]) == ("Grüße", "Ada <ada@example.org>")
    assert document.metadata["created"] == "2024-03-05T10:00:00+00:00"
    assert "Grüße aus Köln." in document.text
    assert "plan.pdf" in document.text
    assert "JVBERi" not in document.text  # the PDF in base64


def test_a_notebook_is_its_cells_and_none_of_its_pictures(load):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "Some text"]},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": ["if a < b:\n", "    f(x)"], "outputs": [
            {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo" + "A" * 500}}]},
    ]  # fmt: skip
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    [document] = load("a.ipynb", json.dumps(notebook))
    assert (document.title, document.text) == (
        "Title",
        "# Title\n\nSome text\n\n```\nif a < b:\n    f(x)\n```\n",
    )


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (r"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}\f0\pard Gr\'fc\'dfe \b World\b0\par}", "Grüße World"),
        (r"{\rtf1\ansi un\b believ\b0 able 10{\super 6} N\par}", "unbelievable 10^6 N"),
        (r"{\rtf1\ansi{\*\footnote}slack{\super\chftn{\*\footnote\chftn  In fog.}}\par}", "slack In fog."),
    ],
)
def test_rtf_is_read_without_its_markup(load, rtf, text):
    assert " ".join(load("a.rtf", rtf)[0].text.split()) == text


def test_a_saved_page_is_read(load):
    page = (
        "From: <Saved by Blink>\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=xx\n\n--xx\n"
        "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
        "<html><body><h1>Head</h1><p>Gr=C3=BC=C3=9Fe</p></body></html>\n--xx--\n"
    )
    assert load("a.mhtml", page)[0].text == "# Head\n\nGrüße\n"


def test_word_documents_are_read_as_markdown(load):
    heading = f'<w:p><w:pPr><w:pStyle w:val="Heading2"/></w:pPr>{run("Heading")}</w:p>'
    cells = f"<w:tbl><w:tr><w:tc>{paragraph('a')}</w:tc><w:tc>{paragraph('b|c')}</w:tc></w:tr></w:tbl>"
    [loaded] = load("a.docx", word_document(heading, paragraph("A paragraph."), cells, title="The title"))
    assert (loaded.title, loaded.metadata["author"]) == ("The title", "Ada Winter")
    assert loaded.text == "## Heading\n\nA paragraph.\n\n| a | b\\|c |\n| --- | --- |\n"


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (f"<w:p>{run('It is ')}<w:ins>{run('new')}</w:ins>{run('.')}</w:p>", "It is new."),
        (
            f"<w:p>{run('It is')}<w:del><w:r><w:delText> old</w:delText></w:r></w:del>{run('.')}</w:p>",
            "It is.",
        ),
        (f"<w:p><w:moveFrom>{run('from')}</w:moveFrom><w:moveTo>{run('to')}</w:moveTo></w:p>", "to"),
        (f"<w:p>{run('By ')}<w:sdt><w:sdtContent>{run('me')}</w:sdtContent></w:sdt></w:p>", "By me"),
        (f"<w:sdt><w:sdtContent>{paragraph('A block')}</w:sdtContent></w:sdt>", "A block"),
        (f"<w:p><w:fldSimple>{run('Page 3')}</w:fldSimple></w:p>", "Page 3"),
        (
            "<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>"
            f"{paragraph('Click here to enter text')}</w:sdtContent></w:sdt>",
            "",
        ),
        (
            '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj>'
            f"</w:sdtPr><w:sdtContent>{paragraph('Rivers 2')}</w:sdtContent></w:sdt>",
            "",
        ),
        (
            table(paragraph("a") + table(paragraph("b"), paragraph("c")) + paragraph("d"), paragraph("e")),
            "| a b c d |\n| --- |\n| e |",
        ),
        (
            f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc>{paragraph('gone')}</w:tc></w:tr></w:tbl>",
            "",
        ),
    ],
)
def test_word_documents_say_what_they_do_once_all_changes_are_accepted(load, xml, text):
    [loaded] = load("a.docx", word_document(xml))
    assert loaded.text.strip() == text


RAISED = '<w:vertAlign w:val="superscript"/>'
RUBY = (
    "<w:r><w:ruby><w:rubyPr/><w:rt><w:r><w:t>かんじ</w:t></w:r></w:rt>"
    "<w:rubyBase><w:r><w:t>漢字</w:t></w:r></w:rubyBase></w:ruby></w:r>"
)
EQUATION = "<m:oMath><m:r><m:t>E=m</m:t></m:r><m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>"
LINK = f'<w:hyperlink w:anchor="x">{run("the link")}</w:hyperlink>'


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (f"<w:p>{run('10')}{run('6', RAISED)}{run(' N')}</w:p>", "10^6 N"),
        (f"<w:p>{run('un')}{run('believ', '<w:b/>')}{run('able, ')}{run('so', '<w:i/>')}{run('.')}</w:p>",
         "unbelievable, so."),
        (f"<w:p>{RUBY}{run('を読む')}</w:p>", "漢字(かんじ)を読む"),
        (f"<w:p>{run('It is ')}{EQUATION}</w:p>", "It is E=mc^{2}"),
        (f"<w:p>{EQUATION}</w:p>", "E=mc^{2}"),
        (f"<w:p>{run('See ')}{LINK}{run('.')}</w:p>", "See the link."),
        (f"<w:p>{run('a')}<w:r><w:tab/></w:r>{run('b')}<w:r><w:br/></w:r>{run('c')}</w:p>", "a b c"),
    ],
)  # fmt: skip
def test_pieces_of_a_word_that_look_different_stay_one_word(load, xml, text):
    assert " ".join(load("a.docx", word_document(xml))[0].text.replace("$", "").split()) == text


def test_what_is_exported_as_a_word_document_is_read_as_what_it_is(load):
    """Confluence writes a saved page, many systems HTML, under the suffix of Word or Excel."""
    page = "<html><body><h1>Runbook</h1><p>Restart it.</p></body></html>"
    saved = f"Date: now\nMIME-Version: 1.0\nContent-Type: text/html\n\n{page}"
    for name, data in (("a.doc", saved), ("b.doc", page), ("c.xls", f"\n<!-- made by -->{page}")):
        assert load(name, data)[0].text == "# Runbook\n\nRestart it.\n"


def test_a_relationship_that_leads_nowhere_hides_no_text(load):
    lost = '<Relationship Id="r9" Type="http://x/image" Target="media/gone.png"/>'
    assert load("a.docx", word_document(paragraph("Text."), relation=lost))[0].text == "Text.\n"


def test_a_file_is_what_it_holds_whatever_it_is_called(load):
    """Old reports of the web are HTML under the name of a Word document, and so on."""
    assert load("a.doc", word_document(paragraph("Text.")))[0].text == "Text.\n"
    assert load("b.docx", (OFFICE / "guide.doc").read_bytes())[0].text.startswith("# The harbour")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.docx", b"PK\x03\x04 broken", "it is not a valid Word document, or a damaged one"),
        ("a.pptx", b"plain text", "it is not a valid PowerPoint presentation\\."),
        (
            "a.xls",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "it is not a valid Excel workbook, or a damaged one",
        ),
        ("a.epub", b"PK", "it is not a valid EPUB file"),
        ("a.eml", b"hello", "it is not a valid EML file\\."),
        ("a.ipynb", b"{}", "it is not a valid IPYNB file, or holds no text"),
        ("a.rtf", b"plain text", "it is not a valid RTF file"),
    ],
)
def test_what_is_no_such_file_is_refused(load, name, data, words):
    with pytest.raises(UnreadableDocumentError, match=words):
        load(name, data)


def test_a_document_of_pictures_names_ocr(load):
    picture = '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"><a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill><a:blip xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" r:embed="rId1"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>'
    with pytest.raises(UnreadableDocumentError, match="1 pictures and no text: run it through OCR"):
        load("a.docx", word_document(picture))


def test_a_blank_document_is_one_without_text(load):
    assert load("a.docx", word_document())[0].text == ""
