"""The English texts of the natural corpus: our own word lists and templates.

A template's `{slot}` is replaced by an entry of the list with that name, which may contain slots itself. `{noun}`,
`{adjective}`, `{adverb}`, `{doing}`, `{proper}` and `{word}` are rare words of the lexicon, all of which occur
sometime. `read^VBD` states the part of speech if the reading of a word depends on it.
"""

from __future__ import annotations

LISTS: dict[str, str] = {
    "first": (
        "Alice,Benjamin,Clara,Daniel,Eleanor,Frank,Grace,Henry,Isabel,James,Katherine,Leo,Maria,Nathan,Olivia,Peter,"
        "Rachel,Samuel,Thomas,Victoria,William,Zoe,Hannah,Oscar,Julia,Martin,Sophie,George,Emily,Walter,Nora,Hugo,"
        "Arthur,Charlotte,Edward,Margaret,Simon,Lucy,Philip,Eric,Helen,Jack,Ruth,Lucas,Robert,Jonathan"
    ),
    "last": (
        "Anderson,Baker,Campbell,Davidson,Edwards,Fletcher,Gallagher,Hughes,Johnson,Kennedy,Lambert,Mitchell,Newman,"
        "O'Brien,Chen,Garcia,Wilson,Smith,Cooper,Morgan,Foster,Murray,Stewart,Washington,Parker,Quinn,Robinson,Sullivan,Turner,Vaughan,Walsh,Young,Jefferson,Thornton,Whitaker,Shaw"
    ),
    "person": (
        "{first},{first} {last},Mister {last},Doctor {last},Missus {last},my sister,my older brother,her grandfather,"
        "the new neighbor,our landlord,the night nurse,a retired teacher,the bus driver,the young officer,his roommate,"
        "the head gardener,one of the twins,the woman at the desk,the boy from upstairs,an old friend of mine,"
        "the tall man in gray,the editor,the chief engineer,my aunt,somebody from accounting,the girl with the violin"
    ),
    "they": "he,she,they,we,I,you",
    "city": (
        "London,Paris,Chicago,Tokyo,Vienna,Toronto,Boston,Lisbon,Cairo,Sydney,Madrid,Berlin,Seattle,Dublin,Athens,"
        "Beijing,Shanghai,Nairobi,Oslo,Denver,Prague,Singapore,Houston,Edinburgh,Rome,Montreal,Philadelphia"
    ),
    "country": (
        "Canada,Brazil,Norway,Egypt,Japan,China,Mexico,Greece,India,Portugal,Kenya,Peru,Sweden,Ireland,Poland,"
        "Thailand,Argentina,Morocco,Australia,Finland,Turkey,Vietnam,Iceland,Switzerland"
    ),
    "weekday": "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday",
    "month": ("January,February,March,April,May,June,July,August,September,October,November,December"),
    "season": "spring,summer,autumn,winter",
    "food": (
        "mushroom soup,fresh bread,roast chicken,a bowl of rice,scrambled eggs,grilled fish,potato salad,apple pie,"
        "blueberry pancakes,goat cheese,spicy noodles,vegetable curry,a ham sandwich,chocolate cake,black beans,"
        "smoked salmon,garlic butter,peach jam,oatmeal,tomato sauce,lemon tea,strawberry ice cream,pumpkin seeds"
    ),
    "animal": (
        "fox,squirrel,owl,tortoise,goose,pigeon,donkey,hedgehog,swan,kitten,puppy,frog,lizard,eagle,otter,mouse,"
        "butterfly,whale,dolphin,bear,wolf,deer,beaver,parrot,camel,giraffe,crow,moth,spider,salmon"
    ),
    "thing": (
        "umbrella,suitcase,telescope,blanket,bicycle,notebook,lantern,wallet,camera,kettle,necklace,envelope,"
        "ladder,mirror,guitar,passport,basket,hammer,violin,raincoat,pillow,candle,keyboard,sandwich,thermometer,"
        "backpack,typewriter,scarf,compass,toothbrush,map,microphone,calendar,bottle,sweater,puzzle,magazine,vase"
    ),
    "look": (
        "heavy,broken,yellow,narrow,enormous,dusty,tiny,ordinary,elegant,crooked,rusty,familiar,valuable,"
        "transparent,wooden,striped,shiny,useless,ancient,comfortable,peculiar,soft,bright green,dark blue,"
        "pale orange,square,oval,smooth,rough,borrowed,secondhand,expensive,cheap,delicate,sturdy"
    ),
    "feel": (
        "tired,delighted,nervous,hungry,curious,jealous,grateful,confused,proud,disappointed,relieved,furious,lonely,"
        "cheerful,anxious,embarrassed,patient,thrilled,suspicious,calm,ashamed,hopeful,bored,astonished"
    ),
    "where": (
        "behind the library,at the edge of the forest,in the upstairs hallway,near the old harbor,under the stairs,"
        "on the far side of the river,outside the theater,at the bus stop,in the back of the car,across the square,"
        "beside the fountain,on the top shelf,in the middle of the field,above the fireplace,along the coast,"
        "between the two windows,inside the cave,at my cousin's house,by the railway bridge,in the school gymnasium,"
        "beneath the floor,at the airport,around the corner,in a small village,on the balcony,next to the bakery"
    ),
    "when": (
        "this morning,yesterday evening,on {weekday},last {weekday} night,early in {month},at the end of {month},"
        "before sunrise,around midnight,two weeks ago,the day before yesterday,every other weekend,just after lunch,"
        "during the holidays,in the middle of the night,a few minutes later,at half past six,at a quarter to nine,"
        "when the rain stopped,after the concert,long before the war,sooner or later,once upon a time,in early "
        "{season},all through the {season},at exactly ten o'clock,for the first time in years"
    ),
    "did": (
        "found,lost,repaired,borrowed,painted,sold,noticed,dropped,described,carried,wrapped,ordered,examined,"
        "photographed,hid,returned,forgot,measured,cleaned,mentioned,chose,threw away,picked up,gave away,brought back,"
        "looked for,asked about,laughed at,paid for,complained about"
    ),
    "went": (
        "walked away,fell asleep,began to sing,burst out laughing,shook hands,sat down,turned around,drove home,"
        "caught a cold,missed the train,changed the subject,got off the bus,waited for an hour,left without a word,"
        "ran for the door,looked the other way,went back to work,kept on reading,gave up,woke up,smiled and nodded,"
        "counted to twenty,went for a swim,took off the hat,stood perfectly still,jumped over the fence"
    ),
    "do": (
        "learn how to swim,fix the leaking pipe,write to the mayor,water the plants,bake a birthday cake,"
        "climb that^DT mountain,call the dentist,change the sheets,feed the chickens,practice the piano,"
        "count the votes,translate the letter,catch the early train,answer the phone,finish the report,"
        "plan the journey,paint the garage,study the map,wash the windows,find a better job,visit the museum,"
        "sharpen the knife,cancel the meeting,take the dog for a walk,buy some stamps,borrow a shovel,"
        "speak a little louder,move the piano,check the brakes,thank everyone,cook for twelve people,"
        "keep an eye on the soup,get some fresh air,choose a color,grow tomatoes,sing in the choir"
    ),
    "doings": (
        "fixing old clocks,watching the birds,digging for treasure,reading mysteries,baking bread,driving at night,"
        "swimming in the sea,arguing about money,drawing horses,waiting in line,telling jokes,planting trees,"
        "riding the subway,playing chess,knitting socks,climbing rocks,listening to the radio,singing loudly"
    ),
    "job": (
        "plumber,librarian,surgeon,pilot,carpenter,journalist,chemist,lawyer,butcher,astronomer,translator,farmer,"
        "photographer,judge,mechanic,dancer,sailor,architect,electrician,firefighter,tailor,geologist,novelist"
    ),
    "subject": (
        "history,chemistry,geography,the weather,modern art,the budget,old trains,jazz music,the election,"
        "philosophy,astronomy,public health,the recipe,the traffic,his childhood,her research,their wedding,our future"
    ),
    "opinion": (
        "I think,I suppose,they say,as far as I know,to be honest,believe it or not,in my opinion,if you ask me,"
        "it seems that,I am sure,everyone agrees that,I doubt that,it turns out that,nobody told me that,I hope"
    ),
    "link": "because,although,while,so,but,until,since,even though,as soon as,unless,whenever,and then,before",
    "opener": (
        "however,unfortunately,to my surprise,after a while,of course,for example,in the end,by the way,"
        "on the other hand,generally speaking,at first,without warning,as usual,meanwhile,one day,luckily,"
        "in other words,strictly speaking,all of a sudden,year after year"
    ),
    "digit": "one,two,three,four,five,six,seven,eight,nine",
    "teen": "ten,eleven,twelve,thirteen,fourteen,fifteen,sixteen,seventeen,eighteen,nineteen",
    "tens": "twenty,thirty,forty,fifty,sixty,seventy,eighty,ninety",
    "number": (
        "{digit},{teen},{tens},{tens}-{digit},{digit} hundred,{digit} hundred and {tens}-{digit},{digit} thousand,"
        "{teen} thousand {digit} hundred,{tens}-{digit} thousand,{digit} million,one and a half,{digit} point {digit}"
    ),
    "ordinal": (
        "first,second,third,fourth,fifth,sixth,seventh,eighth,ninth,tenth,eleventh,twelfth,fifteenth,twentieth,"
        "twenty-first,thirtieth,hundredth"
    ),
    "year": (
        "nineteen {tens}-{digit},eighteen {tens}-{digit},two thousand and {digit},twenty {tens}-{digit},seventeen "
        "{teen},sixteen hundred"
    ),
    "unit": "miles,inches,pounds,gallons,degrees,hours,minutes,meters,kilometers,ounces,percent,dollars,cents,acres",
    "said": "said,asked,whispered,shouted,replied,muttered,cried,answered,called,explained,insisted",
    "how": (
        "quietly,at once,with a smile,very slowly,without looking up,in a low voice,angrily,as politely as possible,"
        "over and over,carefully,rather proudly,almost in tears,cheerfully,under her breath"
    ),
    "verdict": (
        "far too long,exactly what we needed,worth every penny,a complete disaster,surprisingly good,out of date,"
        "the best of all,hard to believe,not nearly enough,better than nothing,as cold as ice,twice as large,"
        "a matter of taste,beyond repair,still warm,nothing special,too good to be true"
    ),
}

