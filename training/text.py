"""Write the training sentences: python -m training.text --out training/runs/text.txt

There are three local sources: templates filled from word lists, random dictionary words (to cover rare phone
sequences), and clauses of licence texts and Python's own reference (for real prose). Sentences of
tests/data/sentences.txt are excluded.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path

DICTIONARY = Path("/usr/share/dict/words")
LICENCES = Path("/usr/share/common-licenses")
HELD_OUT = Path("tests/data/sentences.txt")

LISTS: dict[str, str] = {
    "who": (
        "the teacher,my mother,her uncle,the doctor,a young girl,our neighbor,the captain,an old farmer,his "
        "cousin,the engineer,a stranger,the manager,my best friend,the painter,the queen,the boy next door,a "
        "nurse,the mayor,your sister,the lawyer,the baker,a student,my grandfather,the driver,some people,the "
        "children,everyone,nobody,the whole team,the pilot,their daughter,my brother,a little boy,the woman,the "
        "man,somebody,most visitors,the cook,our guide,the judge,the police officer,your father,the musician,his "
        "wife,her husband,the twins,the cashier"
    ),
    "pron": "he,she,they,we,I,you",
    "did": (
        "bought,found,lost,painted,carried,opened,closed,sold,washed,repaired,broke,hid,noticed,borrowed,cleaned,"
        "moved,dropped,watched,described,kept,took,made,saw,forgot,needed,wanted,liked,checked,chose,drew,pushed,"
        "pulled,touched,measured,ordered,followed,brought,built,caught,threw,held,sent,gave "
        "back,left,missed,picked up,read,remembered,returned,shared,showed me,stole,taught us about,wrote "
        "about,used,visited,turned over,put away"
    ),
    "adj": (
        "small,large,heavy,bright,dark,old,new,broken,beautiful,cheap,expensive,strange,quiet,noisy,soft,hard,war"
        "m,cold,wet,dry,narrow,wide,yellow,green,blue,red,purple,round,square,empty,full,dusty,shiny,rough,smooth"
        ",sharp,famous,simple,useful,dangerous,gentle,huge,tiny,thick,thin,early,late,funny,sad,happy,angry,cleve"
        "r,fresh,rotten,sweet,sour,bitter,strong,weak,young,ancient,modern,hungry,thirsty,tired,lovely,awful,perf"
        "ect,common,rare,deep"
    ),
    "thing": (
        "box,bag,window,door,car,boat,house,garden,book,letter,picture,table,chair,horse,bird,fish,dog,cat,tree,f"
        "lower,river,bridge,road,train,plane,ship,key,watch,ring,cup,plate,knife,spoon,shirt,shoe,hat,coat,comput"
        "er,phone,radio,lamp,clock,map,ticket,bottle,apple,orange,cake,loaf of bread,piece of cheese,soup,egg,chi"
        "cken,machine,engine,wheel,tool,stone,wall,fence,gate,roof,floor,kitchen,bedroom,office,school,hospital,c"
        "hurch,station,museum,market,shop,village,city,mountain,forest,beach,island,field,farm,street,park,basket"
        ",blanket,bucket,candle,carpet,coin,cow,desk,dress,drum,elephant,envelope,finger,game,glass,guitar,hammer"
        ",jacket,kettle,ladder,lemon,magazine,mirror,monkey,newspaper,notebook,onion,painting,pencil,pillow,pocke"
        "t,potato,question,rabbit,recipe,sandwich,scarf,sheep,song,story,suitcase,sweater,telephone,tiger,tomato,"
        "tower,toy,truck,umbrella,violin,wallet,whistle"
    ),
    "place": (
        "in the kitchen,near the river,behind the church,at the station,on the table,under the bridge,by the "
        "window,across the street,in the city,at school,next to the hospital,outside the village,on the "
        "hill,inside the box,along the beach,between the houses,around the corner,at the office,in front of the "
        "museum,over the mountains,through the forest,toward the north,at home,on the roof,down the road,beside "
        "the lake,on the second floor,in the living room,above the clouds,below the surface,at the bottom of the "
        "page,at the end of the hall,in the middle of the room"
    ),
    "when": (
        "yesterday,this morning,last week,on Monday,on Tuesday evening,on Wednesday,on Thursday,every Friday,on "
        "Saturday night,last Sunday,before dinner,after lunch,at half past nine,in January,in February,in "
        "March,in April,in May,in June,in July,in August,in September,in October,in November,in December,in the "
        "summer,last winter,three days ago,many years ago,at midnight,during the storm,later that day,next "
        "month,next year,again,at last,too late,twice a week,from time to time,in the afternoon,right now,as "
        "usual,every day,at eight o'clock,in a few minutes"
    ),
    "went": (
        "slept,laughed,cried,waited,arrived,walked "
        "away,ran,sang,danced,smiled,worked,stopped,talked,listened,fell,jumped,shouted,sat down,stood "
        "up,played,left,came back,disappeared,looked up,nodded,agreed,changed,failed,grew,hurried,knocked,learned"
        ",moved,paid,rested,shook,swam,thought,understood,whispered,won,woke up,went home"
    ),
    "how": (
        "quickly,slowly,quietly,loudly,suddenly,carefully,happily,sadly,usually,always,never,often,finally,almost"
        ",probably,certainly,easily,really,still,just,only,already,perhaps,simply,clearly,nearly,hardly,once"
    ),
    "and": "because,and then,but,although,while,when,after,before,so,until,since,if,unless,as soon as,even though",
    "num": (
        "one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve,thirteen,fourteen,fifteen,sixteen,sevente"
        "en,eighteen,nineteen,twenty,thirty,forty two,fifty,sixty five,seventy,eighty one,ninety nine,one "
        "hundred,two thousand"
    ),
    "do": (
        "buy some fruit,learn another language,drink more water,go home early,call the police,fix the roof,read "
        "the letter,visit the museum,travel by train,cook a good meal,write a long story,play the guitar,change "
        "the plan,open the window,leave the room,build a new house,save some money,ask a question,find the "
        "answer,take a break,sleep late,wash the dishes,paint the wall,help the children,wait for the "
        "bus,remember the name,choose a color,watch the game,grow vegetables,feed the birds,speak more "
        "slowly,turn off the light,carry the bags,count the chairs,check the weather,eat something healthy,finish"
        " the work,hold my hand,keep a secret,listen to music,look at the moon,make a cup of tea,pay the "
        "bill,pick up the phone,put on a coat,run a mile,sit by the fire,think about the future,try again,use a "
        "better tool,walk the dog,wear a hat,win the prize,worry about it,share the food,push the button"
    ),
    "ask": (
        "can you tell me,do you know,I wonder,nobody knows,please tell me,she asked me,I would like to know,they "
        "explained,he could not remember,it is hard to say,we never found out,have you heard"
    ),
    "wh": (
        "where {who} {did} the {thing},why the {thing} is so {adj},how to {do},when {who} {went},what {who} {did}"
        " {when},who {did} the {adj} {thing},how many of them are {place},which {thing} is {adj},whether {pron} "
        "can {do}"
    ),
}

TEMPLATES = """\
{who} {did} the {adj} {thing} {place}|{who} {did} a {thing} {when}|{when}, {who} {went} {how} {place}
{ask} {wh}|{who} {went} {and} {who} {did} the {thing}|{who} wanted to {do} {when}
it is {how} {adj} {place}|there were {num} {adj} people {place}
{who} will {do} {and} the {thing} is {adj}|you should {how} {do}
the {thing} and the {thing} were {adj} and {adj}|I would like to {do} {when}, please
is the {adj} {thing} {place}?|the {adj} {thing} {went} {place} {and} {pron} {went} {when}
my {thing} costs {num} dollars|don't {do} {and} {who} {did} it|{who} has {num} chairs and {num} tables
we have to {do} and {do}|{word} and {word} are {adj}|can you {do} {when}?
the {word} {word} {did} {who} {place}|{who} said {word} {when}|{word}, {word}, {word}, and {word}
please {do} {place}|{how}, the {word} {thing} was {word}|{num} {word} {thing}s|do they {do} {place}?
what a {adj} {thing}!|let's {do} {when}!|this is the {adj} {thing} that {who} {did} {when}
I think {who} {how} {did} the {word}|if {pron} {do}, {who} will {do}
{pron} had a {adj} {thing}, a {thing}, and a {word}|why did {who} {do}?
have you ever seen a {adj} {word}?|{pron} never {did} the {word} of the {thing}
that {thing} looks {adj}, but it is {adj}|where is the {word} {thing}?|not {how}, said {who}, and {went}
it was {adj} and {adj} {when}|look, a {adj} {word}!|there is a {word} {place}|as {adj} as a {word}
{who} and {who} {went} with the {word}|the {word} of the {word} is {num}|how {adj} was the {thing}?
{pron} gave {who} a {adj} {word} {and} {pron} {went}|with a {word} and some {word}, {pron} {did} it
thank you for the {thing}
"""


def dictionary_words() -> list[str]:
    return [w for w in DICTIONARY.read_text().split() if re.fullmatch(r"[a-z]{2,11}", w)]


def sentence_case(text: str) -> str:
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    text = text[0].upper() + text[1:]
    return text if text[-1] in "?!." else text + "."


class Filler:
    """Fills templates: `{name}` becomes a random entry of that list, `{word}` any dictionary word."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lists = {name: values.split(",") for name, values in LISTS.items()} | {
            "word": dictionary_words()
        }
        self.templates = [t for line in TEMPLATES.split("\n") for t in line.split("|") if t]

    def sentence(self) -> str:
        text = self.rng.choice(self.templates)
        while "{" in text:
            text = re.sub(r"\{(\w+)\}", lambda m: self.rng.choice(self.lists[m[1]]), text, count=1)
        if text.split()[0] in ("can", "do", "have") and text[-1] not in "?!.":
            text += "?"
        return sentence_case(text)

    def salad(self) -> str:
        words = self.rng.sample(self.lists["word"], self.rng.randint(4, 9))
        if len(words) > 5 and self.rng.random() < 0.5:
            words[2] += ","
        return sentence_case(" ".join(words) + self.rng.choice("....?!"))


