"""Numbers that are read digit by digit: telephones, codes, rooms, trains, versions, cards."""

from __future__ import annotations

import re

from deployments.text.mandarin.numerals import before, cardinal, counts, digits, number, year
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.rules import Match, rule

_END = r"(?![\d:/]|[.,-]\d)"
_EXTENSION = r"(?:[ ]?(?:转分机|转|分机|ext\.?|[#x-])[ ]?(?P<extension>\d{1,6}))?"
_LISTED = re.compile(r"(?:[\dA-Za-z-]{1,20}(?:, ?|/|~| ?(?:和|及|与|或|或者|以及|至|到) ?)){1,9}$")
_LIST_GOES_ON = re.compile(r"(?:(?:, ?| ?[和及与或] ?)\d{3,5}){1,4}(?!\d)")
_COUNT_BEFORE = re.compile(r"[数价量度重高长宽有共][为是别]{0,3}:? ?$")
_EMERGENCIES = frozenset(["110", "119", "120", "122"])
_CALLS = re.compile(
    r"(?:拨打|拨通|拨|打通|打|呼叫|呼|叫|致电|来电|求助|报警|报|急救|火警|匪警|电话|热线|call|Call|CALL|"
    r"紧急号码|号码|警方|警察|转)(?:了|过|一下|起|是|为|:|: )?[ \"'(]{0,2}$"
)
_ANSWERS = re.compile(
    r"[ \"')]{0,2}(?:急救|报警|火警|匪警|电话|热线|救护|救援|中心|指挥|接警|出警|调度|民警|警察|平台|求助|来了|"
    r"赶到|到场|到了|消防|宣传日|医生|人员|客服|服务|查询|投诉|短信|台|警务|交警|和1[12]|、)"
)
_NAME = (
    r"(?:(?<![起尺筹砝价数])码|邮编|区号|代码|编码|卡号|账号|帐号|证号|单号|房号|门号|尾号|型号|编号|"
    rf"[A-Z{HANZI}](?<![大小中型称符信记句引括问逗分暗外绰几])号|号码|"
    r"QQ(?:群|号)*|ID|id|PIN|ISBN|ISSN|邮政|电话|手机|座机|固话|传真|分机|内线|热线|客服|微信|支付宝|口令|代号|暗号|"
    r"联系方式|Tel|TEL|tel|[后末前尾][两二三四五六七八]位(?:数|数字)?|房间|病房|包间|包厢|登机口|车牌|门牌|"
    r"发送[至到]|发[至到]|短信[至到]|工号|学号|航班|车次|乘坐|基金|股票)"
)
_CALLED = re.compile(
    rf"{_NAME}(?:[是为叫]|就是|改为|改成|变成|更新为|分别是|分别为|显示|"
    rf"尾号)?:?[ ]?[\"'(\[#]?[ ]?[A-Za-z]{{0,6}}-?$"
)
_AT_THE_END = re.compile(r"(?:[后末前尾][两二三四五六七八]位(?:数|数字)?|尾号|密码)[是为:]{0,2}[ ]?$")
_ROOM = re.compile(
    r"[ ]?(?:号?(?:房|室|包厢|包间|病房|教室|会议室|宿舍|寝室|办公室|客房|实验室|诊室|机房|铺|展位|展厅|柜台|"
    r"航班|列车|动车|高铁|专线|公交|国道|省道|县道|乡道|高地|医院|中学|大楼|大厦|艺术区|事件|工程|院校|高校|"
    r"大学|胶水|错误|战士|战略|厂|客机|飞机|所(?!有)|团)"
    r"|(?:路|次)(?!的|了|以|之|左|上))"
)
_TRAIN = re.compile(r"[ ]?(?:次|航班|列车|动车|高铁|号列车)")
_SERVICE = frozenset(
    "10086 10010 12306 12315 12348 12366 12355 12328 12320 12333 12329 12308 95588 95533".split()
)


def _extended(number: str, m: Match) -> str:
    return number + ("转" + digits(m["extension"]) if m["extension"] else "")


@rule(
    rf"(?P<code>\(?(?:\+|00)?86\)?[ -]?)?(?P<row>1[3-9]\d(?:[ -]?\d){{8}}){_EXTENSION}{_END}",
    when=r"[(+]|\d{11}|\d{3,10}[ -]\d|\d\d[) -]",
)
def mobile(m: Match) -> str | None:
    """138 0013 8000, +86-13800138000"""
    if not m["code"] and _has_money(m):
        return None
    return _extended(_country(m["code"]) + digits(m["row"]), m)


