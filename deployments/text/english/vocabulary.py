"""Tables of abbreviations, acronyms and names that are not pronounced as written."""

from __future__ import annotations

TITLES = {  # with or without a dot, before a name
    "Mr": "mister", "Mrs": "missus", "Ms": "miz", "Messrs": "messers", "Prof": "professor", "Gen": "general",
    "Capt": "captain", "Drs": "doctors", "Lt": "lieutenant", "Sgt": "sergeant", "Cpl": "corporal", "Cmdr": "commander",
    "Adm": "admiral", "Gov": "governor", "Rev": "reverend", "Hon": "honorable", "Pres": "president",
    "Mt": "mount", "Pvt": "private", "Fr": "father", "Supt": "superintendent", "Insp": "inspector",
}  # fmt: skip

DOTTED = {  # only with the dot; a sentence may end here too
    "Col": "colonel", "Maj": "major", "Sen": "senator", "Rep": "representative",
    "Jr": "junior", "Sr": "senior", "Inc": "incorporated", "Ltd": "limited", "Corp": "corporation",
    "Bros": "brothers", "Ave": "avenue", "Blvd": "boulevard", "Rd": "road", "Hwy": "highway",
    "Ft": "fort", "Apt": "apartment", "Ste": "suite", "Bldg": "building", "Pkwy": "parkway", "Sq": "square",
    "Pl": "place",
    "Ln": "lane", "Ct": "court", "Govt": "government", "govt": "government", "Intl": "international",
    "Natl": "national",
    "Mfg": "manufacturing", "excl": "excluding", "ea": "each", "Esq": "esquire", "resp": "respectively",
    "temp": "temperature",
    "Temp": "temperature", "avg": "average",
    "qty": "quantity", "Qty": "quantity", "ed": "edition", "eds": "editors", "M.Sc": "M S C", "B.Sc": "B S C",
    "M.Phil": "M phil", "D.Phil": "D phil", "Ed.D": "E D D", "LL.B": "L L B", "LL.M": "L L M", "a.k.a": "A K A",
    "Dept": "department", "dept": "department", "Univ": "university", "Assn": "association",
    "etc": "et cetera", "vs": "versus", "approx": "approximately", "Approx": "approximately",
    "Wm": "william", "Chas": "charles", "Thos": "thomas", "doz": "dozen", "pkg": "package", "mgr": "manager",
    "Mgr": "manager", "asst": "assistant",
    "Asst": "assistant", "assoc": "associate", "Assoc": "associate", "dir": "director", "attn": "attention",
    "Attn": "attention", "recd": "received", "reqd": "required",
    "est": "estimated", "Est": "established", "Cont": "continued", "cont": "continued",
    "misc": "miscellaneous", "incl": "including", "max": "maximum", "min": "minimum", "tel": "telephone",
    "Tel": "telephone", "ext": "extension", "Ext": "extension", "cf": "compare", "viz": "namely", "al": "al",
    "Ph.D": "P H D", "e.g": "for example", "E.g": "for example", "i.e": "that is", "I.e": "that is",
    "Co": "company", "Mon": "monday", "Tue": "tuesday", "Tues": "tuesday", "Wed": "wednesday",
    "Thu": "thursday",
    "Thur": "thursday", "Thurs": "thursday", "Fri": "friday", "Jan": "january", "Feb": "february",
    "Apr": "april",
    "Jun": "june", "Jul": "july", "Aug": "august", "Sept": "september", "Sep": "september", "Oct": "october",
    "Nov": "november",
}  # fmt: skip

BEFORE_NUMBER = {  # only when a number follows
    "No": "number", "no": "number", "Nos": "numbers", "nos": "numbers", "p": "page", "pp": "pages",
    "vol": "volume",
    "Vol": "volume", "ch": "chapter", "Ch": "chapter", "Fig": "figure", "fig": "figure", "Sec": "section",
    "sec": "section", "Eq": "equation", "Art": "article", "v": "version", "ca": "circa", "Ca": "circa", "c": "circa",
    "Chap": "chapter", "chap": "chapter", "Par": "paragraph", "par": "paragraph", "art": "article", "ver": "version",
    "Ver": "version", "ref": "reference", "Ref": "reference", "op": "opus", "Op": "opus", "Lot": "lot", "P": "page",
    "Vols": "volumes", "vols": "volumes", "Figs": "figures", "figs": "figures", "eq": "equation", "Pt": "part",
    "Sat": "saturday", "Sun": "sunday", "Mar": "march", "Dec": "december", "col": "column", "cols": "columns",
    "apt": "apartment", "rm": "room", "Rm": "room", "pop": "population", "Pop": "population",
}  # fmt: skip

