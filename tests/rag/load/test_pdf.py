"""PDF: the text of its pages, with what was filled in and typed onto them."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent.errors import UnreadableDocumentError
from latent.rag import chunk_document, load_document

PDF = Path(__file__).parent / "pdf"


def pdf_of(*pages: str, first: str = "", form: str = "", objects: tuple[str, ...] = ()) -> bytes:
    """
    A PDF with a line of text on each page.

    Args:
        first: What the first page says besides, such as `/Annots [90 0 R]`.
        form: What the catalog says of a form.
        objects: More of them, by the numbers that follow the pages'.
    """
    more = objects
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {form} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> {'' if number else first} >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    objects += more
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(out)
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    return out + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()


def test_pages_of_a_pdf_are_one_text(load):
    [document] = load("a.pdf", pdf_of("The first page.", "The second page."))
    assert document.text == "The first page.\nThe second page."
    assert [chunk.metadata["page"] for chunk in chunk_document(document, chunk_size=17, overlap=0)] == [1, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.4\nbroken", "it is not a PDF, or a damaged one"),
        (b"no PDF at all", "it is not a PDF, or a damaged one"),
        (pdf_of("", ""), "its 2 pages hold no text"),
    ],
)
def test_pdfs_without_text_are_refused(load, data, words):
    with pytest.raises(UnreadableDocumentError, match=words):
        load("a.pdf", data)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("form.pdf", ["Okonkwo", "Gold"]),
        ("form-only.pdf", ["typed into the form"]),
        ("freetext.pdf", ["Typed onto the page"]),
    ],
)
def test_what_was_typed_into_a_pdf_is_text(name, words):
    [document] = load_document(name, root=PDF)
    for each in words:
        assert document.text.count(each) == 1


def test_a_glyph_for_two_arabic_letters_gives_them_in_order():
    """In the second word, the article's alef and lam are glyphs of their own, and the other pair is one."""
    [document] = load_document("arabic.pdf", root=PDF)
    assert document.text.split() == ["خلال", "المشكلات"]


def field(kind: str, value: str) -> str:
    """A field of a form, with no appearance of its own: a viewer has to make one."""
    return (
        f"<< /Type /Annot /Subtype /Widget /FT /{kind} /T (name) /V ({value}) /Opt [({value}) (other)] /F 4 "
        "/Rect [72 600 400 620] /DA (/Helv 12 Tf 0 g) >>"
    )


@pytest.mark.parametrize("kind", ["Tx", "Ch"])
def test_fields_without_an_appearance_are_read(load, kind):
    data = pdf_of(
        "A form.",
        first="/Annots [6 0 R]",
        form="/AcroForm << /Fields [6 0 R] /NeedAppearances true /DA (/Helv 12 Tf 0 g) "
        "/DR << /Font << /Helv 3 0 R >> >> >>",
        objects=(field(kind, "Okonkwo"),),
    )
    text = load("a.pdf", data)[0].text
    assert "A form." in text
    assert text.count("Okonkwo") == 1


def test_a_note_typed_onto_a_page_stands_below_its_text(load):
    place = "/Rect [72 500 300 520] /DA (/F1 12 Tf)"
    note = f"<< /Type /Annot /Subtype /FreeText /Contents (See page 9\\(b\\).) {place} >>"
    sticky = "<< /Type /Annot /Subtype /Text /Contents (A comment of a reviewer) /Rect [0 0 9 9] >>"
    data = pdf_of("Text.", "More.", first="/Annots [8 0 R 9 0 R]", objects=(note, sticky))
    assert load("a.pdf", data)[0].text == "Text.\nSee page 9(b).\nMore."


def test_pages_with_pictures_alone_are_told_and_blank_ones_are_not(load):
    [document] = load_document("mixed-scan.pdf", root=PDF)
    assert document.metadata["pages_without_text"] == [2, 3, 4]
    assert load("a.pdf", pdf_of("Text.", ""))[0].metadata == {}


def test_a_pdf_of_pictures_alone_is_refused_and_names_ocr(load):
    picture = (
        "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 "
        "/Length 1 >>\nstream\nx\nendstream"
    )
    data = pdf_of("", first="/Annots []", objects=(picture,))
    with pytest.raises(UnreadableDocumentError, match=r"its 1 pages hold no text.* run it through OCR"):
        load("a.pdf", data)
