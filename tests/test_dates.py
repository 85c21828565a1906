import datetime
import itertools
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import PAIRS, VOCABS, seeded, seeds
from utils.dates import (
    DIGITS_ZH,
    END,
    FORMATS,
    HELD_OUT_FORMATS,
    INTERVALS,
    START,
    TARGET_ALPHABET,
    date_pairs,
    encode_pairs,
    number_zh,
    ordinal_words,
    render,
    split_days,
    words,
    year_words,
)
from utils.text import Vocab

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
NUM_DAYS = 200 * 365 + 49  # 1900 had no 29 February, 2000 had one
ALL_FORMATS = FORMATS + HELD_OUT_FORMATS
dates = st.dates(FIRST, LAST)
all_formats = pytest.mark.parametrize("format", ALL_FORMATS)


# ---- Numbers in words ----

DAYS_OF_A_MONTH = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
    "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth "
    "twentieth twenty-first twenty-second twenty-third twenty-fourth twenty-fifth "
    "twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)


def test_numbers_in_words():
    numbers = [0, 1, 10, 11, 13, 19, 20, 42, 50, 67, 80, 99]
    assert ", ".join(map(words, numbers)) == (
        "zero, one, ten, eleven, thirteen, nineteen, twenty, forty-two, fifty, "
        "sixty-seven, eighty, ninety-nine"
    )
    assert len({words(number) for number in range(100)}) == 100


def test_ordinals_in_words():
    assert " ".join(map(ordinal_words, range(1, 32))) == DAYS_OF_A_MONTH
    assert ", ".join(map(ordinal_words, [40, 42, 50, 60, 73, 80, 90, 99])) == (
        "fortieth, forty-second, fiftieth, sixtieth, seventy-third, eightieth, "
        "ninetieth, ninety-ninth"
    )
    assert len({ordinal_words(number) for number in range(1, 100)}) == 99


def test_years_in_words():
    assert ", ".join(map(year_words, [1900, 1901, 1909, 1910, 1987, 1999])) == (
        "nineteen hundred, nineteen oh one, nineteen oh nine, nineteen ten, "
        "nineteen eighty-seven, nineteen ninety-nine"
    )
    assert ", ".join(map(year_words, [2000, 2001, 2009, 2010, 2021, 2030, 2099])) == (
        "two thousand, two thousand and one, two thousand and nine, twenty ten, "
        "twenty twenty-one, twenty thirty, twenty ninety-nine"
    )
    assert len({year_words(year) for year in range(1900, 2100)}) == 200


def test_numbers_in_chinese():
    numbers = [1, 9, 10, 11, 12, 19, 20, 23, 30, 31, 99]
    expected = "一 九 十 十一 十二 十九 二十 二十三 三十 三十一 九十九"
    assert " ".join(map(number_zh, numbers)) == expected
    assert len({number_zh(number) for number in range(1, 100)}) == 99


# ---- Dates in all formats ----