DIRECTIONS = {"N": "north", "S": "south", "E": "east", "W": "west"}
STATES = {  # behind a comma: Miami, Fla.
    "Ala": "alabama", "Ariz": "arizona", "Ark": "arkansas", "Calif": "california", "Colo": "colorado",
    "Conn": "connecticut", "Del": "delaware", "Fla": "florida", "Ga": "georgia", "Ill": "illinois", "Ind": "indiana",
    "Kan": "kansas", "Ky": "kentucky", "La": "louisiana", "Md": "maryland", "Mass": "massachusetts",
    "Mich": "michigan", "Minn": "minnesota", "Miss": "mississippi", "Mo": "missouri", "Mont": "montana",
    "Neb": "nebraska", "Nev": "nevada", "Okla": "oklahoma", "Ore": "oregon", "Pa": "pennsylvania",
    "Tenn": "tennessee", "Tex": "texas", "Vt": "vermont", "Va": "virginia", "Wash": "washington",
    "Wis": "wisconsin", "Wyo": "wyoming", "Ont": "ontario", "Que": "quebec",
}  # fmt: skip
CLEAR_STATES = frozenset("Ala Ariz Calif Conn Fla Mich Minn Okla Tenn Wash Wis Wyo".split())  # anywhere

BARE = {  # without a dot, in exactly this case
    "vs": "versus", "etc": "et cetera", "OK": "okay", "Ok": "okay", "omg": "O M G", "idk": "I D K",
    "tbh": "T B H", "imo": "I M O", "imho": "I M H O", "brb": "B R B", "smh": "S M H", "irl": "I R L", "afk": "A F K",
    "thx": "thanks", "Thx": "thanks", "pls": "please", "Pls": "please", "plz": "please", "PhD": "P H D",
    "eg": "for example", "id": "I D", "ids": "I Ds",
    "w/o": "without",
    "w/": "with", "he/she": "he or she", "she/he": "she or he", "his/her": "his or her", "him/her": "him or her",
    "He/she": "he or she", "She/he": "she or he", "His/her": "his or her", "s/he": "he or she", "b/c": "because",
    "c/o": "care of", "n/a": "N A", "N/A": "N A", "a/c": "A C", "A/C": "A C",
    "I/O": "I O",
    "TCP/IP": "T C P I P", "R&D": "R and D", "Q&A": "Q and A", "B&B": "B and B", "M&A": "M and A", "R&B": "R and B",
    "P&L": "P and L", "H&M": "H and M", "M&M's": "M and M's", "aka": "A K A", "y/o": "year old",
    "24/7": "twenty four seven", "and/or": "and or", "n'": "and", "'n'": "and", "'n": "and", "'em": "them",
    "'til": "until",
    "'cause": "because", "'twas": "twas", "'Twas": "twas", "'tis": "tis", "'Tis": "tis",
    "iOS": "I O S", "macOS": "mac O S",
    "LaTeX": "lay tek", "TODO": "to do", "FIXME": "fix me", "mgmt": "management", "Mgmt": "management",
    "mtg": "meeting", "Mtg": "meeting",
    "mtgs": "meetings", "wknd": "weekend", "dept": "department", "Dept": "department", "depts": "departments",
    "govt": "government", "Govt": "government", "qty": "quantity", "Qty": "quantity", "QTY": "quantity",
    "amt": "amount", "Amt": "amount", "acct": "account", "Acct": "account", "accts": "accounts",
    "attn": "attention", "Attn": "attention", "ATTN": "attention", "Esq": "esquire", "bldg": "building",
    "Bldg": "building", "mfr": "manufacturer", "mfg": "manufacturing", "mgr": "manager", "Mgr": "manager",
    "pkg": "package", "pkgs": "packages", "qtr": "quarter", "rcvd": "received", "recd": "received", "fwd": "forward",
    "Fwd": "forward", "stmt": "statement", "hwy": "highway", "tmw": "tomorrow", "tmr": "tomorrow", "bday": "birthday",
    "srsly": "seriously", "std": "standard", "Mr/Mrs": "mister or missus", "approx": "approximately",
    "Approx": "approximately",
    "incl": "including", "Incl": "including", "excl": "excluding", "Excl": "excluding",
    "JPEG": "J peg", "jpeg": "J peg", "MPEG": "M peg", "ASCII": "askey", "GUI": "gooey", "SaaS": "sass",
    "WiFi": "wifi", "Wi-Fi": "wifi", "wi-fi": "wifi",
    "QoQ": "quarter over quarter", "YoY": "year over year", "MoM": "month over month", "tmrw": "tomorrow",
    "k8s": "K eight S", "K8s": "K eight S",
    "M-F": "monday to friday", "WWI": "world war one",
    "WWII": "world war two",
    "ppl": "people", "msg": "message", "msgs": "messages", "abt": "about", "MON": "monday", "TUE": "tuesday",
    "TUES": "tuesday", "THU": "thursday", "THUR": "thursday", "THURS": "thursday", "FRI": "friday",
    "Tue": "tuesday", "Tues": "tuesday", "Thu": "thursday", "Thur": "thursday", "Thurs": "thursday", "Fri": "friday",
    "Feb": "february", "Aug": "august", "Sept": "september", "Oct": "october", "Nov": "november",
    "FEB": "february", "AUG": "august", "SEPT": "september", "NOV": "november", "COVID": "covid", "AT&T": "A T and T",
    "C++": "C plus plus", "C#": "C sharp", "km/h": "kilometers per hour", "m/s": "meters per second",
}  # fmt: skip

