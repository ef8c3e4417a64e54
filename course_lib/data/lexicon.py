"""The words of the translation task, English and Italian, with the forms that agreement asks for.

Italian articles and adjectives take the gender and the number of their noun; an article also looks at the
first letters of the word behind it. A few adjectives stay before their noun, the others move behind it.

Chapters: 02-seq2seq, 03-rnn-attention, 05-transformer (the same task in each).
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "animal", "thing"]
ANIMATE: frozenset[Kind] = frozenset({"person", "animal"})
THINGS: frozenset[Kind] = frozenset({"thing"})


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A noun: English and Italian, singular and plural."""

    english: str
    english_plural: str
    italian: str
    italian_plural: str
    feminine: bool
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Adjective:
    """An adjective: one English form, four Italian ones, and the side of the noun it stands on.

    Attributes:
        italian: masculine, feminine, masculine plural, feminine plural.
        before: True where the Italian adjective stays before its noun.
        suits: the kinds of noun it may describe.
    """

    english: str
    italian: tuple[str, str, str, str]
    before: bool
    suits: frozenset[Kind]

    def agreeing(self, *, feminine: bool, plural: bool) -> str:
        """The Italian form for a noun of this gender and number."""
        return self.italian[2 * plural + feminine]


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb in the third person of the present, and the kinds of object it takes (none: intransitive)."""

    english: str
    english_plural: str
    italian: str
    italian_plural: str
    objects: frozenset[Kind] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Preposition:
    """A preposition, and the kinds of noun it may stand before."""

    english: str
    italian: str
    objects: frozenset[Kind]


def _nouns(table: str, *, feminine: bool, kind: Kind) -> tuple[Noun, ...]:
    rows = (row.split() for row in table.strip().splitlines())
    return tuple(
        Noun(
            english=row[0],
            english_plural=row[1],
            italian=row[2],
            italian_plural=row[3],
            feminine=feminine,
            kind=kind,
        )
        for row in rows
    )


def _adjectives(table: str, *, before: bool, suits: str) -> tuple[Adjective, ...]:
    kinds = _kinds(suits)
    rows = (row.split() for row in table.strip().splitlines())
    return tuple(
        Adjective(english=row[0], italian=(row[1], row[2], row[3], row[4]), before=before, suits=kinds) for row in rows
    )


def _verbs(table: str, *, objects: str) -> tuple[Verb, ...]:
    rows = (row.split() for row in table.strip().splitlines())
    return tuple(
        Verb(english=row[0], english_plural=row[1], italian=row[2], italian_plural=row[3], objects=_kinds(objects))
        for row in rows
    )


def _prepositions(table: str, *, objects: str) -> tuple[Preposition, ...]:
    rows = (row.split() for row in table.strip().splitlines())
    return tuple(Preposition(english=row[0], italian=row[1], objects=_kinds(objects)) for row in rows)


def _kinds(names: str) -> frozenset[Kind]:
    kinds: tuple[Kind, ...] = ("person", "animal", "thing")
    return frozenset(kind for kind in kinds if kind in names.split())


# Masculine nouns that begin with z, with s and a consonant, or with a vowel change the article before them.
NOUNS = (
    *_nouns(
        """
        cat cats gatto gatti
        dog dogs cane cani
        """,
        feminine=False,
        kind="animal",
    ),
    *_nouns("bee bees ape api", feminine=True, kind="animal"),
    *_nouns(
        """
        boy boys ragazzo ragazzi
        nurse nurses infermiere infermieri
        friend friends amico amici
        student students studente studenti
        scientist scientists scienziato scienziati
        """,
        feminine=False,
        kind="person",
    ),
    *_nouns(
        """
        girl girls ragazza ragazze
        woman women donna donne
        queen queens regina regine
        witch witches strega streghe
        actress actresses attrice attrici
        doctor doctors dottoressa dottoresse
        """,
        feminine=True,
        kind="person",
    ),
    *_nouns(
        """
        book books libro libri
        table tables tavolo tavoli
        tree trees albero alberi
        mirror mirrors specchio specchi
        backpack backpacks zaino zaini
        """,
        feminine=False,
        kind="thing",
    ),
    *_nouns(
        """
        house houses casa case
        chair chairs sedia sedie
        key keys chiave chiavi
        island islands isola isole
        city cities città città
        """,
        feminine=True,
        kind="thing",
    ),
)

ADJECTIVES = (
    *_adjectives(
        """
        old vecchio vecchia vecchi vecchie
        little piccolo piccola piccoli piccole
        """,
        before=True,
        suits="person animal thing",
    ),
    *_adjectives(
        """
        strange strano strana strani strane
        quiet tranquillo tranquilla tranquilli tranquille
        """,
        before=False,
        suits="person animal thing",
    ),
    # colours: not of people
    *_adjectives(
        """
        red rosso rossa rossi rosse
        black nero nera neri nere
        white bianco bianca bianchi bianche
        """,
        before=False,
        suits="animal thing",
    ),
    *_adjectives("young giovane giovane giovani giovani", before=True, suits="person animal"),
    *_adjectives("new nuovo nuova nuovi nuove", before=True, suits="thing"),
    *_adjectives(
        """
        tired stanco stanca stanchi stanche
        hungry affamato affamata affamati affamate
        happy felice felice felici felici
        """,
        before=False,
        suits="person animal",
    ),
    *_adjectives(
        """
        kind gentile gentile gentili gentili
        famous famoso famosa famosi famose
        """,
        before=False,
        suits="person",
    ),
    *_adjectives(
        """
        ugly brutto brutta brutti brutte
        heavy pesante pesante pesanti pesanti
        """,
        before=False,
        suits="thing",
    ),
)

VERBS = (
    *_verbs(
        """
        dances dance balla ballano
        runs run corre corrono
        smiles smile sorride sorridono
        sings sing canta cantano
        """,
        objects="",
    ),
    *_verbs(
        """
        sees see vede vedono
        remembers remember ricorda ricordano
        finds find trova trovano
        draws draw disegna disegnano
        watches watch guarda guardano
        """,
        objects="person animal thing",
    ),
    *_verbs(
        """
        greets greet saluta salutano
        hears hear sente sentono
        helps help aiuta aiutano
        """,
        objects="person animal",
    ),
    *_verbs(
        """
        sells sell vende vendono
        carries carry porta portano
        """,
        objects="thing",
    ),
)

PREPOSITIONS = (
    *_prepositions(
        """
        with con
        without senza
        behind dietro
        for per
        """,
        objects="person animal thing",
    ),
    *_prepositions("under sotto", objects="thing"),
)

PRONOUNS = {"him": "lo", "her": "la", "them": "li"}
CONJUNCTIONS = {"and": "e", "but": "ma", "while": "mentre", "when": "quando", "because": "perché"}

_VOWELS = "aeiouàèéìòù"
_LO = re.compile(r"z|gn|ps|pn|x|y|s[^aeiouàèéìòù]")


def italian_article(next_word: str, *, definite: bool, feminine: bool, plural: bool) -> str:
    """The Italian article before a word: il, lo, l', la, i, gli, le; un, uno, una, un'.

    Args:
        next_word: the Italian word right behind the article, whose first letters decide the form.
        definite: True for il, lo, la; False for un, uno, una.
        feminine, plural: gender and number of the noun.

    Returns:
        The article; the forms l' and un' keep their apostrophe.

    Raises:
        ValueError: for an indefinite plural, which Italian does not have.

    Chapter: 02-seq2seq.
    """
    if plural and not definite:
        raise ValueError(f"There is no indefinite article for the plural {next_word!r}: ask for the definite one.")
    vowel = next_word[0] in _VOWELS
    if feminine:
        if plural:
            return "le"
        return ("l'" if vowel else "la") if definite else ("un'" if vowel else "una")
    takes_lo = _LO.match(next_word) is not None
    if plural:
        return "gli" if vowel or takes_lo else "i"
    if not definite:
        return "uno" if takes_lo else "un"
    return "l'" if vowel else "lo" if takes_lo else "il"


def english_indefinite(next_word: str) -> str:
    """a or an: an before a vowel letter."""
    return "an" if next_word[0] in "aeiou" else "a"


def is_held_out(adjective: Adjective, noun: Noun) -> bool:
    """True for the one adjective–noun combination in seven that no training sentence holds.

    Both words occur in training, each with other partners: a translator that knows the words and the rules
    needs no more.

    Chapter: 02-seq2seq.
    """
    return (ADJECTIVES.index(adjective) + NOUNS.index(noun)) % 7 == 0
