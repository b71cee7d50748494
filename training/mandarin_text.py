"""Write the Mandarin training sentences: python -m training.mandarin_text --out training/runs/text_zh.txt

It fills templates from word lists, for natural sentences, and combines random phrases of pypinyin, to cover syllables
and tones. Sentences of tests/data/sentences_zh.txt are excluded.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path

HELD_OUT = Path("tests/data/sentences_zh.txt")

LISTS: dict[str, str] = {
    "who": (
        "我,你,他,她,我们,你们,他们,大家,老师,学生,妈妈,爸爸,哥哥,姐姐,弟弟,妹妹,爷爷,奶奶,叔叔,阿姨,医生,护士,司机,经理,"
        "老板,同事,朋友,邻居,警察,工人,农民,记者,作家,画家,孩子,姑娘,小伙子,老人,客人,校长,班长,队长,小李,老张,王先生,"
        "刘小姐,陈教授,那个人,这个男孩,那个女孩,有人,没有人,每个人,所有的人"
    ),
    "did": (
        "买了,卖了,看见了,找到了,丢了,打开了,关上了,修好了,洗干净了,带来了,拿走了,画了,写了,读完了,吃掉了,喝了,送给我,借走了,"
        "忘记了,记住了,喜欢,讨厌,需要,想要,发现了,放下了,搬走了,扔掉了,种了,选了,准备了,检查了,翻译了,研究过,参观了,拍了"
    ),
    "thing": (
        "书,桌子,椅子,门,窗户,手机,电脑,电视,汽车,自行车,飞机,火车票,信,报纸,杂志,照片,地图,钱包,钥匙,眼镜,雨伞,衣服,裤子,裙子,"
        "鞋子,帽子,苹果,香蕉,西瓜,葡萄,橘子,面包,米饭,面条,饺子,鸡蛋,牛奶,咖啡,茶,水果,蔬菜,鱼,狗,猫,马,鸟,花,树,房子,厨房,"
        "故事,问题,办法,计划,消息,礼物,蛋糕,箱子,杯子,瓶子,盘子,筷子,毛巾,镜子,钢琴,吉他,足球,篮球,本子,铅笔,词典,作业,"
        "电影,节目,歌,画,机器,工具,石头,河,山,桥,路,月亮,星星"
    ),
    "adj": (
        "很大,很小,很高,很低,很长,很短,很新,很旧,很好,很坏,很快,很慢,很热,很冷,很暖和,很凉快,很漂亮,很难看,很贵,很便宜,很重,很轻,"
        "很干净,很脏,很安静,很热闹,很简单,很复杂,很重要,很有意思,很奇怪,很舒服,很危险,很安全,很甜,很酸,很苦,很辣,很远,很近,"
        "非常好,特别漂亮,十分清楚,有点儿累,不太好,最便宜,比较贵,更重要"
    ),
    "place": (
        "在家里,在学校,在公司,在医院,在商店,在饭馆,在公园,在车站,在机场,在图书馆,在街上,在河边,在山上,在海边,在村子里,在城里,在楼上,在楼下,"
        "在桌子上,在门口,在窗户旁边,在厨房里,在教室里,在办公室里,在北京,在上海,在广州,在成都,在南方,在国外,在银行对面,在邮局后面,在路边"
    ),
    "when": (
        "今天,明天,昨天,后天,前天,早上,上午,中午,下午,晚上,半夜,星期一,星期二,星期三,星期四,星期五,星期六,星期天,这个月,下个月,上个月,"
        "今年,明年,去年,春天,夏天,秋天,冬天,三月五号,八点半,九点一刻,十二点,刚才,现在,以后,以前,最近,将来,每天,常常,从来不,周末,"
        "放假的时候,吃饭以前,下课以后,很久以前,过几天,一会儿,有一天"
    ),
    "do": (
        "去旅行,学汉语,做饭,洗衣服,打扫房间,看电视,听音乐,踢足球,打篮球,跑步,游泳,爬山,唱歌,跳舞,画画,写信,打电话,上网,买东西,"
        "喝茶,吃早饭,睡觉,起床,上班,下班,回家,出门,开会,坐地铁,骑车,开车,等人,找工作,照顾孩子,帮助别人,练习发音,参加比赛,"
        "准备考试,休息一下,换衣服,讲故事,修电脑,浇花,喂狗,存钱,租房子,学做菜,看医生,过生日,发邮件"
    ),
    "num": (
        "一,两,三,四,五,六,七,八,九,十,十一,十二,十五,十八,二十,二十三,三十六,四十七,五十,六十二,七十八,八十九,九十四,一百,"
        "一百零五,三百六十五,一千,两千五百,一万"
    ),
    "cl": (
        "个人,本书,张纸,把椅子,件衣服,辆车,只猫,条鱼,棵树,杯水,瓶酒,块钱,"
        "斤苹果,公里,分钟,个小时,天,年,次,遍,层楼,座山,首歌,封信"
    ),
    "and": "因为,所以,但是,可是,不过,而且,如果,虽然,然后,于是,只要,除非,即使,自从,直到",
    "ask": "你知道吗,请问,谁能告诉我,我想知道,你说,为什么,怎么,什么时候,难道",
    "how": (
        "慢慢地,很快地,高兴地,认真地,小心地,突然,终于,已经,马上,一直,"
        "经常,偶尔,几乎,大概,一定,可能,好像,果然,仍然,渐渐"
    ),
}

TEMPLATES = """\
{who}{did}{thing}|{who}{when}{did}{num}{cl}|{when}，{who}{place}{do}|{who}{how}{do}，{and}{thing}{adj}
{who}的{thing}{adj}|{thing}和{thing}都{adj}|{who}想{when}{do}|{who}不想{do}，只想{do}|{ask}{who}{place}做什么？
{who}会{do}吗？|{who}{place}{do}还是{do}？|{and}{when}{adj}，{who}{how}{do}|这里有{num}{cl}，那里有{num}{cl}
{thing}{place}|把{thing}放{place}|请不要{place}{do}！|{who}比{who}高，也比{who}跑得快|{who}一边{do}，一边{do}
{word}，{word}，{word}|{who}说{word}|{word}和{word}{adj}|{word}的{thing}，{word}的{thing}|{who}{word}，{and}{word}
{word}{word}|我觉得{word}{adj}|{when}{word}，{when}{word}|太{word}了！|{who}是不是{word}？|那{cl}{adj}，{who}{did}它
快{do}吧！|{who}要{num}{cl}，一共{num}块钱|第{num}{cl}是{who}的|{word}在{word}{word}|{word}也{word}，{word}都{word}
"""


def phrases() -> list[str]:
    """Words of two to four characters."""
    from pypinyin.phrases_dict import phrases_dict

    return [word for word in phrases_dict if re.fullmatch(r"[\u4e00-\u9fff]{2,4}", word)]


def sentences(count: int, seed: int = 1) -> list[str]:
    rng, words = random.Random(seed), phrases()
    lists = {name: values.split(",") for name, values in LISTS.items()} | {"word": words}
    templates = [line for row in TEMPLATES.splitlines() for line in row.split("|")]
    held_out, made = set(HELD_OUT.read_text().splitlines()), dict[str, None]()
    while len(made) < count:
        if rng.random() < 0.3:
            clauses = ["".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(rng.randint(1, 3))]
            text = "，".join(clauses)
        else:
            text = re.sub(r"\{(\w+)\}", lambda found: rng.choice(lists[found[1]]), rng.choice(templates))
        if text[-1] not in "？！":
            text += "。"
        if 4 <= len(text) <= 36 and text not in held_out:
            made[text] = None
    return list(made)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/text_zh.txt"))
    parser.add_argument("--count", type=int, default=8000)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(sentences(args.count)) + "\n")
    print(f"{args.count} sentences: {args.out}")


if __name__ == "__main__":
    main()