STATEMENTS = """\
{person} {did} the {look} {thing} {where}
{person} {did} a {look} {thing} {when}
{when}, {person} {went}
{opener}, {person} {did} the {thing} and {went}
The {look} {thing} {where} was {verdict}
{person} spent the whole afternoon {doings}
{person} wanted to {do}, but it was too late
{person} never learned how to {do}
{opinion} the {thing} was {verdict}
{opinion} {person} will {do} {when}
We had {food} for breakfast and {food} for dinner
People in {city} cannot live^VERB without {food}
{they} moved from {city} to {city} {when}
{person} grew up in {country}, {where}
The {animal} slept {where} while {person} {went}
A {look} {animal} crossed the road and disappeared {where}
There used to be a {look} bridge {where}
{person} was {feel}, {link} nobody {did} the {thing}
If you {do}, somebody will have to {do}
Before you {do}, please {do}
{doings} makes {person} {feel}
It takes about {number} {unit} to {do}
The {job} explained {how} why the {thing} was {look}
{person} is a {job}, and {person} is a {job} too
My {thing} is {look}; yours is {look}
Most people here talk about {subject} all day long
I would rather {do} than {do}
Neither the {thing} nor the {thing} was {look}
Not only {person} but also {person} {went}
The more I heard about {subject}, the more {feel} I became
It was so {look} that {person} {did} it at once
{they} had hardly opened the door when the {animal} {went}
There is nothing like {food} after a long day of {doings}
{person} keeps a {look} {thing} {where}, just in case
In {country}, the {season} is longer than anyone expects
The letter from {city} arrived {when}, together with a {look} {thing}
Whatever {person} says about {subject}, do not forget to {do}
{person}, who {did} the {thing}, {went} {when}
The {thing} that {person} {did} was {verdict}
Some of the children were {doings}; others {went}
{person} has been {feel} ever since {they} {went}
All that remained {where} was a {look} {thing}
{person} promised to {do}, and {when} the promise was kept
The road to {city} was closed, so we {went}
Every {season}, the {animal} comes back to the same place {where}
""".strip()

