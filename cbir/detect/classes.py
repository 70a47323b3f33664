"""Classes of detectors: the usual ones by how many there are, and finding them by name or by any word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cbir.detect.formats.annotations import class_name, read_text
from cbir.errors import CbirError, WordError
from cbir.utils.suggest import did_you_mean

_COCO = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|parking meter|"
    "bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|suitcase|frisbee|"
    "skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|tennis racket|bottle|wine glass|"
    "cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|"
    "potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|"
    "refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush"
)
_VOC = (
    "aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|pottedplant|sheep|"
    "sofa|train|tvmonitor"
)

#: The classes of Lin et al., "Microsoft COCO: Common Objects in Context" (ECCV 2014).
COCO = tuple(_COCO.split("|"))

#: The classes of Everingham et al., "The PASCAL Visual Object Classes Challenge" (IJCV 2010).
VOC = tuple(_VOC.split("|"))

# Numbers of COCO's own that no class has; torchvision's networks have a row for each, and for what is none.
_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_NO_CLASS = "N/A"
_USUAL = frozenset((*COCO, *VOC, _NO_CLASS, "__background__"))

# Meanings, as WordNet's ids, of names whose most usual meaning is another, or that WordNet has not.
_MEANINGS = {
    "stop sign": "n06794110",
    "sports ball": "n02778669",
    "kite": "n03621473",
    "banana": "n07753592",
    "broccoli": "n07714990",
    "carrot": "n07730207",
    "hot dog": "n07697537",
    "cake": "n07628870",
    "toilet": "n04446521",
    "tv": "n04405907",
    "tvmonitor": "n04405907",
    "mouse": "n03793489",
    "microwave": "n03761084",
    "toaster": "n04442312",
    "motorbike": "n03790512",
    "diningtable": "n03201208",
    "potted plant": "n13083023",
    "pottedplant": "n13083023",
}

# What people call things that WordNet has elsewhere: there a bus is public transport, and no vehicle.
_ALSO = {"bus": "n04524313", "train": "n04524313"}

# Bytes of a list of classes, and names that a message has.
_MOST_BYTES = 10_000_000
_NAMED = 12


def coco_91() -> tuple[str, ...]:
    """Return COCO's classes by COCO's own numbers, as torchvision's networks have them: 0 is none of them."""
    names = iter(COCO)
    return ("__background__", *(_NO_CLASS if number in _GAPS else next(names) for number in range(1, 91)))


def usual_names(count: int) -> tuple[str, ...]:
    """Return the names of the classes of a network that has so many, and does not name them."""
    known = {len(COCO): COCO, 91: coco_91(), len(VOC): VOC}
    return known.get(count) or tuple(f"class {number}" for number in range(count))


def read_names(path: Path) -> tuple[str, ...]:
    """Read the names of classes, one a line, in their order. CbirError where the file holds something else."""
    lines = read_text(path, _MOST_BYTES).rstrip().splitlines()
    try:
        names = tuple(map(class_name, lines))
    except ValueError as error:
        raise CbirError(f"{path} is no list of classes: a name a line is wanted, and there is {error}.") from error
    if not names:
        raise CbirError(f"{path} is no list of classes: it is empty.")
    return names


def numbers_of(text: str, classes: Sequence[str]) -> list[int]:
    """Return the numbers of the classes that are called `text`, or are a kind of that: an `animal` is each dog and cat.

    A usual class is just itself: to COCO a donut is no cake. WordError, with the classes that there are, where it is
    none.
    """
    from cbir.words.wordnet import plain

    wanted = plain(text)
    found = {number for number, name in enumerate(classes) if plain(name) == wanted}
    if found and _USUAL.issuperset(classes):
        return sorted(found)  # without WordNet, whose reading takes longer than a search
    found.update(numbers_below(_meant(text), classes))
    if found:
        return sorted(found)
    names = sorted({name for name in classes if name not in (_NO_CLASS, "__background__")})
    hint = did_you_mean(wanted, names)
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    raise WordError(
        f"The detector knows no {text!r}, and nothing that is one.{hint} Its classes are "
        f"{', '.join(names[:_NAMED])}{more}."
    )


def numbers_below(places: Iterable[int], classes: Sequence[str]) -> list[int]:
    """Return the numbers of the classes that are one of some synsets, given by their numbers, or a kind of one."""
    wanted = set(places)
    return [
        number
        for number, name in enumerate(classes)
        if wanted and name != _NO_CLASS and not wanted.isdisjoint(synsets_above(name))
    ]


def synset_of(name: str) -> int | None:
    """Return the number of the synset that a class's name stands for; None where WordNet has none."""
    from cbir.words.vocabulary import look_up
    from cbir.words.wordnet import plain, wordnet

    if (meaning := _MEANINGS.get(plain(name))) is not None:
        return wordnet().find(meaning)
    try:
        word = look_up(name)
    except WordError:
        return None
    return word.senses[0].place


def _meant(text: str) -> set[int]:
    """Return the synsets that a text may mean; none where WordNet does not know it."""
    from cbir.words.vocabulary import look_up
    from cbir.words.wordnet import plain, wordnet

    if (meaning := _MEANINGS.get(plain(text))) is not None:
        return {wordnet().find(meaning)}
    try:
        word = look_up(text)
    except WordError:
        return set()
    # not only the meanings that have classes of ImageNet, as a television has
    return {sense.place for sense in word.senses if sense.exact or not sense.is_name(word.name)}


def synsets_above(name: str) -> set[int]:
    """Return the synset that a class's name stands for, and all above it; nothing where WordNet has none."""
    from cbir.words.wordnet import plain, wordnet

    if (place := synset_of(name)) is None:
        return set()
    also = _ALSO.get(plain(name))
    return {*wordnet().above(place), *(wordnet().above(wordnet().find(also)) if also else ())}
