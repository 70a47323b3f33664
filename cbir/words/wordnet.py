"""WordNet's nouns from one small file: synsets, their words, glosses and the tree they stand in.

`scripts/wordnet.py` makes the file from WordNet 3.0 (Miller, "WordNet: A Lexical Database for English", CACM 1995).
A synset is a meaning and the words for it; here it is a number, in the order of WordNet's own ids. The file is mapped,
and a look-up reads a few kilobytes of it:

    magic, and a line: how many synsets, and each section's name, start and length in bytes
    lemmas, glosses       blocks of BLOCK synsets, each compressed: a line a synset, lemmas with tabs between them
    lemma_starts, …       where each block starts, uint32, and where the last ends
    entries, buckets      a hash table from words to synsets: see `WordNet.synsets`
    offsets               differences of WordNet's own ids, uint32
    depths                how far below the root by the longest way, uint8; the root itself has 1
    parents, more_parents the first hypernym of each synset, uint32 (the root's is itself), and pairs of a synset and
                          another of its hypernyms
    wholes                pairs of a synset and what it is a part of, where this has a few classes and the part has none
    familiar              of the classes' synsets and those above them: which are everyday words, since one of the words
                          for them is in the texts that WordNet's authors marked, or the first means other things too
    class_names           names for people of ImageNet's classes, a line each
    classes, paths, …     the synsets of ImageNet's classes; all that stand above each, itself included, end to end, and
                          where each path starts
    exceptions            irregular plurals: a line each, plural and singular

All but lemmas, glosses, their starts and the entries are compressed as a whole. Numbers are little-endian.
"""

from __future__ import annotations

import mmap
import unicodedata
import zlib
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

FILE = Path(__file__).with_name("wordnet.bin")
MAGIC = b"cbir wordnet 1\n"

#: Synsets whose words, or glosses, are compressed together.
BLOCK = 256

#: Words go by these many bits of their checksum to a bucket of the hash table, and the next seven are kept there.
BUCKET_BITS, TAG_BITS = 17, 7
SYNSET_BITS = 17


