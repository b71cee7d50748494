"""Text normalisation: one table per kind of rule."""

from __future__ import annotations

import pytest

from deployments.families.small.frontend import SmallFrontend
from deployments.text.english.numbers import cardinal, ordinal, year
from deployments.text.english.roman import roman

NUMBERS = {
    "0": "zero",
    "13": "thirteen",
    "105": "one hundred five",
    "1,234": "one thousand two hundred thirty four",
    "1,000,000": "one million",
    "12000000007": "twelve billion seven",
    "-5": "minus five",
    "3.14": "three point one four",
    "-0.5": "minus zero point five",
    ".75": "point seven five",
    "1,234.56": "one thousand two hundred thirty four point five six",
    "007": "zero zero seven",
    "1234567890123456": "one two three four five six seven eight nine zero one two three four five six",
    "the 1st": "the first",
    "22nd": "twenty second",
    "the 103rd": "the one hundred third",
    "1,000th": "one thousandth",
    "the 30th": "the thirtieth",
    "1/2": "one half",
    "3/4": "three quarters",
    "2/3": "two thirds",
    "5 1/2": "five and a half",
    "5½": "five and a half",
    "7/8": "seven eighths",
    "24/7": "twenty four seven",
    "50%": "fifty percent",
    "99.9%": "ninety nine point nine percent",
    "16:9": "sixteen to nine",
    "pages 10–20": "pages ten to twenty",
    "3-5 days": "three to five days",
    "1h 30m": "one hour thirty minutes",
    "2×3=6": "two times three equals six",
    "20~25℃": "twenty to twenty five degrees celsius",
    "SELECT * FROM t": "select star from t",
    ") * 5": "times five",
    "' * b": "times b",
    "1920x1080": "nineteen twenty by ten eighty",
    "3 x 4": "three by four",
    "3.5k": "three point five k",
    "version 1.2.3": "version one dot two dot three",
    "#1": "number one",
    "٣": "three",
}

MONEY = {
    "$1": "one dollar",
    "$1,234.56": "one thousand two hundred thirty four dollars and fifty six cents",
    "$1.01": "one dollar and one cent",
    "$0.99": "ninety nine cents",
    "£5": "five pounds",
    "£2.50": "two pounds and fifty pence",
    "€20": "twenty euros",
    "20 €": "twenty euros",
    "¥100": "one hundred yen",
    "$5M": "five million dollars",
    "$3.2 billion": "three point two billion dollars",
    "€5k": "five thousand euros",
    "US$5": "five dollars",
    "5¢": "five cents",
    "20 USD": "twenty u s dollars",
}

DATES = {
    "1999": "nineteen ninety nine",
    "2026": "twenty twenty six",
    "2005": "two thousand five",
    "1905": "nineteen oh five",
    "in 1492": "in fourteen ninety two",
    "1492 men": "one thousand four hundred ninety two men",
    "the 1900s": "the nineteen hundreds",
    "the 1990s": "the nineteen nineties",
    "the '80s": "the eighties",
    "the 2010s": "the twenty tens",
    "2026-11-21": "november twenty first twenty twenty six",
    "11/21/2026": "november twenty first twenty twenty six",
    "21/11/2026": "november twenty first twenty twenty six",
    "Nov 21, 2026": "november twenty first twenty twenty six",
    "November 21": "november twenty first",
    "21 November 2026": "the twenty first of november twenty twenty six",
    "the 21st of November": "the twenty first of november",
    "Dec. 5": "december fifth",
    "Mar. 1985": "march nineteen eighty five",
    "may 5 people": "may five people",
    "Jan.–Dec.": "january to december",
    "Mon.–Sun.": "monday to sunday",
    "Mon-Fri": "monday to friday",
    "500 BC": "five hundred b c",
    "3:30 pm": "three thirty p m",
    "15:45": "fifteen forty five",
    "7 a.m.": "seven a m",
    "10am": "ten a m",
    "3:05 PM": "three oh five p m",
    "12:00": "twelve o'clock",
    "10am-11:30am": "ten a m to eleven thirty a m",
    "10:30-11:30": "ten thirty to eleven thirty",
    "1:02:03": "one hour two minutes three seconds",
}

MEASURES = {
    "5 km": "five kilometers",
    "1 lb": "one pound",
    "20 °C": "twenty degrees celsius",
    "-5°C": "minus five degrees celsius",
    "90°": "ninety degrees",
    "100 kg": "one hundred kilograms",
    "60 mph": "sixty miles per hour",
    "100 km/h": "one hundred kilometers per hour",
    "E = mc²": "e equals m c squared",
    "5 m²": "five square meters",
    "64 GB": "sixty four gigabytes",
    "5 µm": "five micrometers",
    "5'10\"": "five feet ten inches",
    "9.8 m/s2": "nine point eight meters per second squared",
}

