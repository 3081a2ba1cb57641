"""The process that reads Office files: what it survives, what it does not, and that it outlives nobody."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from latent.errors import UnreadableDocumentError
from latent.rag import load_document
from latent.rag.load.loading import documents_in
from latent.rag.load.office import reading
from latent.rag.load.office.process import ReaderProcess, ReaderProcessError
from tests.rag.load.office_files import paragraph, word_document

OFFICE = Path(__file__).parent / "office"
NASTY = Path(__file__).parents[4] / "shared" / "data" / "nasty"
GUIDE = (OFFICE / "guide.docx").read_bytes()
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory, and shows processes")


@pytest.fixture
def reader():
    made: list[ReaderProcess] = []

    def make(**limits: float) -> ReaderProcess:
        made.append(ReaderProcess(**limits))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def long_document(paragraphs: int) -> bytes:
    return word_document(*(paragraph(f"Paragraph {number} of many.") for number in range(paragraphs)))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One whose parent has not asked for its end yet has ended all the same.
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True


def ends(pid: int, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while is_there(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_one_process_reads_all_documents(reader):
    one = reader()
    assert one.pid is None  # none is started before there is something to read
    assert "harbour" in one.ask(".docx", GUIDE)["text"]
    first = one.pid
    assert "error" in one.ask(".docx", b"PK broken")
    assert "harbour" in one.ask(".docx", GUIDE)["text"]
    assert one.pid == first


def test_threads_wait_for_each_other(reader):
    one = reader()
    documents = [word_document(paragraph(f"Number {number}.")) for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: one.ask(".docx", data)["text"], documents))
    assert found == [f"Number {number}.\n" for number in range(40)]


def test_one_that_was_killed_is_replaced(reader):
    one = reader()
    one.ask(".docx", GUIDE)
    first = one.pid
    os.kill(first, signal.SIGKILL)
    while one.pid is not None:  # until then its threads may still be ending, and its pipes are open
        time.sleep(0.01)
    assert "harbour" in one.ask(".docx", GUIDE)["text"]
    assert one.pid != first


@LINUX
def test_a_document_that_takes_too_much_memory_is_that_documents_failure(reader):
    one = reader(memory_bytes=1 * 1024**3)
    said = one.ask(".docx", GUIDE)
    try:
        said = one.ask(".docx", long_document(400_000))
        assert "takes more than the memory" in said["error"]
    except ReaderProcessError as error:
        assert "takes more than 1 GiB" in str(error)
    assert "harbour" in one.ask(".docx", GUIDE)["text"]


def test_a_document_that_takes_too_long_is_stopped(reader):
    one = reader(seconds=1)
    one.ask(".docx", GUIDE)
    first = one.pid
    with pytest.raises(ReaderProcessError, match="not read within 1 seconds"):
        one.ask(".docx", long_document(150_000))
    assert ends(first)
    assert "harbour" in one.ask(".docx", GUIDE)["text"]


def test_a_document_that_takes_its_reader_down_is_a_failed_row(load, monkeypatch):
    monkeypatch.setattr(reading, "_reader", ReaderProcess(seconds=1))
    load("a.docx", GUIDE)
    with pytest.raises(
        UnreadableDocumentError, match=r"b\.docx cannot be read: it is not read within 1 seconds"
    ):
        load("b.docx", long_document(150_000))
    assert load("c.docx", GUIDE)[0].text
    reading._reader.stop()


@LINUX
def test_it_sees_no_secret_and_lies_beside_no_file(reader, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    one = reader()
    one.ask(".docx", GUIDE)
    assert b"sk-secret" not in Path(f"/proc/{one.pid}/environ").read_bytes()
    assert Path(f"/proc/{one.pid}/cwd").readlink() == Path("/")


PARENT = """
import os, signal, sys, time
from latent.rag.load.office.process import ReaderProcess
one = ReaderProcess()
one.ask(".docx", open(sys.argv[1], "rb").read())
if sys.argv[2] == "fork" and os.fork() == 0:
    if sys.argv[3:]:  # keeps what it has inherited open, as a library of the user's might
        time.sleep(20)
    os._exit(0)
