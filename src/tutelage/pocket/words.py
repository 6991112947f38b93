"""The words of the pocket world: what its tokenizer knows whole, and the invented names it can speak of.

An invented name is a head and a tail ("Tor" + "vel"), each one token. Names are dealt to three sides so that no two
sides share one although they share every piece: what pretraining calls things never occurs in a task.

    skills   Torvel, ...      steps   Tormin, ...      atlas   Torrick, ...
"""

from __future__ import annotations

from functools import cache
from typing import Literal

Side = Literal["skills", "steps", "atlas"]
SIDES: tuple[Side, ...] = ("skills", "steps", "atlas")


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


HEADS = _listed(
    "Al Ar Bal Bel Bor Bran Cal Cor Dal Del Dor Dun El Er Fal Fen Gal Gor Hal Hel Hor Il Jor Kal Kel Kor Lan Lor Mal "
    "Mel Mor Nal Nor Ol Or Pal Per Quil Ral Ren Ros Sal Sel Tal Tor Ul Val Vor Wen Yar Zan Zel"
)
TAILS = _listed(
    "bar bin borg by dan den din don dra eth fax gar gin go ik ina ira ith ket kin la lan len lo mar min mo na nia "
    "nor ora os pel ra rick ris ro san sin ta tan tha ti tov va vel vin wick wyn ya zen zo"
)

COMMON = _listed(
    """
a an the this that these those there here some any each every all both either neither none no not one another other
others same such only own few many much more most less least fewer several enough half double twice once whole first
second third fourth fifth last next previous latest final
i you he she it we they me him her us them my your his its our their who whom whose which what when where why how
and or but nor so yet if then than because while until unless since although though as at by for from in into of off on
onto out over through to toward under up upon with within without about above across after against along among around
before behind below beneath beside between beyond down during except inside near outside past per plus minus times
is are was were be been being am has have had having do does did done doing can could will would shall should may might
must let get gets got give gives given gave take takes took taken make makes made put puts keep keeps kept hold holds
held find finds found lose loses lost buy buys bought sell sells sold pick picks picked drop drops dropped add adds
added bring brings brought send sends sent receive receives received collect collects eat eats ate break breaks broke
use uses used need needs want wants know knows known think thinks say says said tell tells told ask asks asked call
called name named write writes written read reads show shows shown see sees seen look looks come comes came go goes went
gone start starts started begin begins end ends ended stop stops stay stays stand stands stood sit sits rise rises run
runs ran flow flows cross crosses reach reaches reached lie lies pass passes turn turns turned move moves moved swap
swaps trade trades change changes open opens close closes join joins meet meets live lives work works play plays pay
pays paid cost costs spend spends carry carries draw draws cut cuts set sets count
counts counted measure measures weigh weighs list lists order orders compare sort spell repeat copy match choose
chooses chosen answer answers question questions correct wrong true false yes maybe
away back again also always never often now later earlier today still just even very too almost exactly together apart
well left right over remain remains remaining total sum difference number numbers digit digits letter letters word words
value values step steps result equals equal greater higher lower taller shorter longer larger smaller bigger older newer
younger earlier nearer farther deeper wider narrower heavier lighter colder warmer faster slower richer poorer
high low tall short long large small big little old new young early late near far deep wide narrow heavy light cold warm
hot fast slow rich poor good bad better best worst great full empty hard soft dark bright clean dry wet round flat sharp
highest lowest tallest longest largest smallest oldest newest
red blue green yellow orange white black purple pink brown grey gold silver
ball balls bead beads coin coins shell shells stone stones card cards book books pen pens cup cups box boxes bag bags
apple apples pear pears plum plums nut nuts egg eggs cake cakes loaf loaves seed seeds leaf leaves flower flowers tree
trees stamp stamps button buttons marble marbles key keys ring rings rope ropes lamp lamps candle candles brick bricks
nail nails plank planks jar jars hat hats coat coats shoe shoes gift gifts toy toys fish bird birds dog dogs cat cats
horse horses man men woman women boy boys girl girls child children friend friends people person king queen farmer
baker teacher student trader place places town towns city cities village villages hill hills mount mountain mountains
peak river rivers lake lakes
sea coast island islands forest field fields valley road roads bridge bridges gate tower towers castle wall walls
market mill mine mines port school house houses home room rooms door doors window windows garden church well
street square park station ship ships boat boats cart carts north south east west middle side top bottom edge centre
year years month months week weeks day days hour hours minute minutes morning evening night summer winter spring autumn
water fire wind rain snow ice sand salt iron copper wood wool glass paper cloth bread milk meat fruit sugar oil money
foot feet metre metres mile miles span spans league leagues depth height length width weight
age size price speed rank founded built settled dug lit mouth bank banks arches families souls ferries entry note notes
record records register page pages story map maps known famous quiet busy local ancient old stone wooden narrow steep
option options choice choices fact facts thing things part parts kind way ways time times case
zero two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand
"""
)
OPENERS = _listed(
    """
A An The This That These Those There Here Some Each Every All Both One Another I You He She It We They His Her Its Our
Their Who Whose Which What When Where Why How And Or But So If Then Because While Since As At By For From In Into Of On
Out Over To Under With After Before Is Are Was Were Has Have Had Do Does Did Can Will Let Find Give Take Put Keep Write
Read Say Tell Name List Add Count Compare Sort Spell Repeat Copy Match Choose Answer Question Options Step First Second
Next Last Finally Therefore Now Later Today Start Total Sum Option Entry Note Yes No True False Mount Lake River Port
Bridge Tower Mill Mine Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June
July August September October November December Explanation Knowledge Context Passage Choices Pick Look See Given Solve
"""
)
FIRST_NAMES = _listed(
    """
Alice Bob Claire Dave Eve Fred Gertrude Helen Anna Ben Carl Dan Emma Frank Grace Henry Ivy Jack Kate Leo Mary Nina
Oscar Paul Rose Sam Tom Uma Victor Will Lola Melissa Jamie Izzi Patrick Ophelia Rodrigo Karl Lisa Mark Amy Peter John
James Sarah Laura Susan David Michael
"""
)
ENDINGS = _listed(
    """
ing ed er est ly ness ment tion able ful less ous ive al ity ist ary ent ence ance th ch sh st nd nt ck ll ss ee oo ou
an en un re de dis con pro ex or ur at et is as le te ve ke ge ce ri li ma sa ha co po so we
"""
)
MARKS = ("'s", "n't", " +", " -", " =", " *", " /", " (", " <", " >", " -->", ' "', " {", " }", " :", " $", "...")


@cache
def names(side: Side) -> tuple[str, ...]:
    """All invented names of one side, in a fixed order."""
    return tuple(
        head + tail
        for i, head in enumerate(HEADS)
        for j, tail in enumerate(TAILS)
        if (i + j) % len(SIDES) == SIDES.index(side)
    )