@rule(
    rf"(?P<code>\(?(?:\+|00)?86\)?[ -]?)?(?P<area>\(0?\d{{2,3}}\)|(?<!\+)0\d{{2,3}}|(?<=86)[ -]?[1-9]\d{{1,2}})"
    rf"[ -]{{0,3}}(?P<row>(?:(?<=\))|(?<=\)[ ]))\d{{6}}(?!\d)|\d{{7,8}}|\d{{3,4}}[ -]\d{{3,4}}){_EXTENSION}{_END}",
    when=r"[(+]|0|\d\d[) -]|\d{4}",
)
def landline(m: Match) -> str:
    """0535-7166813, (0571) 8765432, 010 6234 5678转801"""
    return _extended(_country(m["code"]) + year(re.sub(r"\D", "", m["area"] + m["row"])), m)


@rule(
    rf"(?P<code>\(?\+?86\)?[ -]?)?(?P<row>[48]00"
    rf"(?:[ -]?\d{{3}}[ -]?\d{{4}}|[ -]?\d{{4}}[ -]?\d{{3}}|\d[ -]\d{{3}}[ -]\d{{3}})){_EXTENSION}{_END}",
    when=r"[(+]|900|99[) -]|99900",
)
def toll_free(m: Match) -> str:
    """400-820-8820, 4008-823-823"""
    return _extended(_country(m["code"]) + digits(m["row"]), m)


@rule(rf"\(?\+(?P<row>\d{{1,3}}\)?(?:[ -]?\(?\d{{1,4}}\)?){{2,6}}|\d{{8,15}}){_END}", when=r"[(+]")
def international(m: Match) -> str | None:
    """+1 415 555 2671"""
    row = digits(m["row"])
    return "加" + row if 8 <= len(row) <= 15 else None


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


@rule(r"(?P<city>[A-Z])[· .]?(?P<row>(?=[A-Z]{0,5}\d)[A-Z0-9]{5,6})(?![A-Za-z0-9])")
def plate(m: Match) -> str | None:
    """京A·88K21"""
    if before(m, 1) not in tuple(_PROVINCES):
        return None
    return m["city"] + " ".join(p if p.isalpha() else digits(p) for p in re.findall(r"[A-Z]|\d+", m["row"]))


@rule(rf"\d{{3,5}}{_END}", when=r"\d{3,5}(?!\d)")
def short(m: Match) -> str | None:
    """110, 10086: emergency and service numbers, where the context is a call."""
    if m[0] not in ("110", "119", "120", "122", "112", "114", "121", "911", "999", "12110") and not (
        len(m[0]) == 5 and m[0][0] in "19"
    ):
        return None
    if counts(m.string, m.end()):
        return None
    if _is_list_of_calls(m):
        return digits(m[0])
    front = _LISTED.sub("", before(m, 24))
    called = _CALLS.search(front) or _ANSWERS.match(m.string, m.end())
    return digits(m[0]) if called or m[0] in _SERVICE else None


def _is_list_of_calls(m: Match) -> bool:
    """110, 119, 120: two numbers at least, all of them of emergency services, and nothing counted."""
    ahead = _LIST_GOES_ON.match(m.string, m.end())
    earlier = _LISTED.search(before(m, 24))
    if _COUNT_BEFORE.search(_LISTED.sub("", before(m, 24))):
        return False
    numbers = re.findall(r"\d+", (earlier[0] if earlier else "") + m[0] + (ahead[0] if ahead else ""))
    end = ahead.end() if ahead else m.end()
    return (
        len(numbers) > 1 and "119" in numbers and set(numbers) <= _EMERGENCIES and not counts(m.string, end)
    )


@rule(r"\d{1,20}(?:[ -]?[A-Za-z]{0,3}\d{1,20}){0,9}(?![.:/]\d)", when=r"\d")
def called(m: Match) -> str | None:
    """Digits after the name of a code: 会议号是856 1234 5678. One or two digits are read as a number."""
    front = before(m, 24)
    name = _CALLED.search(front) or _CALLED.search(_LISTED.sub("", front))
    row = digits(m[0])
    if not name or (len(row) < 3 and row[:1] != "零" and not _AT_THE_END.search(front)):
        return None
    if len(row) < 6 and counts(m.string, m.end()) and row[:1] != "零":
        return None
    if re.search("[A-Za-z]", m[0]):
        return " ".join(p if p.isalpha() else digits(p) for p in re.findall(r"[A-Z]|\d+", m[0].upper()))
    return row


@rule(
    r"\d{17}[\dXx](?![\dA-Za-z])|\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,4})?(?!\d)|\d{12,}(?![\d.])",
    when=r"\d{12}|\d{4}[ -]\d",
)
def card(m: Match) -> str:
    """Identity and bank cards, and any row of twelve digits or more."""
    return digits(m[0]) + " X" * (m[0][-1] in "Xx")


@rule(r"\(\d{6}(?:\.[A-Z]{2})?\)", when=r"\(\d")
def share(m: Match) -> str | None:
    """贵州茅台(600519)"""
    return digits(m[0]) if re.search(rf"[{HANZI}] ?$", before(m, 2)) else None