# In the order of the formats, the held-out ones last.
BY_HAND = {
    "2005-01-01": """
        1 January 2005 | 1 Jan 2005 | January 1, 2005 | Jan 1, 2005
        | 1st of January 2005 | Saturday, 1 January 2005 | Sat, Jan 1, 2005
        | 01.01.2005 | 1/1/2005 | 2005/01/01
        | 20050101 | on the 1st day of January in the year 2005
        | the first of January 2005
        | Saturday, the first of January, two thousand and five
        | 2005年1月1日 | 2005年1月1日星期六 | 二〇〇五年一月一日
        | January 1st, 2005 | Sat 1st January 2005
        | January the first, two thousand and five | 2005 January 1
        | 1-Jan-2005 | 2005.1.1 | 二〇〇五年1月1日 | 公元2005年1月1日
    """,
    "2010-11-20": """
        20 November 2010 | 20 Nov 2010 | November 20, 2010 | Nov 20, 2010
        | 20th of November 2010 | Saturday, 20 November 2010 | Sat, Nov 20, 2010
        | 20.11.2010 | 11/20/2010 | 2010/11/20
        | 20101120 | on the 20th day of November in the year 2010
        | the twentieth of November 2010
        | Saturday, the twentieth of November, twenty ten
        | 2010年11月20日 | 2010年11月20日星期六 | 二〇一〇年十一月二十日
        | November 20th, 2010 | Sat 20th November 2010
        | November the twentieth, twenty ten | 2010 November 20
        | 20-Nov-2010 | 2010.11.20 | 二〇一〇年11月20日 | 公元2010年11月20日
    """,
    "1999-12-31": """
        31 December 1999 | 31 Dec 1999 | December 31, 1999 | Dec 31, 1999
        | 31st of December 1999 | Friday, 31 December 1999 | Fri, Dec 31, 1999
        | 31.12.1999 | 12/31/1999 | 1999/12/31
        | 19991231 | on the 31st day of December in the year 1999
        | the thirty-first of December 1999
        | Friday, the thirty-first of December, nineteen ninety-nine
        | 1999年12月31日 | 1999年12月31日星期五 | 一九九九年十二月三十一日
        | December 31st, 1999 | Fri 31st December 1999
        | December the thirty-first, nineteen ninety-nine | 1999 December 31
        | 31-Dec-1999 | 1999.12.31 | 一九九九年12月31日 | 公元1999年12月31日
    """,
    "1900-08-23": """
        23 August 1900 | 23 Aug 1900 | August 23, 1900 | Aug 23, 1900
        | 23rd of August 1900 | Thursday, 23 August 1900 | Thu, Aug 23, 1900
        | 23.08.1900 | 8/23/1900 | 1900/08/23
        | 19000823 | on the 23rd day of August in the year 1900
        | the twenty-third of August 1900
        | Thursday, the twenty-third of August, nineteen hundred
        | 1900年8月23日 | 1900年8月23日星期四 | 一九〇〇年八月二十三日
        | August 23rd, 1900 | Thu 23rd August 1900
        | August the twenty-third, nineteen hundred | 1900 August 23
        | 23-Aug-1900 | 1900.8.23 | 一九〇〇年8月23日 | 公元1900年8月23日
    """,
    "2000-02-12": """
        12 February 2000 | 12 Feb 2000 | February 12, 2000 | Feb 12, 2000
        | 12th of February 2000 | Saturday, 12 February 2000 | Sat, Feb 12, 2000
        | 12.02.2000 | 2/12/2000 | 2000/02/12
        | 20000212 | on the 12th day of February in the year 2000
        | the twelfth of February 2000
        | Saturday, the twelfth of February, two thousand
        | 2000年2月12日 | 2000年2月12日星期六 | 二〇〇〇年二月十二日
        | February 12th, 2000 | Sat 12th February 2000
        | February the twelfth, two thousand | 2000 February 12
        | 12-Feb-2000 | 2000.2.12 | 二〇〇〇年2月12日 | 公元2000年2月12日
    """,
}


@pytest.mark.parametrize("iso", BY_HAND)
def test_a_date_in_every_format_is_what_a_person_would_write(iso):
    date = datetime.date.fromisoformat(iso)
    expected = [written.strip() for written in BY_HAND[iso].split("|")]
    assert [render(date, format) for format in ALL_FORMATS] == expected


def test_the_days_of_a_month_as_ordinals_in_figures():
    days = [datetime.date(2001, 1, day) for day in range(1, 32)]
    assert " ".join(render(day, "{day_th}") for day in days) == (
        "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th 13th 14th 15th 16th 17th "
        "18th 19th 20th 21st 22nd 23rd 24th 25th 26th 27th 28th 29th 30th 31st"
    )


@given(dates)
def test_the_names_of_day_and_month_are_those_of_the_standard_library(date):
    for format, standard in [
        ("{weekday} {month}", "%A %B"),
        ("{wkd} {mon}", "%a %b"),
        ("{year}{number:02}{day:02}", "%Y%m%d"),
    ]:
        assert render(date, format) == date.strftime(standard)


@given(dates)
def test_a_week_later_the_weekday_is_the_same_and_a_day_later_it_is_not(date):
    zh, day = "星期{weekday_zh}", datetime.timedelta(days=1)
    if date <= LAST - 7 * day:
        assert render(date + 7 * day, zh) == render(date, zh)
        assert render(date + day, zh) != render(date, zh)


@pytest.fixture(scope="module")
def all_days():
    return [FIRST + datetime.timedelta(days=n) for n in range(NUM_DAYS)]


@all_formats
def test_no_two_days_are_written_alike(all_days, format):
    assert all_days[-1] == LAST
    sample = all_days[::7] + all_days[:800] + all_days[36_000:38_000]
    assert len({render(day, format) for day in sample}) == len({*sample})


def test_no_line_can_mean_two_days_even_if_formats_are_mixed(all_days):
    meaning = {}
    for day, format in itertools.product(all_days[36_400:37_400], ALL_FORMATS):
        assert meaning.setdefault(render(day, format), day) == day