QUESTIONS = """\
Did {person} {do} {when}?
Have you ever tried {doings}?
Where did {person} find the {look} {thing}?
Why is the {thing} {where} so {look}?
Who {did} my {look} {thing}?
Would you rather have {food} or {food}?
How many {unit} is it from {city} to {city}?
Could you please {do} {when}?
Is it true that {person} {went} {when}?
What do you know about {subject}?
When will {person} {do}?
Which {thing} do you prefer, the {look} one or the {look} one?
You {did} the {thing}, didn't you?
It is {verdict}, isn't it?
Shall we {do}, or should we {do} first?
How long have you been a {job}?
Are you {feel} because {person} {went}?
Do you mind if I {do}?
What would happen if nobody {did} the {thing}?
Can anyone tell me how to {do}?
Has the {animal} been fed?
Don't you think we should have ordered {food}?
Whose {thing} is that^DT, and why is it {where}?
Isn't {person} supposed to {do} {when}?
What time does the train to {city} leave on {weekday}?
{person} {went}? Really?
Why on earth would {person} {do} {when}?
So what did {person} say about {subject}?
Is there a {job} in the house?
Will it rain in {city} on {weekday}, or will it be dry?
""".strip()

EXCLAMATIONS = """\
What a {look} {thing}!
How {feel} you look!
Please {do} right now!
Don't you dare {do}!
Look, a {animal} {where}!
I can't believe {person} {did} the {thing}!
Watch out for the {animal}!
Let's {do} {when}!
That^DT was {verdict}!
Congratulations, {first}!
Happy birthday, {first}! We got you a {look} {thing}!
Hurry up, or we will miss the train to {city}!
Nobody {did} it, I swear!
Stop! There is a {animal} {where}!
Thank you so much for bringing {food}!
Never in my life have I been so {feel}!
Help! Somebody call a {job}!
Good heavens, the {thing} is {where}!
We did it, {first}! We finally did it!
If only {person} had never {went_back}!
""".strip()
LISTS["went_back"] = (
    "come here,opened that^DT box,said a word,left {city},trusted the {job},bought the {thing}"
)

