"""Whose file is it: names of downloads, the class list, names of folders."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading import names
from grading.names import Label, Person, Roster, fold, label, safe_name

LABELS = {
    "Ana Muñoz.ipynb": "Ana Muñoz",
    "Ana Muñoz (2).ipynb": "Ana Muñoz",
    "Ana Muñoz/gate_values.ipynb": "Ana Muñoz",
    "Ana Muñoz/x.ipynb": "Ana Muñoz",
    "Ana Muñoz/gate_values/gate_values.ipynb": "Ana Muñoz",
    "gate_values_Ana Muñoz.ipynb": "Ana Muñoz",
    "Ana Muñoz_gate_values-1.ipynb": "Ana Muñoz",
    "Ana Muñoz - Gate values.ipynb": "Ana Muñoz",
    "Gate values - Ana Muñoz.ipynb": "Ana Muñoz",
    "Copy of Gate values - Ana Muñoz.ipynb": "Ana Muñoz",
    "gate-values-anamunoz/gate_values.ipynb": "anamunoz",
    "downloads/Ana Muñoz/Copy of gate_values.ipynb": "Ana Muñoz",
    "Ana Muñoz_9301_assignsubmission_file_/gate_values.ipynb": "Ana Muñoz",
    "batch/Ana Muñoz_9301_assignsubmission_file_/a/b.ipynb": "Ana Muñoz",
    "Ana Muñoz_9301_assignsubmission_file_gate_values.ipynb": "Ana Muñoz",
    "munozana_4711_890_gate_values-2.ipynb": "munozana",
    "munozana_LATE_4711_890_gate_values.ipynb": "munozana",
    "王小明.ipynb": "王小明",
    "gate_values.ipynb": "gate_values",
}


@pytest.mark.parametrize(("path", "name"), LABELS.items())
def test_label(path, name):
    assert label(tuple(path.split("/")), "gate_values", is_batch=False).text == name


def test_label_in_a_batch():
    assert label(("week 3", "Ana.ipynb"), "gate_values", is_batch=True).text == "Ana"


def test_platform_ids_tell_namesakes_apart():
    paths = [(f"Ana Li_{n}_assignsubmission_file_", "x.ipynb") for n in (1, 2)]
    one, other = (label(path, "gate_values", is_batch=False) for path in paths)
    assert one.text == other.text
    assert one.platform_id != other.platform_id


@pytest.mark.parametrize(
    ("stem", "number"),
    [("x", 0), ("x (3)", 3), ("x-2", 2), ("x copy", 1), ("x copy 4", 4), ("x 2026", 0)],
)
def test_version(stem, number):
    assert names.version(stem) == number


@pytest.mark.parametrize(
    "stem", ["gate_values", "Gate Values", "Copy of gate-values (1)", "Untitled"]
)
def test_cleaned_leaves_nothing_of_what_is_no_name(stem):
    assert names.cleaned(stem, "gate_values") == ""


PEOPLE = [
    Person("s100", "Ana Muñoz", "ana@example.org"),
    Person("s101", "Jörg Müller-Weiß", "jmw@example.org"),
    Person("s102", "王小明", "wang@example.org"),
    Person("s103", "Kim Lee", ""),
    Person("s104", "Kim Lee", "kim2@example.org"),
]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("Ana Muñoz", "s100"),
        ("MUNOZ, Ana", "s100"),
        ("munozana", "s100"),
        ("ana@example.org", "s100"),
        ("ana", "s100"),
        ("s100", "s100"),
        ("Anita s100", "s100"),
        ("Joerg Mueller-Weiss", "s101"),
        ("Muller Weiss Jorg", "s101"),
        ("jmw", "s101"),
        ("王小明", "s102"),
        ("kim2", "s104"),
    ],
)
def test_roster_matches(text, id):
    person, reason = Roster(PEOPLE).match(Label((text,)))
    assert person.id == id
    assert reason == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Kim Lee", "'Kim Lee' fits several of the class list: s103, s104"),
        ("Eve", "'Eve' is not in the class list"),
    ],
)
def test_roster_does_not_guess(text, reason):
    assert Roster(PEOPLE).match(Label((text,))) == (None, reason)


def test_roster_tries_every_folder():
    person, _ = Roster(PEOPLE).match(Label(("homework 3", "Ana Muñoz")))
    assert person.id == "s100"


@pytest.mark.parametrize("separator", [",", ";"])
def test_read_roster(tmp_path, separator):
    path = tmp_path / "class.csv"
    lines = ["ID,Name,Email", "7,王小明,w@example.org", "8,Ana,"]
    path.write_text("\n".join(lines).replace(",", separator), encoding="utf-8-sig")
    wang, ana = Person("7", "王小明", "w@example.org"), Person("8", "Ana", "")
    assert names.read_roster(path) == [wang, ana]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number,who\n1,Ana", "has the columns number, who; expected id, name"),
        ("id,name\n1,Ana\n1,Bo", "'Ana' has the id '1'; expected one of its own"),
        ("id,name\n,Ana", "'Ana' has the id ''; expected one of its own"),
    ],
)
def test_bad_roster(tmp_path, text, said):
    path = tmp_path / "class.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        names.read_roster(path)


@given(st.text())
def test_safe_names_are_safe(text):
    name = safe_name(text)
    assert name
    assert name == name.strip(" .")
    assert len(name.encode()) <= 140
    assert not set(name) & set('/\\:*?"<>|[]{}\n\0')
    assert safe_name(name) == name


@pytest.mark.parametrize("text", ["Ana María Muñoz", "王 小明", "O'Brien-Šćepan"])
def test_safe_names_keep_names(text):
    assert safe_name(text) == text
    assert safe_name(unicodedata.normalize("NFD", text)) == text


@given(st.text())
def test_fold_is_stable(text):
    assert fold(fold(text)) == fold(text)
    assert fold(text.upper().lower()) == fold(text.lower())
