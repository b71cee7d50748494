"""Units of measure and currencies in Latin letters, by their Chinese names."""

from __future__ import annotations

import re

_PREFIXED = {  # with the prefixes that are usual
    "m": ("米", "k c m µ n"), "g": ("克", "k m µ n"), "L": ("升", "m d µ"), "l": ("升", "m d µ"), "s": ("秒", "m µ n"),
    "Hz": ("赫兹", "k M G"), "hz": ("赫兹", "k"), "W": ("瓦", "k M G m"), "w": ("瓦", "k"), "V": ("伏", "k m"), "v": ("伏", "k"),
    "Wh": ("瓦时", "k M"), "wh": ("瓦时", "k"), "Pa": ("帕", "k M h"), "pa": ("帕", "k"), "mol": ("摩尔", "m µ n p"),
    "J": ("焦", "k M"), "cal": ("卡", "k"), "eV": ("电子伏", "k M G"), "N": ("牛", "k"), "Ω": ("欧姆", "k M"), "Sv": ("西弗", "m µ"),
    "A": ("安", "m µ k"), "Ah": ("安时", "m"), "ah": ("安时", "m"), "F": ("法", "µ n p"), "lx": ("勒克斯", ""), "lm": ("流明", ""),
}  # fmt: skip
_PREFIXES = {
    "k": "千", "c": "厘", "m": "毫", "µ": "微", "u": "微", "n": "纳", "d": "分", "M": "兆", "G": "吉", "h": "百", "p": "皮",
}  # fmt: skip
_ALONE = {
    "km": "公里", "KM": "公里", "Km": "公里", "CM": "厘米", "Cm": "厘米", "MM": "毫米", "KG": "千克", "Kg": "千克", "MG": "毫克",
    "ML": "毫升", "mcg": "微克", "t": "吨", "°C": "摄氏度", "°F": "华氏度", "°": "度", "h": "小时", "hr": "小时", "hrs": "小时",
    "min": "分钟", "mins": "分钟", "sec": "秒", "d": "天", "KW": "千瓦", "KWH": "千瓦时", "KWh": "千瓦时", "KV": "千伏",
    "KPa": "千帕", "KPA": "千帕", "Kpa": "千帕", "kpa": "千帕", "Mpa": "兆帕", "MPA": "兆帕", "mmHg": "毫米汞柱", "mmhg": "毫米汞柱",
    "MMHG": "毫米汞柱", "mmH2O": "毫米水柱", "cmH2O": "厘米水柱", "dB": "分贝", "db": "分贝", "DB": "分贝", "ha": "公顷",
    "hm²": "公顷", "hm2": "公顷", "ft": "英尺", "inch": "英寸", "lb": "磅", "lbs": "磅", "oz": "盎司", "mph": "英里每小时",
    "kph": "公里每小时", "km²": "平方公里", "km2": "平方公里", "rpm": "转每分钟", "r": "转", "bpm": "次每分钟", "IU": "国际单位",
    "U": "单位", "mIU": "毫国际单位", "µIU": "微国际单位", "mU": "毫单位", "cc": "毫升", "kcal": "千卡", "Kcal": "千卡", "KJ": "千焦",
    "MB": "兆", "Mbps": "兆每秒", "mbps": "兆每秒", "kbps": "千比特每秒", "Gbps": "G 每秒", "KB": "K B", "fps": "帧每秒",
    "Nm": "牛米", "N·m": "牛米", "hp": "马力", "mEq": "毫当量", "ppi": "P P I", "ppm": "P P M", "dpi": "D P I", "nm": "纳米", "mi": "英里",
    "MHz": "兆赫", "GHz": "吉赫", "MHZ": "兆赫", "Mhz": "兆赫", "GHZ": "吉赫", "Ghz": "吉赫", "KHz": "千赫", "kHz": "千赫",
    "kW·h": "千瓦时", "°N": "度", "HZ": "赫兹", "r/min": "转每分钟", "y": "年", "yr": "年",
}  # fmt: skip
_POWERS = {"²": "平方", "2": "平方", "^2": "平方", "³": "立方", "3": "立方", "^3": "立方"}


def _table() -> dict[str, str]:
    names = {}
    for unit, (name, prefixes) in _PREFIXED.items():
        names[unit] = name
        for prefix in prefixes.split():
            names[prefix + unit] = _PREFIXES[prefix] + name
            if prefix == "µ":
                names["u" + unit] = "微" + name
    names |= _ALONE
    for length in ("m", "cm", "mm", "dm", "µm"):
        for sign, power in _POWERS.items():
            names[length + sign] = power + names.get(length, "分米")
    names["dm"] = "分米"
    # Single letters that are more often part of a name: 10A, 5N, 4F
    return {unit: name for unit, name in names.items() if unit not in ("N", "J", "F", "A", "r", "U", "d", "y", "nF")}


UNITS = _table()
_BELOW = UNITS | {"d": "天", "U": "单位", "A": "安", "y": "年", "r": "转", "K": "开", "人": "人"}  # behind "/" alone
_SPELLED = {"U": "单位", "r": "转", "A": "安"}  # before "/" alone


def _any(names: dict[str, str]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True)))


_DIVIDED = rf"(?:{_any(UNITS | _SPELLED)})(?:/(?:\d{{1,3}})?(?:{_any(_BELOW)})(?:²|2|\^2)?){{1,2}}"
UNIT = rf"(?:{_DIVIDED}|{_any(UNITS)})(?![A-Za-z0-9²³])"
_PART = re.compile(rf"(?P<count>\d*)(?P<unit>{_any(_BELOW | _SPELLED)})(?P<power>²|2|\^2)?")


def unit(written: str) -> str:
    """mmol/L -> 毫摩尔每升, m/s² -> 米每二次方秒, m³ -> 立方米."""
    if written in UNITS:
        return UNITS[written]
    head, *rest = written.split("/")
    said = UNITS.get(head) or _SPELLED[head]
    for part in rest:
        if part in UNITS:
            said += "每" + UNITS[part]
        elif m := _PART.fullmatch(part):
            count = m["count"] + "" if m["count"] else ""
            said += "每" + ("二次方" if m["power"] else "") + count + _BELOW[m["unit"]]
    return said


CURRENCIES = {
    "¥": "元", "$": "美元", "€": "欧元", "£": "英镑", "₩": "韩元", "₹": "卢比", "₽": "卢布", "US$": "美元", "HK$": "港元", "NT$": "新台币",
    "A$": "澳元", "C$": "加元", "S$": "新加坡元", "USD": "美元", "RMB": "元人民币", "CNY": "元", "EUR": "欧元", "GBP": "英镑", "JPY": "日元",
    "HKD": "港元", "TWD": "新台币", "KRW": "韩元", "AUD": "澳元", "CAD": "加元", "SGD": "新加坡元", "CHF": "瑞士法郎", "THB": "泰铢",
    "RUB": "卢布", "INR": "卢比", "USDT": "U S D T",
}  # fmt: skip
CURRENCY = _any(CURRENCIES)
