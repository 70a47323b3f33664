"""The names of ImageNet's 1,000 classes, in the order in which networks' heads have them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cbir.errors import ModelError
from cbir.utils.printable import shortened

CLASSES = 1000

# Names are compared with all others to find those that are nearly the same.
_LONGEST = 200


class ImageNetClass(NamedTuple):
    """A class: its number, from 0 to 999, its WordNet id and its name, which is torchvision's."""

    number: int
    wordnet_id: str
    name: str


@cache
def classes() -> tuple[ImageNetClass, ...]:
    """Return all classes in order. `scripts/imagenet_classes.py` made the list."""
    from importlib.resources import files

    text = files("cbir.backbones").joinpath("imagenet_classes.txt").read_text(encoding="ascii")
    return tuple(ImageNetClass(number, *line.split(" ", 1)) for number, line in enumerate(text.splitlines()))


def find_class(name: str) -> ImageNetClass:
    """Find the class of a name, or of a WordNet id such as n02510455.

    Case and what stands between words do not matter where there is only one such class: `grand-piano` is
    "grand piano", but "Cardigan" is a dog and "cardigan" a garment. ModelError, with the nearest names, where there
    is none or more than one.
    """
    if len(name) > _LONGEST:
        raise ModelError(f"ImageNet has no class {shortened(name)}, which has {len(name):,} letters.")
    exact = [one for one in classes() if name in (one.name, one.wordnet_id)]
    same = exact or [one for one in classes() if _plain(one.name) == _plain(name)]
    if len(same) == 1:
        return same[0]
    if same:
        choice = " or ".join(f"{one.wordnet_id} ({one.name})" for one in same)
        raise ModelError(f"{name!r} is more than one class of ImageNet: {choice}.")
    raise ModelError(f"ImageNet has no class {name!r}.{_hint(name)}")


def _hint(name: str) -> str:
    import difflib

    wanted = _plain(name)
    by_name = {_plain(one.name): one.name for one in reversed(classes())}
    # "dog" is a word of some names, "acordion" nearly a name, "panda-bear" has a word that is nearly one of a name's
    near = [plain for plain in by_name if wanted and wanted in plain.split()][:5]
    near = near or difflib.get_close_matches(wanted, by_name, n=3)
    if not near:
        of_word = {word: plain for plain in by_name for word in plain.split() if len(word) > 3}
        near = [of_word[one] for word in wanted.split() for one in difflib.get_close_matches(word, of_word, n=2)]
    return f" Did you mean {', '.join(by_name[plain] for plain in dict.fromkeys(near))}?" if near else ""


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