ADDRESSES = {
    "555-1234": "five five five one two three four",
    "(555) 123-4567": "five five five one two three four five six seven",
    "+44 20 7946 0958": "plus four four two zero seven nine four six zero nine five eight",
    "1-800-555-1234": "one eight zero zero five five five one two three four",
    "https://example.com/path?x=1": "example dot com slash path question mark x equals one",
    "www.test.org.": "w w w dot test dot org",
    "jane.doe@mail.co.uk": "jane dot doe at mail dot co dot u k",
    "node.js": "node dot j s",
}

ABBREVIATIONS = {
    "Dr. Jones": "doctor jones",
    "Mr. Bean and Mrs Smith": "mister bean and missus smith",
    "St. Paul": "saint paul",
    "St Ives": "saint ives",
    "5 Main St., Boston": "five main street boston",
    "on Elm St": "on elm street",
    "No. 5": "number five",
    "No. I will not": "no i will not",
    "cats vs. dogs": "cats versus dogs",
    "e.g. this, i.e. that, etc.": "for example this that is that et cetera",
    "approx. 5": "approximately five",
    "J. K. Rowling": "j k rowling",
    "U.S. troops": "u s troops",
    "a Ph.D. in math": "a p h d in math",
    "in the Sun.": "in the sun",
    "pp. 3-5": "pages three to five",
    "Chapter IV": "chapter four",
    "World War II": "world war two",
    "Henry VIII": "henry the eighth",
    "Elizabeth I": "elizabeth the first",
    "the IV drip": "the i v drip",
    "I am": "i am",
}

ACRONYMS = {
    "NASA": "nasa",
    "the FBI": "the f b i",
    "IBM": "i b m",
    "GPUs": "g p u's",
    "the FBI's": "the f b i's",
    "I am NOT going": "i am not going",
    "THIS IS ALL SHOUTED BY US": "this is all shouted by us",
    "H200": "h two hundred",
    "MP3": "m p three",
    "B2B": "b two b",
    "A320": "a three twenty",
    "x86": "x eighty six",
    "COVID-19": "covid nineteen",
    "CamelCase": "camel case",
    "snake_case": "snake case",
    "xqzt": "x q z t",
    "AT&T": "a t and t",
    "C++": "c plus plus",
}

SIGNS = {
    "fish & chips": "fish and chips",
    "@ home": "at home",
    "2 + 2 = 4": "two plus two equals four",
    "3 * 4": "three times four",
    "*bold*": "bold",
    "and/or": "and or",
    "5 < 6": "five less than six",
    "<b>x</b>": "x",
    "café naïve Zoë": "cafe naive zoe",
    "“Hello,” she said…": "hello she said",
    "it’s": "it's",
    "hi 😀 there ❤️": "hi there",
    "well-known": "well known",
    "ｆｕｌｌ": "full",
    "π": "pi",
    "=====\nok": "ok",
    "$$$ ok": "dollars ok",
    "O'Brien's rock'n'roll": "o'brien's rock'n'roll",
    "Thank you \U0001fa77": "thank you",  # newer than Python 3.11
}

CODE = {
    "x != 3": "x is not equal to three",
    "if a!=b:": "if a is not equal to b",
    "x == 3": "x equals three",
    "a <= b": "a is at most b",
    "a && b": "a and b",
    "a || b": "a or b",
    "a*b": "a times b",
    "2 * x": "two times x",
    "sh*t happens": "sh t happens",
    "x**2": "x to the power of two",
    "*bold* and **strong** words": "bold and strong words",
    "x += 1": "x plus equals one",
    "1e-5 m": "one times ten to the minus five meters",
    "==== title ====": "title",
}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        item
        for table in (NUMBERS, MONEY, DATES, MEASURES, ADDRESSES, ABBREVIATIONS, ACRONYMS, SIGNS, CODE)
        for item in table.items()
    ],
)
def test_text_is_normalised(written: str, said: str) -> None:
    assert SmallFrontend().spoken(written) == said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"),
        (-21, "minus twenty one"),
        (1_000_001, "one million one"),
        (999_999, "nine hundred ninety nine thousand nine hundred ninety nine"),
        (10**15, "one quadrillion"),
        (10**18, "one" + " zero" * 18),
    ],
)
def test_cardinal(value: int, words: str) -> None:
    assert cardinal(value) == words


def test_numbers_below_ten_thousand_have_distinct_words() -> None:
    assert len({cardinal(n) for n in range(10_000)}) == 10_000
    assert len({ordinal(n) for n in range(10_000)}) == 10_000
    assert len({year(n) for n in range(1000, 10_000)}) == 9000


@pytest.mark.parametrize(
    ("text", "value"), [("IV", 4), ("MCMXCIX", 1999), ("IIII", None), ("VX", None), ("", None), ("iv", None)]
)
def test_roman(text: str, value: int | None) -> None:
    assert roman(text) == value