SHORT = """\
Yes.
No, thank you.
Good morning, {first}.
Good night.
See you on {weekday}.
I don't know.
Maybe later.
Of course.
{number} {unit}.
The {look} {thing}.
In {city}?
Not again!
Where?
Who is it?
Come in.
After you, {first}.
It's {look}.
I'm {feel}.
Just a moment, please.
{opener}, no.
{food}, please.
On {weekday}?
Why not?
All right, {first}.
Excuse me.
That^DT depends.
Hello, {first}!
{number}.
Wait for me!
Any questions?
Nothing at all.
By train or by car?
Very well then.
My {thing}!
How are you?
""".strip()

LISTINGS = """\
We need {food}, {food}, {food}, and a {thing}
The box held a {thing}, a {look} {thing}, {number} candles, and a map of {country}
{city}, {city}, {city}, and {city} are on the list
First, {do}; second, {do}; third, {do}
{person}, {person}, and {person} {went}
Red, orange, yellow, green, blue, and violet
On {weekday} we {do}, on {weekday} we {do}, and on {weekday} we rest
She speaks with a {job}, a {job}, two {animal} keepers, and a {job}
Choose one: the {thing}, the {thing}, or the {thing}
There were three of them: {first}, {first}, and little {first}
""".strip()

NUMBERS = """\
The {thing} costs {number} {unit}
In {year}, {person} moved to {country}
The answer is {number}, not {number}
{tens} plus {tens} is more than {digit}
Chapter {tens}-{digit}, page {number}
It was the {ordinal} of {month}, {year}
The {ordinal} {thing} weighs {tens} pounds, the {ordinal} only {number}
My telephone number is {digit} {digit} {digit}, {digit} {digit}, {digit} {digit}
About {number} people live^VERB {where}
The temperature in {city} fell from {tens} to {teen} degrees
{person} was born in {year} and died in {year}
Flight {digit} {digit} {digit} to {city} leaves from gate {tens}-{digit} at {teen} thirty
Nearly {tens} percent of them {went} {when}
The race is {number} kilometers long, and {first} came in {ordinal}
Take the {ordinal} street on the left, then walk {digit} hundred meters
Open the file at {digit} forty-five, and close^VERB it at half past {digit}
""".strip()

