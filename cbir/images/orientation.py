"""Turning a picture upright, as its EXIF says, and as browsers and photo managers do it."""

from __future__ import annotations

from PIL import Image

from cbir.images.fit import Extent

#: The tag of EXIF that says how a picture is to be turned.
ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# each turn is a mirroring across, one down, or both, and then perhaps a swap of the axes
_MIRRORS_ACROSS = frozenset(
    {
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
    }
)
_MIRRORS_DOWN = frozenset(
    {
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
    }
)
_SWAPS = frozenset(
    {
        Image.Transpose.TRANSPOSE,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_270,
    }
)

# What Pillow takes a turn from where EXIF has none, which no browser does: the words of XMP, and a text chunk in which
# older programs put EXIF.
_NO_EXIF = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")


def forget_other_turns(image: Image.Image) -> None:
    """Have Pillow turn `image` by nothing but its EXIF."""
    for name in _NO_EXIF:
        image.info.pop(name, None)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that sets `image` upright, None where it stands upright already or its EXIF is broken."""
    forget_other_turns(image)
    try:
        return _TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF raises nearly anything, and costs the picture nothing but its orientation
        return None


def swaps_sides(turn: Image.Transpose | None) -> bool:
    """Tell whether a turn makes a picture's width its height."""
    return turn in _SWAPS


def turn_upright(image: Image.Image, box: Extent, turn: Image.Transpose | None) -> tuple[Image.Image, Extent]:
    """`image` turned, and where a `box` of it then is."""
    if turn is None:
        return image, box
    left, top, right, bottom = box
    width, height = image.size
    if turn in _MIRRORS_ACROSS:
        left, right = width - right, width - left
    if turn in _MIRRORS_DOWN:
        top, bottom = height - bottom, height - top
    if turn in _SWAPS:
        left, top, right, bottom = top, left, bottom, right
    return image.transpose(turn), (left, top, right, bottom)


def turned_back(
    x: float, y: float, width: float, height: float, turn: Image.Transpose | None
) -> tuple[float, float, float, float]:
    """Return where a box is in a picture as it is stored, before that `turn`: its centre and sides, in shares."""
    if turn in _SWAPS:
        x, y, width, height = y, x, height, width
    return 1 - x if turn in _MIRRORS_ACROSS else x, 1 - y if turn in _MIRRORS_DOWN else y, width, height
