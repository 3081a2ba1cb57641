"""Lines are appended whole or not at all, also after a crash or with a full disk."""

from __future__ import annotations

import sys

import pytest

from latent.tracking.journal import LineFile


def test_lines_follow_each_other(tmp_path):
    path = tmp_path / "lines"
    file = LineFile(path)
    file.append(b"1\n")
    file.append(b"")
    file.append(b"2\n3\n")
    assert path.read_bytes() == b"1\n2\n3\n"


def test_half_a_line_left_by_a_killed_process_is_replaced(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b'{"a":1}\n{"b":')
    LineFile(path).append(b'{"c":3}\n')
    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n'


def test_a_file_deleted_meanwhile_starts_again(tmp_path):
    path = tmp_path / "lines"
    file = LineFile(path)
    file.append(b"1\n")
    path.unlink()
    file.append(b"2\n")
    assert path.read_bytes() == b"2\n"


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on file sizes is POSIX's")
def test_a_batch_that_does_not_fit_leaves_no_part_of_itself(tmp_path):
    import resource

    path = tmp_path / "lines"
    file = LineFile(path)
    file.append(b"x" * 99 + b"\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            file.append(b"y" * 99 + b"\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"x" * 99 + b"\n"
    file.append(b"z\n")
    assert path.read_bytes() == b"x" * 99 + b"\nz\n"
