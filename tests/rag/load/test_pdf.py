"""PDF: the text of its pages, with what was filled in and typed onto them."""

from __future__ import annotations

import pytest

from latent.errors import UnreadableDocumentError
from latent.rag import chunk_document


def pdf_of(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
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
        (b"%PDF-1.4\nbroken", "it is no PDF, or a damaged one"),
        (b"no PDF at all", "it is no PDF, or a damaged one"),
        (pdf_of("", ""), "its 2 pages hold no text"),
    ],
)
def test_pdfs_without_text_are_refused(load, data, words):
    with pytest.raises(UnreadableDocumentError, match=words):
        load("a.pdf", data)
