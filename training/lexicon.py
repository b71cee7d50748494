"""Builds the English pronouncing lexicon from misaki's US dictionaries, and its list of names from CMUdict.

    python -m training.lexicon

misaki (the extra `train`) is needed for its data alone: `us_gold.json`, which its author has checked, and
`us_silver.json`, which he has not. Apache License 2.0. Gold goes before silver, and the additions below before both.

Names that misaki lacks (Olivia, Lopez, Gaza) come from the CMU Pronouncing Dictionary in
`deployments/families/gpt_sovits/text`, 2-clause BSD.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deployments.families.gpt_sovits.text.english_phones import dictionary
from deployments.text.english.letters import LetterModel
from deployments.text.english.lexicon import LEXICON_FILE, NAMES_FILE, VOWELS, save_lexicon
from deployments.text.english.pronounce import Pronouncer
from deployments.text.english.vocabulary import LOWER_ACRONYMS, SPELLED_ACRONYMS

PARTS = {"NOUN": "noun", "VERB": "verb", "ADJ": "adjective", "ADV": "adverb", "VBD": "past"}
LETTER_NAMES = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "ˈA bˈi sˈi dˈi ˈi ˈɛf ʤˈi ˈAʧ ˈI ʤˈA kˈA ˈɛl ˈɛm ˈɛn ˈO pˈi kjˈu ˈɑɹ ˈɛs tˈi jˈu vˈi dˈʌbᵊljˌu ˈɛks wˈI "
        "zˈi".split(),
        strict=True,
    )
)
HUMS = (  # a vowel for every one: a voice cannot hold a consonant alone
    "hm hˈʌm, hmm hˈʌm, mm ˈʌm, mhm ʌmhˈʌm, shh ʃˈʌ, sh ʃˈʌ, psst pˈɪst, tsk tˈɪsk, tch ʧˈʌ, pfft pfˈʌt, "
    "pff pfˈʌ, brr bˈɜɹ, grr ɡˈɜɹ, zzz zˈʌz, hmph hˈʌmf, mmph ˈʌmf, nngh ˈʌŋ, ugh ˈʌɡ, argh ˈɑɹɡ, "
    "eww ˈiu, uh ˈʌ, um ˈʌm, ah ˈɑ, aha ɑhˈɑ, huh hˈʌ, oof ˈuf, phew fjˈu, meh mˈɛ, nah nˈɑ, "
    "yep jˈɛp, yup jˈʌp, nope nˈOp, ow ˈW, wow wˈW, haha hɑhˈɑ, hehe hihˈi, psh pʃˈʌ, vroom vɹˈum, whoa wˈO"
)
ADDED = (
    "i ˈI, hurray hʊɹˈA, online ˌɑnlˈIn, app ˈæp, blog blˈɑɡ, emoji ɪmˈOʤi, wifi wˈIfˌI, missus mˈɪsᵻz, miz mˈɪz, "
    "gigabyte ɡˈɪɡəbˌIt, gigabit ɡˈɪɡəbˌɪt, kilobit kˈɪləbˌɪt, megabit mˈɛɡəbˌɪt, terabit tˈɛɹəbˌɪt, "
    "terabyte tˈɛɹəbˌIt, gigahertz ɡˈɪɡəhˌɜɹts, megahertz mˈɛɡəhˌɜɹts, kilohertz kˈɪləhˌɜɹts, hertz hˈɜɹts, "
    "kilojoule kˈɪləʤˌul, milliamp mˈɪliˌæmp, nanometer nˈænOmˌiɾəɹ, nanosecond nˈænOsˌɛkənd, jeon ʤˈʌn, "
    "webpage wˈɛbpˌAʤ, livestream lˈIvstɹˌim, javascript ʤˈɑvəskɹˌɪpt, typescript tˈIpskɹˌɪpt, github ɡˈɪthˌʌb, "
    "gitlab ɡˈɪtlˌæb, blockchain blˈɑkʧˌAn, linux lˈɪnəks, nvidia ɛnvˈɪdiə, pytorch pˈItˌɔɹʧ, "
    "tensorflow tˈɛnsəɹflˌO, ransomware ɹˈænsəmwˌɛɹ, malware mˈælwˌɛɹ, ubuntu ubˈʊntu, celsius sˈɛlsiəs, "
    "kubernetes kˌubəɹnˈɛɾiz, chatbot ʧˈætbˌɑt, iphone ˈIfˌOn, ipad ˈIpˌæd, youtube jˈutˌub, paypal pˈApˌæl, "
    "tiktok tˈɪktˌɑk, instagram ˈɪnstəɡɹˌæm, bitcoin bˈɪtkˌYn, covid kˈOvˌɪd, crypto kɹˈɪptO, hashtag hˈæʃtˌæɡ, "
    "vlog vlˈɑɡ, selfie sˈɛlfi, podcast pˈɑdkˌæst, google ɡˈuɡᵊl, askey ˈæski, lay lˈA, tek tˈɛk, "
    "tis tˈɪz, mcdonald məkdˈɑnᵊld"
)
# Names, medicines and programs that are read by no rule.
NAMED = (
    "uber ˈubəɹ, spacex spˌAsˈɛks, beyonce bˈiˌɑnsˌA, guillaume ɡijˈOm, guillermo ɡijˈɛɹmO, nguyen wˈɪn, xi ʃˈi, "
    "zhao ʤˈW, zheng ʤˈʌŋ, "
    "xie ʃjˈɛ, cao tsˈW, xiao ʃjˈW, zhang ʤˈɑŋ, huang hwˈɑŋ, zhu ʤˈu, hu hˈu, yu jˈu, su sˈu, lu lˈu, guo ɡwˈO, "
    "jalapeno hˌɑləpˈAnjO, jalapenos hˌɑləpˈAnjOz, hyundai hˈʌndˌA, abu ˈɑbu, siobhan ʃəvˈɔn, niamh nˈiv, "
    "saoirse sˈɜɹʃə, aoife ˈifə, jimenez himˈɛnɛz, le lˈə, des dˈA, marseille mɑɹsˈA, lyon liˈɔn, "
    "cancun kænkˈun, moines mˈYn, json ʤˈAsᵊn, huawei wˈɑwˌA, xiaomi ʃˈWmi, airbnb ˌɛɹbiˌɛnbˈi, "
    "alibaba ˌɑlibˈɑbə, openai ˌOpᵊnˌAˈI, nginx ˈɛnʤɪnˌɛks, postgres pˈOstɡɹˌɛs, postgresql pˈOstɡɹˌɛskjˌuˌɛl, "
    "mongodb mˈɑŋɡOdˌibˌi, numpy nˈʌmpˌI, enum ˈinəm, yaml jˈæməl, toml tˈɑməl, sudo sˈudu, acai ˌɑsIˈi, "
    "paneer pənˈɪɹ, metformin mɛtfˈɔɹmɪn, lisinopril lIsˈɪnəpɹˌɪl, atorvastatin ətˌɔɹvəstˈætᵊn, "
    "omeprazole Omˈɛpɹəzˌɔl, azithromycin əzˌɪθɹəmˈIsᵊn, semaglutide sˌɛməɡlˈutˌId, ozempic Ozˈɛmpɪk, "
    "wegovy wəɡˈOvi, levothyroxine lˌivOθIɹˈɑksɪn, gabapentin ɡˌæbəpˈɛntɪn, moderna mədˈɜɹnə, "
    "zelensky zəlˈɛnski, zelenskyy zəlˈɛnski, lviv ləvˈiv, kharkiv hˈɑɹkɪv, marrakesh mˌɛɹəkˈɛʃ, busan busˈɑn, "
    "tulum tulˈum, cusco kˈuskO, mbappe əmbˌɑpˈA, neymar nAmˈɑɹ, djokovic ʤˈOkəvˌɪʧ, verstappen vɜɹstˈɑpən, "
    "bezos bˈAzOs, nadella nədˈɛlə, pichai pɪʧˈI, kanye kˈɑnjA, buttigieg bˈutəʤˌɪʤ, priya pɹˈiə, "
    "okafor ˈOkəfˌɔɹ, kwame kwˈɑmi, sunita sunˈitə, neha nˈAhɑ, kavya kˈɑvjə, aditya ədˈɪtjə, vikram vˈɪkɹəm, "
    "anjali ˈʌnʤəli, camila kəmˈilə, ximena himˈAnə, kayden kˈAdᵊn, brayden bɹˈAdᵊn, kaylee kˈAli, "
    "makayla məkˈAlə, nevaeh nəvˈAə, giulia ʤˈuliə, beatriz bˈiətɹɪz, matthieu mætjˈu, anais ˌɑnɑˈis, "
    "anya ˈɑnjə, agnieszka ˌɑɡniˈɛʃkə, pawel pˈɑvɛl, tomasz tˈOmɑʃ, zofia zˈOfiə, kasia kˈɑʃə, piotr pjˈOtəɹ, "
    "yusuf jˈusʌf, zainab zˈAnəb, jisoo ʤˈisˌu, seong sˈʌŋ, haruki hɑɹˈuki, naoko nˈWkO, petrov pˈɛtɹɔf, "
    "volkov vˈOlkɔf, sipho sˈipO, achoo əʧˈu, thessaloniki θˌɛsələnˈiki, ahmedabad ˈɑmədəbˌɑd"
)
# Readings that misaki lacks, or has as the rarer one.
HETERONYMS = (
    "lead/other lˈɛd, bass bˈAs, bass/other bˈæs, row/other ɹˈW, rows/other ɹˈWz, sewer/other sˈOəɹ, "
    "sewers/other sˈOəɹz, number/other nˈʌməɹ, axes/other ˈæksᵻz, basses bˈAsᵻz, bases bˈAsᵻz, bases/other bˈAsiz, "
    "putting/other pˈʌɾɪŋ, sake/other sˈɑki, does/noun dˈOz, contents kˈɑntɛnts, contents/verb kəntˈɛnts, "
    "resume/noun ɹˈɛzəmˌA, resumes/noun ɹˈɛzəmˌAz, address ˈædɹˌɛs, address/verb ədɹˈɛs, addresses ˈædɹˌɛsᵻz, "
    "addresses/verb ədɹˈɛsᵻz, addressed ədɹˈɛst, addressing ədɹˈɛsɪŋ, export/verb ɪkspˈɔɹt, "
    "exports/verb ɪkspˈɔɹts, exported ɪkspˈɔɹɾᵻd, exporting ɪkspˈɔɹɾɪŋ, import ˈɪmpˌɔɹt, import/verb ɪmpˈɔɹt, "
    "imports ˈɪmpˌɔɹts, imports/verb ɪmpˈɔɹts, imported ɪmpˈɔɹɾᵻd, importing ɪmpˈɔɹɾɪŋ, protest/verb pɹətˈɛst, "
    "protests/verb pɹətˈɛsts, protested pɹətˈɛstᵻd, protesting pɹətˈɛstɪŋ, transfer/verb tɹænsfˈɜɹ, "
    "transfers/verb tɹænsfˈɜɹz, transferred tɹænsfˈɜɹd, transferring tɹænsfˈɜɹɪŋ, frequent/verb fɹikwˈɛnt, "
    "frequents fɹikwˈɛnts, frequented fɹikwˈɛntᵻd, combat/verb kəmbˈæt, combats/verb kəmbˈæts, "
    "impact/verb ɪmpˈækt, impacts/verb ɪmpˈækts, impacted ɪmpˈæktᵻd, ally/verb əlˈI, allied/verb əlˈId, "
    "aged/adjective ˈAʤɪd, blessed/adjective blˈɛsɪd, affect əfˈɛkt, affect/noun ˈæfˌɛkt, affects əfˈɛkts, "
    "initiate ɪnˈɪʃiˌAt, initiate/noun ɪnˈɪʃiət, initiates ɪnˈɪʃiˌAts, replicate ɹˈɛpləkˌAt, "
    "replicates ɹˈɛpləkˌAts, saturate sˈæʧəɹˌAt, saturates sˈæʧəɹˌAts, wicked/verb wˈɪkt, beloved bəlˈʌvɪd, "
    "bowed bˈWd, bowing bˈWɪŋ, Reading ɹˈɛdɪŋ, Nice nˈis"
)
# Plurals and third persons of misaki's that miss their ending or another sound: the rule is right.
DROPPED = frozenset(
    "apaches aspirates buttons endues grouts issues medusas paralyzes personas pursues reissues subdues toffees tours "
    "traumas underthings virtuosos issued pursued subdued cursed "
    "consist/noun consists/noun confine/noun".split()
)


def _parsed(entries: str) -> dict[str, str]:
    return dict(entry.split(" ") for entry in entries.split(", "))


ADDITIONS = _parsed(f"{HUMS}, {ADDED}, {NAMED}, {HETERONYMS}")


def entries(data: Path) -> dict[str, str]:
    """Every entry, derived forms included. data: the folder of misaki's dictionaries."""
    found: dict[str, str] = {}
    for name in ("us_silver.json", "us_gold.json"):
        dictionary = json.loads((data / name).read_text())
        for word, said in dictionary.items():
            if re.fullmatch("[a-z]+(?:'[a-z]+)*", word):
                found |= dict(_readings(word, said))
        for word, said in dictionary.items():  # names, where no common word is written in the same way
            if re.fullmatch("[A-Z][a-z]+(?:'[a-z]+)*", word) and word.lower() not in dictionary:
                found |= dict(_readings(word.lower(), said))
    gold = json.loads((data / "us_gold.json").read_text())
    for word, said in gold.items():
        name, common = re.fullmatch("[A-Z][a-z]+", word), gold.get(word.lower())
        if name and isinstance(said, str) and isinstance(common, str) and _plain(said) != _plain(common):
            found[word] = said  # Polish, August, Mobile
        if re.fullmatch("[A-Z]{3,}", word) and isinstance(said, str) and word.lower() not in found:
            found[word] = said  # NATO
    found |= LETTER_NAMES
    found |= ADDITIONS
    return {
        word: phones
        for word, phones in found.items()
        if _speakable(phones)
        and word not in DROPPED
        and not ("/" in word and phones == found.get(word.split("/")[0]))
    }