def prose() -> list[str]:
    """Clauses of licence texts and of Python's reference, without digits or symbols."""
    from pydoc_data.topics import topics

    text = " ".join(
        [p.read_text(errors="ignore") for p in sorted(LICENCES.iterdir())] + list(topics.values())
    )
    text = re.sub(r"\s+", " ", re.sub("[\"'*`]", "", text))
    clauses = {c.strip() for c in re.split(r"(?<=[.?!;:])\s+|(?<=,)\s+", text)}
    return sorted(
        c for c in clauses if 25 <= len(c) <= 95 and re.fullmatch(r"[A-Za-z][a-z ,\-]+[.,;:?!]?", c)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/text.txt"))
    parser.add_argument("--templates", type=int, default=7000)
    parser.add_argument("--salads", type=int, default=2500)
    parser.add_argument("--prose", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    filler = Filler(rng)
    clauses = prose()
    rng.shuffle(clauses)
    lines = {filler.sentence() for _ in range(args.templates)} | {filler.salad() for _ in range(args.salads)}
    lines |= {sentence_case(c.rstrip(",;: ")) for c in clauses[: args.prose]}
    held_out = {line.strip().lower() for line in HELD_OUT.read_text().splitlines()}
    kept = sorted(line for line in lines if line.lower() not in held_out and len(line) <= 110)
    rng.shuffle(kept)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(kept) + "\n")
    print(f"{len(kept)} sentences ({len(clauses)} clauses of prose found)")


if __name__ == "__main__":
    main()