def test_a_name_in_braces_that_is_unknown_is_refused():
    with pytest.raises(KeyError, match="century"):
        render(FIRST, "{century}")


def test_the_formats_held_out_are_no_others():
    assert not {*FORMATS} & {*HELD_OUT_FORMATS}
    assert len({*ALL_FORMATS}) == len(ALL_FORMATS)


@given(dates)
def test_a_held_out_format_needs_no_character_that_the_others_do_not_write(date):
    known = {c for d in [date, LAST, FIRST] for f in FORMATS for c in render(d, f)}
    known |= {*DIGITS_ZH, *"0123456789"}
    unknown = {c for f in HELD_OUT_FORMATS for c in render(date, f)} - known
    assert unknown <= {"-", "公", "元"}  # the hyphen also joins words and intervals


# ---- The days for training and for validation ----


@pytest.mark.parametrize("held_out", [0.1, 0.25])
def test_the_two_lists_share_no_day_and_have_all_of_them(all_days, held_out):
    train, valid = split_days(held_out)
    assert len(valid) == int(NUM_DAYS * held_out)
    assert sorted(train + valid) == all_days


def test_the_days_come_in_random_order_and_repeat_with_the_seed():
    train, valid = split_days()
    assert (train, valid) == split_days(seed=0)
    assert valid != split_days(seed=1)[1]
    assert train != sorted(train)
    mean = sum(day.year for day in valid) / len(valid)
    assert mean == pytest.approx(1999.5, abs=3)


def test_splitting_the_days_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    split_days()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_share_of_days_that_leaves_one_list_empty_is_refused():
    with pytest.raises(ValueError, match="held_out is 1; expected a share between 0"):
        split_days(held_out=1)


# ---- Lines and what they mean ----

DAYS = [datetime.date.fromisoformat(iso) for iso in BY_HAND]


def written_by(format, days=DAYS):
    return {render(day, format): day.isoformat() for day in days}


@given(st.integers(1, 50), seeds)
def test_the_generator_repeats_the_pairs_and_goes_on_to_others(count, seed):
    generator = seeded(seed)
    pairs = date_pairs(count, DAYS, generator=generator)
    assert len(pairs) == count
    assert pairs == date_pairs(count, DAYS, generator=seeded(seed))
    assert pairs * 2 != date_pairs(2 * count, DAYS, generator=generator)


def test_without_a_generator_the_global_seed_decides():
    torch.manual_seed(5)
    first = date_pairs(20, DAYS)
    torch.manual_seed(5)
    assert date_pairs(20, DAYS) == first != date_pairs(20, DAYS)


@all_formats
def test_only_the_given_formats_and_days_are_written(format):
    expected = written_by(format)
    pairs = date_pairs(60, DAYS, [format], seeded(0), intervals=0)
    assert {*pairs} == {*expected.items()}


def test_every_format_every_interval_and_every_day_is_drawn():
    pairs = date_pairs(3000, DAYS, generator=seeded(0), intervals=0)
    lines = {line for line, _ in pairs}
    expected = {render(day, format) for day in DAYS for format in FORMATS}
    assert lines == expected
    pairs = date_pairs(3000, DAYS, ["{day}"], seeded(0), intervals=1)
    marks = {re.sub(r"\d+", "{}", line) for line, _ in pairs}
    assert marks == {*INTERVALS}
    assert len({target for _, target in pairs}) == 15  # 5 days: 10 pairs and 5 alone


@pytest.mark.parametrize("intervals", [0.0, 0.3, 0.75, 1.0])
def test_so_many_lines_have_two_dates(intervals):
    pairs = date_pairs(4000, DAYS, generator=seeded(0), intervals=intervals)
    share = sum("/" in target for _, target in pairs) / 4000
    assert share == pytest.approx(intervals, abs=0.03 if 0 < intervals < 1 else 0)


def test_whether_there_are_two_dates_does_not_decide_how_they_are_joined():
    pairs = date_pairs(4000, DAYS, ["{day}"], seeded(0), intervals=0.3)
    marks = [re.sub(r"\d+", "{}", line) for line, target in pairs if "/" in target]
    for interval in INTERVALS:
        assert marks.count(interval) / len(marks) == pytest.approx(1 / 4, abs=0.05)


@given(seeds)
def test_a_target_is_one_date_or_two_the_first_day_first(all_days, seed):
    sample = all_days[::150]
    for line, target in date_pairs(20, sample, generator=seeded(seed)):
        days = [datetime.date.fromisoformat(iso) for iso in target.split("/")]
        assert len(days) <= 2
        assert days == sorted(days)
        assert {*days} <= {*sample}
        assert {*target} <= {*TARGET_ALPHABET}
        assert line.isprintable()
        assert not {START, END} & {*line}


