import os
import stat

import pytest

from utils.files import write_atomically


def test_data_is_written_and_folders_are_made(tmp_path, files_in):
    write_atomically(tmp_path / "new" / "folder" / "file", b"data")
    assert (tmp_path / "new" / "folder" / "file").read_bytes() == b"data"
    assert files_in(tmp_path) == ["file"]


def test_a_path_may_be_a_string(tmp_path):
    write_atomically(str(tmp_path / "file"), b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_new_file_is_readable_by_all_and_an_old_one_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o600)
    write_atomically(path, b"two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"two"


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else(
    tmp_path, files_in, small_disk
):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with small_disk(), pytest.raises(OSError, match="File too large"):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == ["file"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file" / "below", b"data")


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    target, link = tmp_path / "far" / "a", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_new_file_obeys_the_umask(tmp_path):
    old = os.umask(0o077)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