def _readings(word: str, said: str | Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    if isinstance(said, str):
        yield word, said
        return
    usual = said["DEFAULT"]
    assert usual
    yield word, usual
    for tag, part in PARTS.items():
        if (reading := said.get(tag)) and reading != usual:
            yield f"{word}/{part}", reading


def _plain(phones: str) -> str:
    return re.sub("[ˈˌəᵻᵊɪ]", "", phones)


def _speakable(phones: str) -> bool:
    return bool(re.search(f"[{VOWELS}]", phones))


def compact(found: Mapping[str, str], gold: frozenset[str]) -> dict[str, str]:
    """Without the words that a rule derives. Where the rule disagrees, only checked entries (`gold`) stand."""
    stems = {word: phones for word, phones in found.items() if word in gold or not _ends_regularly(word)}
    rules = Pronouncer(stems, LetterModel([""], {}))
    kept: dict[str, str] = {}
    for word, phones in found.items():
        derived = rules.inflected(word) if "/" not in word else None
        if derived is None or (word in gold and derived != phones):
            kept[word] = phones
    return kept


def names(known: Mapping[str, str]) -> dict[str, str]:
    """The words of CMUdict that are neither in `known` nor derived from it.

    Left out are abbreviations that are spelled, words that draw out a known one (soo), and pairs that are usually
    written with a hyphen (longterm).
    """
    rules = Pronouncer(known, LetterModel([""], {}))
    found: dict[str, str] = {}
    for word, sounds in dictionary().items():
        spelled = "".join(known[c] for c in word.upper() if "A" <= c <= "Z")
        phones = _from_arpabet(sounds)
        if (
            re.fullmatch("[a-z]{3,}", word)
            and re.search("[aeiouy]", word)
            and word.upper() not in SPELLED_ACRONYMS
            and word not in LOWER_ACRONYMS
            and not rules.known(word)
            and not (len(word) < 5 and rules.known(_DOUBLED.sub(r"\1", word)))
            and word.title() not in known
            and not _is_pair(word, phones, known)
            and _speakable(phones)
            and _plain(phones).replace("ɾ", "t") != _plain(spelled)
        ):
            found[word] = phones
    return found


def _is_pair(word: str, phones: str, known: Mapping[str, str]) -> bool:
    return any(
        _plain(phones) == _plain(known.get(word[:at], "") + known.get(word[at:], "-"))
        for at in range(4, len(word) - 3)
    )


_DOUBLED = re.compile(r"(.)\1")
_SOUNDS = dict(
    entry.split(":")
    for entry in (
        "AA:ɑ AE:æ AH:ʌ AO:ɔ AW:W AY:I EH:ɛ ER:ɜɹ EY:A IH:ɪ IY:i OW:O OY:Y UH:ʊ UW:u CH:ʧ DH:ð G:ɡ HH:h JH:ʤ NG:ŋ "
        "R:ɹ SH:ʃ TH:θ Y:j ZH:ʒ"
    ).split()
)
_FLAP = re.compile(f"(?<=[{VOWELS}])t(?=[{VOWELS}])|(?<=[{VOWELS}]ɹ)t(?=[{VOWELS}])")
_SYLLABIC = re.compile("(?<=[tdszkɡpbfvʃʒʧʤ])ə(?=[ln](?:$|[^əiuɑɔɛɜɪʊʌæAIWYOᵊᵻˈˌ]))")


def _from_arpabet(sounds: Iterable[str]) -> str:
    """CMUdict's phones in misaki's notation."""
    phones = ""
    for sound in sounds:
        name, stress = sound.rstrip("012"), sound[-1]
        said = _SOUNDS.get(name, name.lower())
        if stress == "0":
            said = {"ʌ": "ə", "ɜɹ": "əɹ"}.get(said, said)
        phones += {"1": "ˈ", "2": "ˌ"}.get(stress, "") + said
    return _SYLLABIC.sub("ᵊ", _FLAP.sub("ɾ", phones))


def _ends_regularly(word: str) -> bool:
    return word.endswith(("s", "ed", "ing"))


def checked(data: Path) -> frozenset[str]:
    gold = json.loads((data / "us_gold.json").read_text())
    return frozenset({word.lower() for word in gold} | ADDITIONS.keys() | LETTER_NAMES.keys())


def misaki_data() -> Path:
    """Raises ModuleNotFoundError without misaki."""
    found: Any = importlib.util.find_spec("misaki")
    if found is None:
        raise ModuleNotFoundError("misaki is needed for its dictionaries: pip install -e '.[train]'")
    return Path(found.submodule_search_locations[0]) / "data"


def main() -> None:
    data = misaki_data()
    found = entries(data)
    kept = compact(found, checked(data))
    added = names(kept)
    save_lexicon(kept)
    save_lexicon(added, NAMES_FILE)
    size = sum(file.stat().st_size for file in (LEXICON_FILE, NAMES_FILE)) / 1024
    print(f"{len(found)} entries, {len(kept)} of them kept, {len(added)} names, {size:.0f} KiB")


if __name__ == "__main__":
    main()