# All-capital words of up to five letters are spelled out, except these and those in a text mostly in capitals.
READ_ACRONYMS = frozenset(
    "AIDS GNU NASA NATO OPEC UNICEF UNESCO NET LASER RADAR SONAR SCUBA SIM PIN RAM ROM GIF LAN WAN ZIP NAFTA FIFA "
    "UEFA "
    "OSHA COBOL BASIC UNIX LINUX DOS YAML JSON CUDA SWAT FEMA TASER ICANN NASDAQ IKEA LEGO VISA".split()
)
SPELLED_ACRONYMS = frozenset(
    "US UK EU UN UAE USA IT AI ID TV PC CD DVD AM PM CEO CFO CTO FBI CIA NSA IRS FAQ DIY API URL USB GPU "
    "CPU SSD HDD "
    "LED LCD PDF XML HTML HTTP HTTPS CSS SQL NBC ABC CBS BBC CNN ESPN NBA NFL MLB NHL UCLA MIT NYU GDP HIV "
    "DNA RNA "
    "MRI ICU ER ATM VIP RSVP ASAP PHD MBA LLC IPO ETA GPS SUV IBM AMD BMW UPS PR HR QA UI UX VR "
    "PST AR ML NLP LLM TTS ASR IEEE ISO NGO UFO IQ EQ OS IP ISP VPN DNS SMS SOS AOL ADHD EPA ACLU NAACP".split()
)
# Spelled in lower case, too, although they can be pronounced.
LOWER_ACRONYMS = frozenset(
    "usa uk eu uae usb gpu cpu api url ai ui ux qa ide aws iot oem ota eod iirc afaik icymi ama omw lmao ceo cfo cto "
    "hiv gop pto roi seo ipo ngo faq diy atm isp ios aol uefi rsvp nyc adhd asl ufo usps usd eur isbn iban "
    "ssd lcd pov".split()
)
SHOUTED = frozenset(
    "A I AN AS AT BE BY DO GO HE IF IN IS ME MY NO OF OH ON OR SO TO UP WE ACT ADD AGE ALL AND ANY ARE ASK "
    "BAD BAG BAR BED "
    "BIG BOX BOY BUS BUT BUY CAN CAR CAT CUP CUT DAY DID DIE DOG DRY EAT END EYE FAR FEW FIX FLY FOR FUN "
    "GET GOD GOT GUN "
    "HAD HAS HER HEY HIM HIS HIT HOT HOW ICE ILL ITS JOB JOY KEY KID LAW LAY LET LIE LOT LOW MAD MAN MAP "
    "MAY MEN MOM NEW "
    "NOT NOW ODD OFF OLD ONE OUR OUT OWN PAY PUT RAN RED RUN SAD SAT SAW SAY SEA SEE SET SHE SIT SIX SKY "
    "SON SUN TAX TEN "
    "THE TOO TOP TRY TWO USE WAR WAS WAY WHY WIN WON YES YET YOU DAD STOP WAIT HELP ONLY EVER "
    "WHAT".split()
)