@given(seeds)
def test_an_interval_is_its_two_dates_each_in_a_format_of_its_own(seed):
    formats = ["{day} {month} {year}", "{year}{number:02}{day:02}"]
    written = {}
    for format in formats:
        written |= written_by(format)
    for line, target in date_pairs(20, DAYS, formats, seeded(seed), intervals=1):
        patterns = [interval.replace("{}", "(.+)") for interval in INTERVALS]
        (match,) = filter(None, (re.fullmatch(pattern, line) for pattern in patterns))
        assert "/".join(written[date] for date in match.groups()) == target


def test_the_two_dates_of_an_interval_may_be_in_different_formats():
    formats = ["{day} {month} {year}", "{year}{number:02}{day:02}"]
    pairs = date_pairs(200, DAYS, formats, seeded(0), intervals=1)
    letters = [len(re.findall(r"[A-Z]", line)) for line, _ in pairs]
    assert {*letters} == {0, 1, 2}


def test_every_character_of_the_targets_is_needed_and_none_comes_twice():
    pairs = date_pairs(300, split_days()[0], generator=seeded(0))
    used = {character for _, target in pairs for character in target}
    assert used | {START, END} == {*TARGET_ALPHABET}
    assert len({*TARGET_ALPHABET}) == len(TARGET_ALPHABET) == len(used) + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, DAYS), "count is 0; expected a whole number of at least 1"),
        ((5, []), "days is 0; expected a whole number of at least 1"),
        ((5, DAYS, []), "formats is 0; expected a whole number of at least 1"),
        ((5, DAYS, FORMATS, None, -0.1), "intervals is -0.1; expected a share from 0"),
        ((5, DAYS, FORMATS, None, math.nan), "intervals is nan; expected a share from"),
    ],
    ids=["no lines", "no days", "no formats", "below 0", "nan"],
)
def test_pairs_that_cannot_be_drawn_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        date_pairs(*arguments)


# ---- Pairs as ids ----


def test_pairs_become_padded_ids_the_targets_between_two_signs():
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS)
    assert sources.shape == (11, 3)
    assert targets.shape == (12, 3)
    assert lengths.tolist() == [11, 5, 2]
    assert all(ids.dtype == torch.int64 for ids in (sources, lengths, targets))
    assert START, END == ("^", "$")
    for row, (source, target) in enumerate(PAIRS):
        for ids, text, vocab in [
            (sources, source, VOCABS[0]),
            (targets, f"^{target}$", VOCABS[1]),
        ]:
            assert vocab.decode(ids[: len(text), row]) == text
            assert not ids[len(text) :, row].any()
    assert (sources > 0).sum(0).tolist() == [11, 5, 2]  # 0 is padding, and nothing else


def test_unknown_characters_become_id_0_and_are_read_and_padding_is_not():
    sources, lengths, _ = encode_pairs([("5 Mai", ""), ("五月", "")], *VOCABS)
    unknown = (sources == 0).t().tolist()
    assert unknown == [[False] * 4 + [True], [True] * 5]
    assert lengths.tolist() == [5, 2]


def test_an_empty_target_is_its_two_signs():
    _, _, targets = encode_pairs([("May", "")], *VOCABS)
    assert VOCABS[1].decode(targets[:, 0]) == "^$"


def test_pairs_go_to_the_device_that_is_asked_for_and_their_lengths_do_not():
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS, "meta")
    assert (sources.device.type, targets.device.type) == ("meta", "meta")
    assert lengths.device.type == "cpu"
    assert {ids.device.type for ids in encode_pairs(PAIRS, *VOCABS)} == {"cpu"}


@pytest.mark.parametrize(
    ("pairs", "alphabet", "message"),
    [
        ([], TARGET_ALPHABET, "there are no pairs; expected at least one"),
        ([("May 5", "5.5.")], TARGET_ALPHABET, r"vocabulary lacks: '\.'\. Expected"),
        ([("2001", "2001")], "0123456789", r"the vocabulary lacks: '\^' '\$'\."),
    ],
    ids=["none", "an unknown character", "no start and no end"],
)
def test_targets_that_cannot_be_written_are_refused(pairs, alphabet, message):
    with pytest.raises(ValueError, match=message):
        encode_pairs(pairs, VOCABS[0], Vocab(alphabet))