@rule(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\d.])", when=r"\d{1,3}\.\d")
def internet_address(m: Match) -> str:
    """192.168.1.1"""
    return "点".join(map(digits, m[0].partition(":")[0].split("."))) + (
        "冒号" + digits(m[0].partition(":")[2]) if ":" in m[0] else ""
    )


@rule(r"\d{1,4}(?:\.\d{1,5}){2,8}(?!\d|\.\d)", when=r"\d{1,4}\.\d+\.\d")
def version(m: Match) -> str:
    """1.2.3"""
    return "点".join(year(part) if part[0] == "0" else cardinal(part) for part in m[0].split("."))


@rule(r"0\d{1,19}(?![\d.:/]|,\d|[年月日号点时])", when=r"0\d")
def zero_first(m: Match) -> str:
    """007, 0731"""
    return digits(m[0])


@rule(
    r"(?:7-11(?=便利|超市)|315(?=晚会)|618(?=大促|购物节|年中|活动|期间)|"
    r"618(?=[都也]?(?:打折|便宜|促销|来了|快到|优惠))|(?:(?<=双11和)|(?<=双11, )|(?<=双十一和))618"
    r"|911(?=事件)|996(?=工作制|加班|模式|"
    r"的)|520(?=表白|情人节|快乐|当天)"
    r"|404(?=错误|页面|[ ]not)|360(?=安全|杀毒|浏览器|软件|公司)|1024(?=程序员)|(?:985|211)(?=[,和/]|高校|大学|"
    r"院校|工程|名校|的))",
    when=r"9-9|\d{3,4}(?!\d)",
)
def idiom(m: Match) -> str:
    """985高校, 315晚会"""
    return digits(m[0])


@rule(r"\d{3,4}(?![\d.:/]|,\d)", when=r"\d{3,4}(?![\d.:/])")
def place(m: Match) -> str | None:
    """1502室, A座501, 718路, 318国道, G1234次; but 300路."""
    front = before(m, 4)
    if _TRAIN.match(m.string, m.end()) and re.search(r"[A-Z]$", front):
        return digits(m[0])
    if re.search(r"[座栋幢楼元]-?$", front) and not counts(m.string, m.end()):
        return digits(m[0])
    found = _ROOM.match(m.string, m.end())
    if not found or re.search(r"第 ?$", front):
        return None
    if found[0].strip() == "次":
        return digits(m[0]) if re.match("(?:列车|特快|快车|航班|动车)", m.string[found.end() :][:3]) else None
    round_bus = m[0].endswith("00") and found[0].strip() in ("路", "公交", "专线")
    return None if round_bus else digits(m[0])


@rule(r"\d{1,3}-\d{1,4}(?:-\d{1,4})?(?=[ ]?(?:号?房|室|号楼|单元|户))", when=r"\d{1,3}-\d")
def flat(m: Match) -> str:
    """3-502室"""
    return "杠".join(digits(part) if len(part) > 2 else cardinal(part) for part in m[0].split("-"))


@rule(r"\d{1,4}\#(?=[ ]?[楼栋幢机线桌房柜])", when=r"\d{1,4}#")
def hash_behind(m: Match) -> str:
    """3#楼"""
    return (digits if len(m[0]) > 3 else number)(m[0][:-1]) + "号"


@rule(r"(?<=[A-Za-z])\d{1,2}-\d{3,6}(?!\d)", when=r"\d\d?-\d")
def model(m: Match) -> str:
    """i7-12700"""
    series, row = m[0].split("-")
    return cardinal(series) + digits(row)


@rule(r"\d{1,20}(?P<decimals>\.\d{1,6})?(?!\d)", when=r"\d")
def lettered(m: Match) -> str | None:
    """Digits after letters: T3, B12, PM2.5, A380, CA1831, RTX 4090."""
    front = before(m, 12)
    found = re.search(r"(?P<letters>[A-Za-z]{1,10})(?P<gap>[ -]?)$", front)
    row = m[0]
    if not found or (found["gap"] == " " and (len(row) < 3 or counts(m.string, m.end()) or m["decimals"])):
        return None
    if m["decimals"]:
        return number(row)
    if _TRAIN.match(m.string, m.end()):
        return digits(row)
    if row[0] == "0" and len(row) > 1:
        return digits(row)
    if (
        len(row) < 3
        or (row.endswith("00") and len(row) < 5 and len(found["letters"]) == 1)
        or row.endswith("000")
    ):
        return cardinal(row)
    return digits(row)


def _country(code: str | None) -> str:
    return ("加" if code and "+" in code else "") + digits(code or "")


def _has_money(m: Match) -> bool:
    return bool(re.match(r"[ ]?(?:元|块|美元|人|个|吨|次)", m.string[m.end() : m.end() + 3]))


RULES = (
    mobile, landline, toll_free, international, short, internet_address, flat, called, model, card, share,
)  # fmt: skip
LATE_RULES = (version, hash_behind, idiom, place, lettered, zero_first)
