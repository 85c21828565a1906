"""Dates as people write them, and as ISO 8601 has them: sentences to translate."""

import datetime
from collections.abc import Sequence

import torch
from torch import Tensor

from utils.arguments import require_counts, require_shares
from utils.padding import pad
from utils.text import Vocab

# fmt: off
MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]
WEEKDAYS = [
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
]
ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
    "seventeen", "eighteen", "nineteen",
]
# fmt: on
TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty"}
TENS |= {6: "sixty", 7: "seventy", 8: "eighty", 9: "ninety"}
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth"}
ORDINALS |= {"eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
ORDINALS |= {tens: tens[:-1] + "ieth" for tens in TENS.values()}
DIGITS_ZH = "〇一二三四五六七八九"

# Where day and month are both in figures, the separator tells their order.
FORMATS = (
    "{day} {month} {year}",
    "{day} {mon} {year}",
    "{month} {day}, {year}",
    "{mon} {day}, {year}",
    "{day_th} of {month} {year}",
    "{weekday}, {day} {month} {year}",
    "{wkd}, {mon} {day}, {year}",
    "{day:02}.{number:02}.{year}",
    "{number}/{day}/{year}",
    "{year}/{number:02}/{day:02}",
    "{year}{number:02}{day:02}",
    "on the {day_th} day of {month} in the year {year}",
    "the {day_words} of {month} {year}",
    "{weekday}, the {day_words} of {month}, {year_words}",
    "{year}年{number}月{day}日",
    "{year}年{number}月{day}日星期{weekday_zh}",
    "{year_zh}年{number_zh}月{day_zh}日",
)
HELD_OUT_FORMATS = (
    "{month} {day_th}, {year}",
    "{wkd} {day_th} {month} {year}",
    "{month} the {day_words}, {year_words}",
    "{year} {month} {day}",
    "{day}-{mon}-{year}",
    "{year}.{number}.{day}",
    "{year_zh}年{number}月{day}日",
    "公元{year}年{number}月{day}日",
)
# Two dates in one line; {} are the dates. ISO 8601 puts a slash between them.
INTERVALS = ("from {} to {}", "{} - {}", "{} until {}", "{}至{}")

# The targets begin and end with a sign of their own.
START, END = "^", "$"
TARGET_ALPHABET = START + END + "0123456789-/"


def words(number: int) -> str:
    """Return ``number``, 0 to 99, in English words: 42 is "forty-two"."""
    if number < 20:
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")


def ordinal_words(number: int) -> str:
    """Return ``number``, 1 to 99, as an English ordinal: 42 is "forty-second"."""
    head, hyphen, last = words(number).rpartition("-")
    return head + hyphen + ORDINALS.get(last, last + "th")


def year_words(year: int) -> str:
    """Return a ``year``, 1900 to 2099, in English: 1987 is "nineteen eighty-seven"."""
    century, rest = divmod(year, 100)
    if 2000 <= year < 2010:
        return "two thousand" + (f" and {ONES[rest]}" if rest else "")
    if rest == 0:
        return f"{words(century)} hundred"
    return f"{words(century)} {'oh ' if rest < 10 else ''}{words(rest)}"


def number_zh(number: int) -> str:
    """Return ``number``, 1 to 99, in Chinese characters: 23 is 二十三."""
    tens, ones = divmod(number, 10)
    head = ("" if tens == 1 else DIGITS_ZH[tens]) + "十" if tens else ""
    return head + (DIGITS_ZH[ones] if ones or not tens else "")


def render(date: datetime.date, format: str) -> str:
    """Return ``date`` as a format writes it: one of ``FORMATS``, or with their names.

    Raises:
        KeyError: a name in braces that is unknown.
    """
    day, month = date.day, MONTHS[date.month - 1]
    weekday = WEEKDAYS[date.weekday()]
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(0 if 10 < day < 20 else day % 10, "th")
    return format.format(
        year=date.year,
        number=date.month,
        day=day,
        month=month,
        mon=month[:3],
        weekday=weekday,
        wkd=weekday[:3],
        day_th=f"{day}{suffix}",
        day_words=ordinal_words(day),
        year_words=year_words(date.year),
        year_zh="".join(DIGITS_ZH[int(digit)] for digit in str(date.year)),
        number_zh=number_zh(date.month),
        day_zh=number_zh(day),
        weekday_zh="一二三四五六日"[date.weekday()],
    )


def split_days(
    held_out: float = 0.1, seed: int = 0
) -> tuple[list[datetime.date], list[datetime.date]]:
    """Return all days from 1900 to 2099 in random order, cut in two.

    The second list, ``held_out`` of them, is for validation.

    Raises:
        ValueError: ``held_out`` is not between 0 and 1.
    """
    require_shares(held_out=held_out)
    first, last = datetime.date(1900, 1, 1).toordinal(), datetime.date(2099, 12, 31)
    count = last.toordinal() - first + 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    days = [datetime.date.fromordinal(first + place) for place in order.tolist()]
    cut = count - int(count * held_out)
    return days[:cut], days[cut:]


def date_pairs(
    count: int,
    days: Sequence[datetime.date],
    formats: Sequence[str] = FORMATS,
    generator: torch.Generator | None = None,
    intervals: float = 0.3,
) -> list[tuple[str, str]]:
    """Return ``count`` lines as people write them, each with what it means in ISO 8601.

    Args:
        days: what the dates are drawn from.
        formats: what their formats are drawn from.
        intervals: the share of lines with two dates, a first and a last day; the others
            have one.

    Returns:
        Pairs such as ``("May 5, 2031", "2031-05-05")``.

    Raises:
        ValueError: ``count`` is below 1, there are no days or formats, or ``intervals``
            is no share.
    """
    require_counts(count=count, days=len(days), formats=len(formats))
    if not 0 <= intervals <= 1:
        raise ValueError(f"intervals is {intervals}; expected a share from 0 to 1.")
    draws = torch.rand(count, 6, generator=generator, dtype=torch.float64).tolist()
    pairs = []
    for two, joint, *rest in draws:
        number = 2 if two < intervals else 1
        chosen = sorted(_pick(days, draw) for draw in rest[:number])
        styles = [_pick(formats, draw) for draw in rest[2 : 2 + number]]
        written = [render(*dated) for dated in zip(chosen, styles, strict=True)]
        line = _pick(INTERVALS, joint).format(*written) if number > 1 else written[0]
        pairs.append((line, "/".join(day.isoformat() for day in chosen)))
    return pairs


def _pick(items: Sequence, draw: float):
    return items[int(draw * len(items))]


def require_pairs(pairs: Sequence[tuple[str, str]], target_vocab: Vocab) -> None:
    """Raise a ValueError unless there are pairs whose targets the vocabulary knows."""
    if not pairs:
        raise ValueError("there are no pairs; expected at least one.")
    targets = "".join(target for _, target in pairs)
    if unknown := target_vocab.unknown(START + END + targets):
        raise ValueError(
            "the targets have characters that the vocabulary lacks: "
            f"{' '.join(map(repr, unknown))}. Expected those of dates.TARGET_ALPHABET."
        )


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/08_encoder_decoder.ipynb
def encode_pairs(
    pairs: list[tuple[str, str]],
    source_vocab: Vocab,
    target_vocab: Vocab,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sources, their lengths ``(batch,)``, and targets with ``^`` and ``$``.

    Sources and targets are ``(num_steps, batch)``, padded with id 0; the lengths stay
    on the CPU. ``require_pairs`` says what is raised.
    """
    require_pairs(pairs, target_vocab)
    sources, lengths = pad([source_vocab.encode(source) for source, _ in pairs])
    targets, _ = pad([target_vocab.encode(START + t + END) for _, t in pairs])
    return sources.to(device), lengths, targets.to(device)
