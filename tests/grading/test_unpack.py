"""Archives from strangers: within limits, under names of our own, nothing is lost."""

import io
import os
import time
import zipfile

import pytest

from grading import unpack
from grading.unpack import files

TIME = (2026, 3, 1, 12, 30, 2)


def zipped(entries):
    """Return an archive with these contents by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


@pytest.fixture
def found(tmp_path):
    """A function that lists what is handed in as files of these contents, by name."""

    def unpacked(entries):
        folder = tmp_path / "submissions"
        for name, content in entries.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return {file.name: file for file in files(folder, tmp_path / "scratch")}

    return unpacked


def test_loose_files_stay_where_they_are(found, tmp_path):
    file = found({"Ana/x.ipynb": b"1"})["Ana/x.ipynb"]
    assert file.path == tmp_path / "submissions/Ana/x.ipynb"
    assert file.size == 1
    assert file.time == pytest.approx(time.time(), abs=60)


def test_archives_count_as_folders(found):
    inner = zipped({"x.ipynb": b"2"})
    both = found({"all.zip": zipped({"Ana/x.ipynb": b"1", "Bo/work.zip": inner})})
    assert {name: file.path.read_bytes() for name, file in both.items()} == {
        "all/Ana/x.ipynb": b"1",
        "all/Bo/work/x.ipynb": b"2",
    }
    assert both["all/Ana/x.ipynb"].time == time.mktime((*TIME, 0, 0, -1))


def test_an_archive_itself_can_be_given(tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(zipped({"Ana.ipynb": b"1"}))
    assert [f.name for f in files(path, tmp_path / "scratch")] == ["all/Ana.ipynb"]


def test_system_files_are_left_out(found):
    names = ("__MACOSX/._Ana.ipynb", ".git/config", "Ana/.DS_Store", "Thumbs.db")
    archive = zipped(dict.fromkeys(names, b"x"))
    assert found({"all.zip": archive} | dict.fromkeys(names, b"x")) == {}


@pytest.mark.parametrize(
    "name", ["../../evil.ipynb", "/evil.ipynb", "..\\..\\evil.ipynb", "C:\\evil.ipynb"]
)
def test_paths_cannot_leave(found, tmp_path, name):
    listed = found({"all.zip": zipped({name: b"x"})})
    assert list(listed) == ["all/evil.ipynb"]
    assert listed["all/evil.ipynb"].path.parent == tmp_path / "scratch"
    assert not list(tmp_path.parent.rglob("evil*"))


def test_links_are_not_followed(found, tmp_path):
    (tmp_path / "submissions").mkdir()
    (tmp_path / "secret").write_text("x")
    os.symlink(tmp_path / "secret", tmp_path / "submissions" / "Ana.ipynb")
    assert found({})["Ana.ipynb"].problem == "it is a link or no file at all"


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_names_that_do_not_say_their_encoding(found, encoding):
    meant = "王小明".encode(encoding)
    written = b"A" * len(meant)
    archive = zipped({f"{written.decode()}.ipynb": b"x"}).replace(written, meant)
    assert list(found({"all.zip": archive})) == ["all/王小明.ipynb"]


def test_bombs_do_no_harm(found, monkeypatch, tmp_path):
    monkeypatch.setattr(unpack, "LARGEST_FILE", 1000)
    bomb = zipped({"bomb.ipynb": bytes(10**7), "Bo.ipynb": b"fine"})
    listed = found({"all.zip": bomb})
    assert listed["all/Bo.ipynb"].path.read_bytes() == b"fine"
    said = "it would have 10 MiB unpacked, which is too much"
    assert listed["all/bomb.ipynb"].problem == said
    assert sum(path.stat().st_size for path in (tmp_path / "scratch").iterdir()) == 4


def test_a_bomb_takes_no_room_from_others(found, monkeypatch):
    monkeypatch.setattr(unpack, "LEAST_ROOM", 1000)
    monkeypatch.setattr(unpack, "EXPANSION", 0)
    entries = {f"{n}.txt": bytes(400) for n in range(5)} | {"Bo.ipynb": b"fine"}
    listed = found({"all.zip": zipped(entries)})
    assert not listed["all/Bo.ipynb"].problem
    assert sum(bool(file.problem) for file in listed.values()) == 3


def test_archives_in_archives_end(found):
    archive = zipped({"x.ipynb": b"x"})
    for depth in range(5):
        archive = zipped({f"{depth}.zip": archive})
    (file,) = found({"all.zip": archive}).values()
    assert file.problem == "it lies too deep, in archives in archives"


def test_an_archive_that_lies_about_sizes(found):
    archive = zipped({"x.ipynb": b"y" * 5000})
    small, true = (10).to_bytes(4, "little"), (5000).to_bytes(4, "little")
    (file,) = found({"all.zip": archive.replace(true, small)}).values()
    assert file.problem.startswith("it cannot be unpacked: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Ana.zip", "it cannot be unpacked: File is not a zip file"),
        ("Ana.rar", "it is an archive of the kind .rar, and only .zip is unpacked"),
    ],
)
def test_what_is_no_archive_is_listed(found, name, said):
    assert found({name: b"broken"})[name].problem == said


def test_an_encrypted_archive_is_listed(found):
    archive = bytearray(zipped({"x.ipynb": b"x"}))
    archive[6] |= 1  # the flag of the local header, and that of the directory
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    (file,) = found({"Ana.zip": bytes(archive)}).values()
    assert "encrypted" in file.problem


def test_an_archive_with_too_many_files(found, monkeypatch):
    monkeypatch.setattr(unpack, "MOST_ENTRIES", 3)
    (file,) = found({"Ana.zip": zipped({str(n): b"" for n in range(4)})}).values()
    assert file.problem == "it cannot be unpacked: it has 4 entries"