class WordNet:
    """The nouns of WordNet. Synsets are numbers from 0; a number that is none raises IndexError."""

    def __init__(self, file: Path = FILE) -> None:
        with file.open("rb") as opened:
            self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        if self._bytes[: len(MAGIC)] != MAGIC:
            raise ValueError(f"{file} is no file of words that this cbir can read")
        self._bytes.seek(len(MAGIC))
        count, *sections = self._bytes.readline().decode("ascii").split()
        self._start = self._bytes.tell()
        self._count = int(count)
        places = zip(sections[::3], sections[1::3], sections[2::3], strict=True)
        self._sections = {name: (int(start), int(length)) for name, start, length in places}
        self._blocks: dict[tuple[str, int], list[str]] = {}

    def __len__(self) -> int:
        """Return the number of synsets."""
        return self._count

    def synsets(self, word: str) -> list[int]:
        """Find the meanings of a word in any case, with spaces, hyphens or underscores; the most usual first."""
        wanted = plain(word)
        bucket, tag = hashed(wanted)
        counts = self._buckets
        start, count = int(counts[:bucket].sum()), int(counts[bucket])
        first = self._start + self._sections["entries"][0]
        found = []
        for place in range(start, start + count):
            entry = int.from_bytes(self._bytes[first + 3 * place : first + 3 * place + 3], "little")
            synset = entry & ((1 << SYNSET_BITS) - 1)
            if entry >> SYNSET_BITS == tag and any(plain(lemma) == wanted for lemma in self.lemmas(synset)):
                found.append(synset)
        return found

    def lemmas(self, synset: int) -> tuple[str, ...]:
        """Return the words for a synset, the most usual first, as they are written, with spaces."""
        return tuple(self._line("lemmas", synset).split("\t"))

    def gloss(self, synset: int) -> str:
        """Return a synset's meaning; empty where none of its words has another meaning, unless classes are below it."""
        return self._line("glosses", synset)

    def wordnet_id(self, synset: int) -> str:
        """WordNet's and ImageNet's own name for a synset, such as n02012849."""
        return f"n{int(self._offsets[synset]):08d}"

    def find(self, wordnet_id: str) -> int:
        """Return the synset of such a name; ValueError where there is none."""
        offset = int(wordnet_id[1:])
        synset = int(np.searchsorted(self._offsets, offset))
        if synset == self._count or self._offsets[synset] != offset:
            raise ValueError(f"there is no noun {wordnet_id}")
        return synset

    def parents(self, synset: int) -> list[int]:
        """Return the synsets next above (hypernyms, also of instances); none above the root."""
        first = int(self._parents[synset])
        more = self._more_parents
        others = more[np.searchsorted(more[:, 0], synset) : np.searchsorted(more[:, 0], synset, side="right"), 1]
        return [] if first == synset else [first, *others.tolist()]

    def above(self, synset: int) -> list[int]:
        """Return the synset itself and all that stand above it, in ascending order."""
        found: set[int] = set()
        left = [synset]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left.extend(self.parents(one))
        return sorted(found)

    def common_depths(self, synset: int) -> npt.NDArray[np.uint8]:
        """Return how deep the deepest synset above both lies, for each synset and this one, shape (synsets,)."""
        depths, first, more = self.depths, self._parents, self._more_parents
        common = np.zeros(len(self), dtype=np.uint8)
        above = self.above(synset)
        common[above] = depths[above]
        for level, others in self._levels:  # what stands above a synset has a smaller depth
            common[level] = np.maximum(common[level], common[first[level]])
            np.maximum.at(common, more[others, 0], common[more[others, 1]])
        return common

    def wholes(self, synset: int) -> list[int]:
        """Return the synsets that a synset is a part of, as a minaret is of a mosque."""
        pairs = self._pairs("wholes")
        return [int(whole) for part, whole in pairs if part == synset]

    def singular(self, plural: str) -> str | None:
        """Return the singular of an irregular plural, plainly written."""
        return self._exceptions.get(plural)

    @cached_property
    def depths(self) -> npt.NDArray[np.uint8]:
        """The depth of each synset below the root by the longest way, shape (synsets,); the root has 1."""
        return np.frombuffer(self._section("depths"), dtype=np.uint8)

    @cached_property
    def _levels(self) -> list[tuple[Numbers, Numbers]]:
        """The synsets of each depth from the root on, and the places of `_more_parents` that are about these."""
        depths, children = self.depths, self.depths[self._more_parents[:, 0]]
        return [(np.flatnonzero(depths == one), np.flatnonzero(children == one)) for one in range(1, depths.max() + 1)]

    @cached_property
    def familiar(self) -> frozenset[int]:
        """The synsets with an everyday word, of those that are or stand above classes."""
        return frozenset(self._integers("familiar").tolist())

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """A name for people of each of ImageNet's classes, no two the same: torchvision's, with a kind where needed.

        A name is unclear where it is also a word for another class: "crane (lifting device)"; there is "crane bird".
        """
        return tuple(self._section("class_names").decode("ascii").split("\n"))

    @cached_property
    def classes(self) -> Numbers:
        """The synsets of ImageNet's classes in their order, shape (1000,)."""
        return self._integers("classes")

    @cached_property
    def paths(self) -> tuple[Numbers, Numbers]:
        """All synsets above each class, itself included, end to end, and where each class's start, shape (1000,)."""
        return self._integers("paths"), self._integers("path_starts")

    def words(self) -> Iterator[str]:
        """Every word of every synset, as it is written. Some milliseconds for all 146,000."""
        count = -(-self._count // BLOCK)
        for number in range(count):
            yield from self._text("lemmas", number).replace("\n", "\t").split("\t")

    @cached_property
    def _buckets(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self._section("buckets"), dtype=np.uint8)

    @cached_property
    def _parents(self) -> npt.NDArray[np.uint32]:
        return np.frombuffer(self._section("parents"), dtype="<u4")

    @cached_property
    def _more_parents(self) -> Numbers:
        return self._pairs("more_parents")

    @cached_property
    def _offsets(self) -> Numbers:
        return np.cumsum(self._integers("offsets"))

    @cached_property
    def _exceptions(self) -> dict[str, str]:
        lines = self._section("exceptions").decode("ascii").splitlines()
        return dict(line.split("\t") for line in lines)

    def _pairs(self, name: str) -> Numbers:
        return self._integers(name).reshape(-1, 2)

    def _integers(self, name: str) -> Numbers:
        return np.frombuffer(self._section(name), dtype="<u4").astype(np.int64)

    def _section(self, name: str) -> bytes:
        start, length = self._sections[name]
        return zlib.decompress(self._bytes[self._start + start : self._start + start + length])

    def _line(self, name: str, synset: int) -> str:
        if not 0 <= synset < self._count:
            raise IndexError(f"there is no synset {synset}")
        number = synset // BLOCK
        if (lines := self._blocks.get((name, number))) is None:
            lines = self._blocks[name, number] = self._text(name, number).split("\n")
        return lines[synset % BLOCK]

    def _text(self, name: str, number: int) -> str:
        """Return the lines of a block."""
        starts = self._start + self._sections[f"{name}_starts"][0] + 4 * number
        begin, end = (int.from_bytes(self._bytes[at : at + 4], "little") for at in (starts, starts + 4))
        first = self._start + self._sections[name][0]
        return zlib.decompress(self._bytes[first + begin : first + end]).decode("ascii")


@cache
def wordnet() -> WordNet:
    """Return the nouns that come with cbir, opened once."""
    return WordNet()


def plain(word: str) -> str:
    """Strip a word of its case, accents, and what joins its parts: `Sea_Horse` and `sea-horse` are `sea horse`."""
    if not word.isascii():
        word = "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one))
    return " ".join(word.casefold().replace("_", " ").replace("-", " ").split())


def hashed(word: str) -> tuple[int, int]:
    """Return the bucket of a plain word in the hash table, and the tag that tells it from most others there."""
    checksum = zlib.crc32(word.encode())
    return checksum & ((1 << BUCKET_BITS) - 1), checksum >> BUCKET_BITS & ((1 << TAG_BITS) - 1)
