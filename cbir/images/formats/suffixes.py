"""Classifying files by their names: pictures, systems' files, and others."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


#: Raw photos, which the extra `cbir[raw]` reads.
RAW_SUFFIXES = _suffixes(
    "3fr ari arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf ori pef "
    "raf raw rw2 rwl rwz sr2 srf srw x3f"
)

#: JPEG XL, which the extra `cbir[jxl]` reads.
JXL_SUFFIXES = frozenset({".jxl"})

_VIDEOS = _suffixes(
    "3g2 3gp asf avi dv f4v flv insv lrv m2t m2ts m2v m4v mjpeg mjpg mkv mod mov mp4 mpe mpeg mpg mts mxf ogv "
    "rm rmvb tod vob webm wmv"
)

#: Suffixes that browsers and other programs give a file that is not whole yet.
_UNFINISHED = _suffixes("!qb !ut aria2 crdownload download filepart opdownload part partial temp tmp")

# Files that lie about in great numbers and are never pictures: they need not be opened. `.thm` are pictures of videos.
_OTHERS = _suffixes(
    "7z a aac aae ai aif aiff apk bat bib blend bz2 c cfg class conf cpp cs css csv cue db deb dll dmg doc "
    "docx dop dwg dxf eml eps epub exe fits flac go gz h h5 hpp htm html ics indd ini ipynb iso jar java js "
    "json jsonl key kra lnk log lrcat lrprev m3u m4a md mid mp3 msg msi nfo npy npz o odp ods odt ogg onnx "
    "opus otf pdf php pkl pls pp3 ppt pptx ps ps1 psb pt py pyc rar rb rpm rs rtf sh so sql sqlite sqlite3 srt "
    "stl svg svgz swf tar tex tgz thm torrent ts tsv ttf txt url vcf vtt wav webloc wma woff woff2 xcf xls "
    "xlsx xml xmp xz yaml yml zip zst"
)

# Folders that network storage, cameras and desktops keep thumbnails, snapshots and bins in, and their own files, in
# lower case: a disk comes from a system that does not tell cases apart.
_SYSTEM = frozenset(
    {
        *("@eadir", "@tmp", "@sharebin", "@snapshot", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("~snapshot", "$recycle.bin", "recycler", "recycled", "lost+found", "found.000", "system volume information"),
        *("__macosx", "network trash folder", "temporary items", "ipod photo cache"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
    }
)


def suffix_of(name: str) -> str:
    """Return a name's ending, in lower case, with the dot; empty where it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def is_hidden(name: str) -> bool:
    """Tell whether listings leave out a name."""
    return name.startswith(".")


def is_systems(name: str) -> bool:
    """Tell whether a file or folder belongs to a system, and not to whoever took the pictures."""
    lower = name.lower()
    return lower in _SYSTEM or lower.endswith(".lrdata")


def is_below_systems(path: str) -> bool:
    """Tell whether a part of a path relative to the root is hidden or a system's."""
    return any(is_hidden(part) or is_systems(part) for part in path.split("/"))


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the file-name endings of the formats that `images.read` reads, in lower case, with the dot.

    Those of HEIC are among them, so that the missing extra is told of each file; those of raw photos and JPEG XL only
    where their extras are installed.
    """
    from PIL import Image

    from cbir.images.formats.known import FORMATS, MORE_SUFFIXES

    Image.init()
    suffixes = {suffix for suffix, format_ in Image.EXTENSION.items() if format_ in FORMATS} | MORE_SUFFIXES
    if reads_raw():
        suffixes |= RAW_SUFFIXES
    if reads_jxl():
        suffixes |= JXL_SUFFIXES
    return frozenset(suffixes)


def reads_raw() -> bool:
    """Tell whether the extra for raw photos is installed."""
    return find_spec("rawpy") is not None


def reads_jxl() -> bool:
    """Tell whether the extra for JPEG XL is installed."""
    return find_spec("pillow_jxl") is not None


def kind_by_suffix(suffix: str) -> str | None:
    """Name the kind of a file that is no picture by its ending, in `left_out`'s words; None where it tells nothing."""
    if suffix in _OTHERS:
        return "others"
    if suffix in _VIDEOS:
        return "videos"
    if suffix in _UNFINISHED:
        return "unfinished"
    if suffix in RAW_SUFFIXES:
        return "raw"
    return "jpeg_xl" if suffix in JXL_SUFFIXES else None
