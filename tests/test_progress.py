"""utils.progress: the bar, and how to hide it."""

from utils.progress import progress_bar


def test_the_bar_counts(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE")
    with progress_bar(total=3, desc="reading") as bar:
        bar.update(3)
    assert "reading: 100%" in capsys.readouterr().err


def test_tqdm_disable_hides_it(monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with progress_bar(total=3) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