# Without vowels, and with any letter drawn out: each run of a letter squeezed to one, and the form in the lexicon.
HUMS = {
    "hm": "hmm", "m": "mm", "mhm": "mhm", "sh": "shh", "br": "brr", "gr": "grr", "z": "zzz", "pf": "pff",
    "pft": "pfft", "pst": "psst", "tsk": "tsk", "tch": "tch", "hmph": "hmph", "mph": "mmph", "ngh": "nngh",
    "psh": "psh", "argh": "argh", "ugh": "ugh", "ew": "eww", "um": "um", "uh": "uh", "ah": "ah", "huh": "huh",
}  # fmt: skip

# Words that a sentence begins with, but hardly a name behind an abbreviation.
STARTERS = frozenset(
    "The A An This That These Those He She It We You They I His Her Our Your Their My Its There Here What When "
    "Where Why "
    "How Who Which Whose If But And Or So Yet For In On At By With From To As After Before While Since Because "
    "Although "
    "Though However Then Now Not Yes No Do Does Did Is Are Was Were Can Could Would Should May Might Must "
    "Please Let Just "
    "Also Even Some Many Most Both Each Every Any Few Several One Two Three Another Other Today Tomorrow Yesterday "
    "Later Next Finally Meanwhile Moreover Once Only Nobody Everyone Someone Nothing Everything People Thank "
    "Thanks Sorry "
    "Hello Hi Maybe Perhaps Still Until Unless During Despite Without Within Under Over Between Among Such It's "
    "I'm I've "
    "I'll He's She's They're We're You're That's There's What's Don't Didn't Isn't Let's Never Always Sometimes "
    "Instead Therefore Thus Of Out Like Take Make See Try Add Use Open Close Check Call Go Come Get Give Turn Look "
    "Ask Tell Bring Keep Put Stop Start Remember Note".split()
)

# Before a Roman numeral.
NUMBERED = frozenset(
    "chapter part section book volume act scene phase type class stage level grade title article appendix "
    "war apollo "
    "figure table unit episode season round group area division mark schedule bowl page p pp canto exhibit wave "
    "category cat "
    "tier dynasty battalion corps legion olympiad congress rocky line verse stanza note vol ch "
    "chap sec art pt fig".split()
)
MONARCHS = frozenset(
    "louis henry charles philip george edward pius william richard ptolemy john paul peter nicholas "
    "frederick james  "
    "alfonso ivan napoleon leo gregory catherine elizabeth mary benedict clement innocent urban alexander "
    "francis "
    "ferdinand joseph leopold otto carl gustav christian haakon harald olav felipe juan carlos margrethe "
    "beatrix "
    "rama xerxes darius cyrus ramses ramesses thutmose amenhotep seti robert david malcolm stephen albert "
    "victor "
    "emmanuel umberto pedro wilhelm friedrich pope king william edmund godfrey baldwin casimir sigismund mehmed murad "
    "suleiman selim abdul mohammed hassan hussein faisal artaxerxes antiochus cleopatra boniface adrian hadrian "
    "callixtus "
    "sixtus martin eugene celestine honorius julius marcellus linus stephen charlemagne lothair conrad alexios basil "
    "constantine justinian theodosius".split()
)

SYMBOL_WORDS = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "%": "percent", "$": "dollars", "£": "pounds",
    "€": "euros",
    "¥": "yen", "₹": "rupees", "₩": "won", "₽": "rubles", "¢": "cents", "°": "degrees", "²": "squared",
    "³": "cubed",
    "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "approximately", "≠": "is not equal to",
    "≤": "is at most", "≥": "is at least", "∞": "infinity", "√": "the square root of", "§": "section", "¶": "paragraph",
    "∈": "in", "∉": "not in", "∪": "union", "∩": "intersection", "⊂": "subset of", "∑": "the sum of",
    "∫": "the integral of", "∝": "proportional to",
    "©": "copyright", "µ": "mu", "Ω": "omega", "/": "slash", "\\": "backslash",
}  # fmt: skip

OPERATORS = {  # of programming languages, between two operands
    "===": "equals", "!==": "is not equal to", "==": "equals", "!=": "is not equal to", "<=": "is at most",
    ">=": "is at least", "&&": "and", "||": "or",
    "**": "to the power of", "+=": "plus equals", "-=": "minus equals", "*=": "times equals", "/=": "divided by equals",
}  # fmt: skip
