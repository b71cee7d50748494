"""Units of measure and currencies in Latin letters, by their Chinese names."""

from __future__ import annotations

from deployments.text.rules import any_of

_PREFIXES = dict(zip("kcmµundMGhp", "千厘毫微微纳分兆吉百皮", strict=True))
# Unit, name, usual prefixes (_ for none)
_PREFIXED = """
    m 米 kcmdµun, g 克 kmµun, L 升 mdµu, l 升 mdµu, s 秒 mµun, mol 摩尔 mµunp, Pa 帕 kMh, pa 帕 k, W 瓦 kMGm,
    w 瓦 k, Wh 瓦时 kM, wh 瓦时 k, V 伏 km, v 伏 k, A 安 mµuk, Ah 安时 m, ah 安时 m, J 焦 kM, cal 卡 k, N 牛 k,
    eV 电子伏 kMG, Ω 欧姆 kM, Sv 西弗 mµu, F 法 µup, Hz 赫兹 _, hz 赫兹 _, HZ 赫兹 _, lx 勒克斯 _, lm 流明 _
"""
_ALONE = """
    km 公里, KM 公里, Km 公里, CM 厘米, Cm 厘米, MM 毫米, ft 英尺, inch 英寸, mi 英里, KG 千克, Kg 千克,
    MG 毫克, mcg 微克, t 吨, lb 磅, lbs 磅, oz 盎司, ML 毫升, cc 毫升, °C 摄氏度, °F 华氏度, ° 度, h 小时,
    hr 小时, hrs 小时, min 分钟, mins 分钟, sec 秒, yr 年, KW 千瓦, KWH 千瓦时, KWh 千瓦时, kW·h 千瓦时,
    KV 千伏, KPa 千帕, KPA 千帕, Kpa 千帕, kpa 千帕, Mpa 兆帕, MPA 兆帕, mmHg 毫米汞柱, mmhg 毫米汞柱,
    MMHG 毫米汞柱, mmH2O 毫米水柱, cmH2O 厘米水柱, Kcal 千卡, KJ 千焦, Nm 牛米, N·m 牛米, hp 马力, dB 分贝,
    db 分贝, DB 分贝, kHz 千赫, KHz 千赫, khz 千赫, MHz 兆赫, MHZ 兆赫, Mhz 兆赫, GHz 吉赫, GHZ 吉赫, Ghz 吉赫,
    ha 公顷, hm² 公顷, hm2 公顷, km² 平方公里, km2 平方公里, mph 英里每小时, kph 公里每小时, rpm 转每分钟,
    bpm 次每分钟, fps 帧每秒, KB K B, MB 兆, GB G B, TB T B, Mbps 兆每秒,
    mbps 兆每秒, kbps 千比特每秒, IU 国际单位, mIU 毫国际单位,
    µIU 微国际单位, mU 毫单位, mEq 毫当量
"""
_CURRENCIES = """
    ¥ 元, $ 美元, € 欧元, £ 英镑, ₩ 韩元, ₹ 卢比, ₽ 卢布, US$ 美元, HK$ 港元, NT$ 新台币, A$ 澳元, C$ 加元,
    S$ 新加坡元, USD 美元, RMB 元人民币, CNY 元, EUR 欧元, GBP 英镑, JPY 日元, HKD 港元, TWD 新台币, KRW 韩元,
    AUD 澳元, CAD 加元, SGD 新加坡元, CHF 瑞士法郎, THB 泰铢, RUB 卢布
"""


def _rows(table: str) -> list[list[str]]:
    return [row.split() for row in table.split(",")]


def _pairs(table: str) -> dict[str, str]:
    return {row[0]: " ".join(row[1:]) for row in _rows(table)}


def _named() -> dict[str, str]:
    names = {}
    for unit, name, prefixes in _rows(_PREFIXED):
        names |= {unit: name} | {p + unit: _PREFIXES[p] + name for p in prefixes if p != "_"}
    names |= _pairs(_ALONE)
    for length in ("m", "cm", "mm", "dm", "µm"):
        for power, signs in (("平方", "²2"), ("立方", "³3")):
            names |= {length + sign: power + names[length] for sign in signs}
    for part_of_a_name in ("A", "F", "J", "N"):  # more often part of a name: 5A, F4
        del names[part_of_a_name]
    return names


_UNITS = _named()
_ABOVE = _UNITS | {"U": "单位", "r": "转", "A": "安"}  # units that occur only before or after "/"
_BELOW = _UNITS | {"d": "天", "U": "单位", "y": "年", "K": "开"}
UNIT = rf"(?:{any_of(_ABOVE)}(?:/{any_of(_BELOW)}²?){{1,2}}|{any_of(_UNITS)})(?![A-Za-z0-9²³])"
UNIT_INITIALS = "".join({name[0] for name in _ABOVE})
CURRENCIES = _pairs(_CURRENCIES)
CURRENCY = any_of(CURRENCIES)


def unit(written: str) -> str:
    """mmol/L -> 毫摩尔每升, m/s² -> 米每二次方秒, m³ -> 立方米."""
    above, *below = written.split("/")
    said = _ABOVE[above]
    for part in below:
        said += "每" + (_BELOW.get(part) or "二次方" + _BELOW[part.rstrip("²")])
    return said
