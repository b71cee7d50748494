"""Units of measurement: how they are written, and their names."""

from __future__ import annotations

from deployments.text.rules import any_of

_PREFIXES = {
    "k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "h": "hecto", "d": "deci", "c": "centi",
    "m": "milli",
    "µ": "micro", "u": "micro", "n": "nano", "p": "pico",
}  # fmt: skip
_METRIC = (  # sign, name, prefixes
    ("m", "meter", "kdcmµun"), ("g", "gram", "kmµun"), ("L", "liter", "hdcmµun"), ("l", "liter", "hdcmµu"),
    ("W", "watt", "kMGTmµ"), ("V", "volt", "kMmµ"), ("A", "amp", "kmµ"), ("Hz", "hertz", "kMGT"),
    ("Pa", "pascal", "hkMG"),
    ("J", "joule", "kMG"), ("N", "newton", "kM"), ("s", "second", "mµun"), ("eV", "electron volt", "kMGT"),
    ("B", "byte", "kMGTP"), ("bit", "bit", "kMGT"), ("Wh", "watt hour", "kMGT"), ("Ah", "amp hour", "km"),
    ("F", "farad", "mµunp"), ("H", "henry", "mµ"), ("Ω", "ohm", "kM"), ("mol", "mole", "kmµun"), ("M", "molar", "mµn"),
    ("cal", "calorie", "k"), ("Sv", "sievert", "mµ"), ("Bq", "becquerel", "kMG"), ("Gy", "gray", "mµ"),
    ("T", "tesla", "mµ"),
    ("VA", "volt amp", "kM"), ("bar", "bar", "m"), ("Eq", "equivalent", "m"), ("Nm", "newton meter", "k"),
    ("Ci", "curie", "m"),
)  # fmt: skip
_WITHOUT_PREFIX = frozenset("m g L l W V A Hz Pa J s eV bit Wh Ah Ω mol cal Sv Bq Gy VA bar Nm".split())
_OTHERS = {  # one, many
    "t": ("ton", "tons"), "v": ("volt", "volts"), "w": ("watt", "watts"), "gr": ("gram", "grams"),
    "ft": ("foot", "feet"), "mi": ("mile", "miles"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "in": ("inch", "inches"), "nmi": ("nautical mile", "nautical miles"), "ly": ("light year", "light years"),
    "AU": ("astronomical unit", "astronomical units"), "mcg": ("microgram", "micrograms"), "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "st": ("stone", "stone"), "ct": ("carat", "carats"),
    "cc": ("C C", "C Cs"), "gal": ("gallon", "gallons"), "qt": ("quart", "quarts"), "qts": ("quart", "quarts"),
    "pt": ("pint", "pints"), "pts": ("points", "points"), "c.": ("cup", "cups"),
    "N/m²": ("newton per square meter", "newtons per square meter"),
    "N/m": ("newton per meter", "newtons per meter"), "N·m": ("newton meter", "newton meters"),
    "Gb/s": ("gigabit per second", "gigabits per second"),
    "Mb/s": ("megabit per second", "megabits per second"), "kb/s": ("kilobit per second", "kilobits per second"),
    "fl. oz": ("fluid ounce", "fluid ounces"), "sq. ft": ("square foot", "square feet"),
    "sq. mi": ("square mile", "square miles"), "cu. ft": ("cubic foot", "cubic feet"),
    "fl oz": ("fluid ounce", "fluid ounces"),
    "tsp": ("teaspoon", "teaspoons"), "tsps": ("teaspoon", "teaspoons"), "tbsp": ("tablespoon", "tablespoons"),
    "tbsps": ("tablespoon", "tablespoons"), "tbs": ("tablespoon", "tablespoons"), "Tbsp": ("tablespoon", "tablespoons"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "wk": ("week", "weeks"),
    "wks": ("week", "weeks"), "mo": ("month", "months"), "mos": ("month", "months"), "yr": ("year", "years"),
    "yrs": ("year", "years"), "KHz": ("kilohertz", "kilohertz"), "KW": ("kilowatt", "kilowatts"),
    "KB": ("kilobyte", "kilobytes"), "KiB": ("kibibyte", "kibibytes"), "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"), "TiB": ("tebibyte", "tebibytes"), "bps": ("bit per second", "bits per second"),
    "kbps": ("kilobit per second", "kilobits per second"), "Kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "MP": ("megapixel", "megapixels"), "px": ("pixel", "pixels"), "dpi": ("D P I", "D P I"), "ppi": ("P P I", "P P I"),
    "mph": ("mile per hour", "miles per hour"), "mpg": ("mile per gallon", "miles per gallon"),
    "kph": ("kilometer per hour", "kilometers per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "kn": ("knot", "knots"), "kt": ("knot", "knots"), "kts": ("knot", "knots"), "rpm": ("R P M", "R P M"),
    "fps": ("F P S", "F P S"), "psi": ("P S I", "P S I"), "hp": ("horsepower", "horsepower"),
    "bhp": ("brake horsepower", "brake horsepower"), "BTU": ("B T U", "B T Us"), "ha": ("hectare", "hectares"),
    "ac": ("acre", "acres"), "sq ft": ("square foot", "square feet"), "sq m": ("square meter", "square meters"),
    "sq km": ("square kilometer", "square kilometers"), "sq mi": ("square mile", "square miles"),
    "sq in": ("square inch", "square inches"), "cu ft": ("cubic foot", "cubic feet"),
    "sqft": ("square foot", "square feet"),
    "inHg": ("inch of mercury", "inches of mercury"), "dz": ("dozen", "dozen"), "pcs": ("piece", "pieces"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"), "atm": ("atmosphere", "atmospheres"),
    "ppm": ("part per million", "parts per million"), "ppb": ("part per billion", "parts per billion"),
    "bpm": ("beat per minute", "beats per minute"), "IU": ("I U", "I U"), "dB": ("decibel", "decibels"),
    "dBA": ("decibel", "decibels"), "lm": ("lumen", "lumens"), "lx": ("lux", "lux"), "rad": ("radian", "radians"),
    "deg": ("degree", "degrees"), "K": ("kelvin", "kelvin"), "lbf": ("pound force", "pounds force"),
    "ft-lb": ("foot pound", "foot pounds"), "lb-ft": ("pound foot", "pound feet"), "Å": ("angstrom", "angstroms"),
    "°C": ("degree celsius", "degrees celsius"), "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "° C": ("degree celsius", "degrees celsius"), "° F": ("degree fahrenheit", "degrees fahrenheit"),
    "ºC": ("degree celsius", "degrees celsius"), "°": ("degree", "degrees"), "%": ("percent", "percent"),
    "¢": ("cent", "cents"),
}  # fmt: skip
# Other letter cases that leave no doubt.
_CASES = (
    "KM Km CM Cm MM Mm KG Kg Gr MG Mg ML Ml Kw kw MPH Mph KPH KMH Kmh kmH LB Lb LBS Lbs OZ Oz TSP Tsp TBSP GAL "
    "QT PT FT Ft IN "
    "YD HP Hp KWH KWh Kwh kwh kWH MWH Mwh MAH Mah mah AH HZ hz KHZ Khz khz MHZ Mhz mhz GHZ Ghz ghz DB db Db kb "
    "Kb mb gb "
    "Gb tb Tb MIN Min SEC Sec HR Hr HRS Hrs YRS BPM Bpm PSI Psi RPM Rpm FPS Fps PPM Ppm PPB mmhg MMHG NM KPA "
    "kpa hpa HPA "
    "mpa KCAL Kcal KJ kj MCG KBPS Mb MBPS mbps gbps GBPS DPI PPI SQFT kib mib gib cal dl cl hl iu btu".split()
)


def _table() -> dict[str, tuple[str, str]]:
    units: dict[str, tuple[str, str]] = {}
    for sign, name, prefixes in _METRIC:
        many = name if name.endswith("z") else name.replace("henry", "henrie") + "s"
        for prefix in ("", *prefixes) if sign in _WITHOUT_PREFIX else prefixes:
            word = _PREFIXES.get(prefix, "")
            word += " " if word and sign == "eV" else ""
            units[prefix + sign] = (word + name, word + many)
    units |= _OTHERS
    folded: dict[str, str] = {}
    for unit in units:
        folded.setdefault(unit.lower(), unit)
    folded |= {unit.lower(): unit for unit in ("dB", "GB", "MB", "kB", "TB", "MPa", "Nm", "mm", "mg", "bit")}
    return {written: units[folded[written.lower()]] for written in _CASES} | units


UNITS = _table()
UNIT = any_of(UNITS)
POWERS = {
    prefix + sign: name
    for sign, name in (("²", "square "), ("2", "square "), ("³", "cubic "), ("3", "cubic "))
    for prefix in ("", "^")
}
POWERS_OF = {raised: "²" if "s" in name else "³" for raised, name in POWERS.items()}
# Without a number before them these are units all the same.
BARE_UNITS = (
    frozenset(
        "km kg cm mm ml mL mg lb lbs oz tsp tbsp kWh mph GB MB TB kHz MHz GHz kW mAh yrs hrs mins secs kcal hPa "
        "kPa mmHg "
        "sqft km/h m/s kbps Mbps Gbps".split()
    )
    & UNITS.keys()
)
PERIODS = {
    "d": "day", "day": "day", "wk": "week", "week": "week", "mo": "month", "month": "month", "yr": "year",
    "year": "year",
    "night": "night", "person": "person", "hour": "hour", "minute": "minute", "second": "second", "head": "head",
    "unit": "unit", "user": "user", "seat": "seat", "piece": "piece", "ticket": "ticket", "capita": "capita",
    "pp": "person",
    "pound": "pound", "gallon": "gallon", "dose": "dose", "serving": "serving", "item": "item", "mile": "mile",
    "page": "page", "word": "word", "kilo": "kilo", "sq ft": "square foot",
}  # fmt: skip
PER = any_of(PERIODS)


def name(unit: str, singular: bool) -> str:
    return UNITS[" ".join(unit.split())][0 if singular else 1]