DIALOGUE = """\
“{do_order},” {said} {person}. “{quick}”
“Did you {do}?” {said} {first}. “{quick}”
“{quick}” {said} {person} {how}
{first} {said}, “{opinion} it was {verdict}.”
“I am {feel},” {said} {person}, “because {person} {went}.”
“Where is my {thing}?” “It is {where}, {first}.”
“Why are you so {feel}?” asked {first}. “I forgot to {do},” {said} {first}.
“{first}, could you {do}?” “Yes, but not before I {do}.”
“Have some {food},” {said} {person}. “It is {verdict}.”
“It must be at least {number} {unit},” {said} the {job} {how}
“What is it?” “It looks like a {look} {animal}.” “Don't be silly, it is a {thing}!”
""".strip()
LISTS["do_order"] = "Please {do},Go and {do},Let me {do},You should {do},Never {do},I want to {do}"
LISTS["quick"] = (
    "Not today.,I have no idea!,Why should I?,That^DT is {verdict}.,Ask {first}.,It is too {look}!,Are you {feel}?,"
    "Nobody told me.,We will see.,Never mind.,In {city}?,What a day!,As you wish.,I was {feel}."
)

RARE = """\
The {noun} was {adjective}, but nobody {did} it
We had never heard of {noun} before {month}
A {adjective} {noun} stood {where}
It is a question of {noun} and {noun}
{person} spoke {adverb} about the {adjective} {noun}
{adverb}, {person} {did} the {adjective} {thing}
{doing} is harder than {doing}, {opinion_end}
{proper} and {proper} {went} {when}
{person} had read^VBN about {proper} in a {adjective} book
Everyone in {proper} was {doing}
Was it {noun} or {noun}?
The {noun} of {proper} is {adjective} and {adjective}
{person} was {doing} {adverb} {where}
Without {noun}, there can be no {noun}
How {adjective} is the {noun} in {city}?
They called it {noun}; we called it {word}
“{word}” is not the same as “{word}.”
{word}, {word}, {word}, and {word}
The words are {word}, {word}, and {word}
Please spell {word} and {word}
Such {noun} seems {adjective} to a {job}
He kept {doing}, {doing}, and {doing}
That^DT was {adjective}, {adjective}, and utterly {adjective}!
Doctor {proper} explained {noun} {adverb}
""".strip()
LISTS["opinion_end"] = "I think,they say,believe it or not,if you ask me,as {first} used to say"