print(one.pid, flush=True)
if sys.argv[2] == "busy":
    import threading
    threading.Thread(target=one.ask, args=(".docx", open(sys.argv[3], "rb").read())).start()
    time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.parametrize("how", ["idle", "busy", "fork", "fork-and-stay"])
def test_it_ends_with_its_parent_however_that_ends(tmp_path, how):
    (tmp_path / "long.docx").write_bytes(long_document(300_000))
    more = {"busy": [str(tmp_path / "long.docx")], "fork-and-stay": ["stay"]}.get(how, [])
    command = [sys.executable, "-c", PARENT, str(OFFICE / "guide.docx"), how.partition("-")[0], *more]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.stdout.close()
    assert parent.wait(60) == -signal.SIGKILL
    assert ends(pid)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_has_a_reader_of_its_own(reader):
    one = reader()
    one.ask(".docx", GUIDE)
    first = one.pid
    with pytest.warns(DeprecationWarning) if sys.version_info >= (3, 12) else nullcontext():
        child = os.fork()
    if child == 0:
        is_right = one.pid is None and "harbour" in one.ask(".docx", GUIDE)["text"] and one.pid != first
        one.stop()
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert "harbour" in one.ask(".docx", GUIDE)["text"]
    assert one.pid == first


def _title(path: str) -> tuple[str, int | None]:
    return load_document(path, root=OFFICE)[0].title, reading._reader.pid


def test_processes_of_a_pool_have_readers_of_their_own():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_title, ["guide.docx", "arrivals.xlsx", "review.pptx"]))
    assert [title for title, _ in found] == ["Harbour guide", "Arrivals", "Annual review"]
    assert all(ends(pid) for _, pid in found if pid is not None)


def test_workers_of_dask_read():
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(1, **options) as cluster, distributed.Client(cluster) as client:
        found = client.gather(client.map(_title, ["guide.odt", "arrivals.ods", "review.odp"]))
    assert [title for title, _ in found] == ["Harbour guide", "Arrivals", "Annual review"]


def test_a_notebook_reads(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = f"from latent.rag import load_document\nload_document('guide.docx', root={str(OFFICE)!r})[0].title"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == "'Harbour guide'"


def mutations(count: int) -> list[tuple[str, bytes]]:
    """Office files that are cut off, have bytes changed, or another suffix, and nasty files under theirs."""
    random = Random(12)
    files = {each.suffix: each.read_bytes() for each in sorted(OFFICE.glob("*.*")) if each.suffix != ".gz"}
    files[".ppt"] = gzip.decompress((OFFICE / "review.ppt.gz").read_bytes())
    strangers = (
        [each.read_bytes() for each in sorted(NASTY.rglob("*.*"))] if NASTY.exists() else [b"", b"\0" * 999]
    )
    suffixes = sorted(files)
    made = []
    for number in range(count):
        suffix, data = suffixes[number % len(suffixes)], files[suffixes[number % len(suffixes)]]
        kind = number // len(suffixes) % 4
        if kind == 0:
            data = data[: random.randrange(len(data))]
        elif kind == 1:
            changed = bytearray(data)
            for _ in range(random.randrange(1, 40)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            data = bytes(changed)
        elif kind == 2:
            data = random.choice(strangers)[:2_000_000]
        else:
            data = files[random.choice(suffixes)]
        made.append((f"f{number}{suffix}", data))
    return made


def test_a_thousand_damaged_files_have_clear_outcomes_and_kill_nobody():
    documents_in(GUIDE, "first.docx")
    pid = reading._reader.pid
    outcomes: Counter[str] = Counter()
    for name, data in mutations(1000):
        try:
            [document] = documents_in(data, name)
        except UnreadableDocumentError as error:
            assert str(error).startswith(f"{name} cannot be read: ")
            outcomes["refused"] += 1
        else:
            assert document.text or len(data) == 0, f"{name} lost its text without a word"
            outcomes["text"] += 1
            document.text.encode()
    assert reading._reader.pid == pid
    assert outcomes["refused"] > 400
    assert outcomes["text"] > 200