# Complete sentences whose meaning spans the commas, which templates cannot provide.
PROSE = """\
The path wound^VBD up through the pines, crossed a stream, and came out where you could see the whole valley.
When the lights went out, nobody moved; then someone at the back began to hum, and soon the entire hall was singing.
My grandmother kept every letter she had ever received, tied with blue ribbon, in a biscuit tin under the bed.
It isn't that I dislike the city, exactly, but after three days there I start to miss the quiet.
He had promised to be home by six, and at a quarter past nine the soup was still waiting on the stove.
You can tell a good melon by its weight, by its smell, and, my uncle claims, by the sound it makes when you knock.
The museum is free on the first Sunday of the month, although you should expect a long line.
At low tide the wreck is easy to reach on foot, but the water comes back faster than most visitors imagine.
Nothing in the instructions mentioned a fourth screw, and yet there it was, rolling across the table.
She read^VBD the last page twice, closed the book, and looked out of the window for a long time.
Some mornings the fog is so thick that the ferry stays in the harbor until noon.
We measured the room again, just to be sure, and found that the piano would fit after all.
Why do we remember the smell of a classroom for fifty years and forget where we left our glasses?
The first violin came in too early, the drums came in too late, and the audience loved every minute of it.
If the battery is warm, unplug it, wait ten minutes, and try once more.
There was a time when every street in this town had its own baker, its own cobbler, and its own opinion.
The committee will meet on Thursday to discuss the budget, the bridge, and the unfortunate matter of the geese.
To everyone's surprise, the youngest of the three brothers understood the machine at once.
Light travels about three hundred thousand kilometers in a single second; snails do not.
Keep the receipt, because without it they won't exchange the shoes, no matter how politely you ask.
The storm took the roof off the barn and set it down, almost unharmed, in the neighbor's orchard.
I'm afraid the doctor isn't available this week, but I could offer you an appointment next Tuesday at eleven.
Though the engine coughed and rattled, it carried them over the pass before the snow began to fall.
Your package has arrived at the depot and will be delivered between two and four this afternoon.
The recipe says to stir gently for twenty minutes, and whoever wrote it clearly had nothing else to do.
For years the two villages had argued about the well, until one dry August there was nothing left to argue about.
Honestly, I thought the second half was better than the first, except for that^DT strange bit with the horse.
The captain folded the chart, rubbed his eyes, and admitted that they had been sailing in circles.
Children under twelve travel free, provided that they sit with an adult.
Each autumn the geese fly south over our house, and each autumn my father goes out to count them.
Turn left at the traffic light, go past the school, and you'll see the clinic on your right.
What surprised the engineers was not that the bridge moved, but that it had moved so little.
Slowly, very slowly, the old elevator rose past the third floor, paused, and began to go down again.
Nobody knows who planted the oak, but it was already tall when the church was built.
The actress smiled, the curtain fell, and for a moment there was no sound at all.
Press the green button to begin, or hold it for five seconds to switch off the display.
I used to think that patience was a gift; now I think it is mostly practice.
The judge asked whether anyone wished to speak, and a small voice from the gallery said yes.
After the flood, they found the piano in a field, perfectly upright, as if it were waiting for someone to play.
Our flight was delayed by an hour, then by three, and finally cancelled altogether.
""".strip()

# Held out of the corpus, to judge the voices.
HELD_OUT = """\
The lighthouse keeper counted eleven ships before the fog came in.
Could somebody explain why the elevator smells of oranges?
My cousin sold her motorcycle and bought a small orchard instead.
Turn the handle gently, or the whole shelf will come down!
We have sandwiches, boiled eggs, and half a bottle of lemonade.
“I never agreed to that^DT,” the tailor muttered, folding his tape.
The museum closes at five on weekdays and at eight on Saturdays.
How far is it to the nearest pharmacy?
After the thunder, a thin gray dog crept out from under the porch.
The winning number is four hundred and seventeen.
Bring warm socks, a flashlight, and enough water for two days.
Nobody had expected the youngest juror to speak first.
What an extraordinary hat you are wearing!
If the kettle whistles, please take it off the stove.
She measured the flour twice, because the first cake had been a disaster.
Is the ferry to the island running this afternoon?
The geologist tapped the stone and smiled.
Thirty-six students signed the letter, and only two of them changed their minds.
Although the path was steep, the children reached the summit before noon.
Why did the orchestra stop playing?
You left your gloves on the radiator again.
The package was heavier than it looked, and something inside it was ticking.
Good evening, and welcome to the programme.
Please don't feed the pelicans!
In the spring of nineteen fifty-three, the valley was flooded for the dam.
The violin teacher lives^VERB above the bakery, next to the fire station.
I would gladly help you, but I have no idea where the fuse box is.
Which of these keys opens the cellar door?
The judge listened patiently, wrote three words, and closed her notebook.
Snow fell all night, and by morning the bicycles had vanished.
Our neighbor's parrot can imitate the telephone.
That^DT isn't a shadow; it's a stain.
Two miles beyond the village, the road turns sharply toward the coast.
Would you like your tea with milk, with lemon, or with nothing at all?
The mayor apologized for the noise and promised to repair the fountain.
He whispered the answer so quietly that nobody heard it.
Remove the battery, wait ten seconds, and press the red button.
A shy young fox watched us from the edge of the cornfield.
They argued about the budget until the coffee was cold.
Thank you for calling; all of our lines are busy at the moment.
""".strip()
