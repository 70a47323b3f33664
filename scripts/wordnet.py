"""Write cbir/words/wordnet.bin: WordNet 3.0's nouns, their tree, and where ImageNet's 1,000 classes stand in it.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python scripts/wordnet.py wordnet/usr/share/wordnet

The folder has the database files `data.noun`, `index.noun`, `noun.exc` and `cntlist.rev` (wndb(5WN) describes them).
Classes are those of cbir/backbones/imagenet_classes.txt; `--synsets` compares them with another list whose lines start
with their ids.
What the file has is described in cbir/words/wordnet.py. The same input makes the same bytes.
"""

from __future__ import annotations

import argparse
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cbir.backbones.imagenet import classes
from cbir.words.wordnet import BLOCK, BUCKET_BITS, FILE, MAGIC, SYNSET_BITS, hashed, plain

#: A whole with more classes than this says little of its parts: a wheel is part of any vehicle.
_MOST_CLASSES_OF_A_WHOLE = 25


@dataclass(frozen=True)
class Synset:
    """A line of `data.noun`. Pointers are WordNet's own ids."""

    offset: int
    lemmas: list[str]
    hypernyms: list[int]
    wholes: list[int]
    gloss: str


def main() -> None:
    """Read the folder, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with data.noun and so on")
    parser.add_argument("--synsets", type=Path, help="a list of ImageNet's classes to compare the package's with")
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write (%(default)s)")
    options = parser.parse_args()
    if options.synsets is not None:
        lines = options.synsets.read_text(encoding="utf-8").splitlines()
        if [line.split()[0] for line in lines] != [one.wordnet_id for one in classes()]:
            parser.error(f"{options.synsets} has other classes than the package")
    options.out.write_bytes(build(options.folder))


def build(folder: Path) -> bytes:
    """The whole file, of the database in `folder`."""
    synsets = list(read_synsets(folder / "data.noun"))
    number = {synset.offset: place for place, synset in enumerate(synsets)}
    senses = {word: [number[one] for one in meanings] for word, meanings in read_index(folder / "index.noun")}
    if len(synsets) >= 1 << SYNSET_BITS:
        raise ValueError(f"{len(synsets)} synsets are more than the hash table has bits for")
    parents = [[number[one] for one in synset.hypernyms] for synset in synsets]

    @cache
    def above(one: int) -> frozenset[int]:
        return frozenset([one]).union(*(above(parent) for parent in parents[one]))

    @cache
    def depth(one: int) -> int:
        return 1 + max((depth(parent) for parent in parents[one]), default=0)

    imagenet = [number[int(one.wordnet_id[1:])] for one in classes()]
    paths = [sorted(above(one)) for one in imagenet]
    covers: dict[int, int] = {}
    for path in paths:
        for one in path:
            covers[one] = covers.get(one, 0) + 1
    wholes = [
        (part, number[whole])
        for part, synset in enumerate(synsets)
        if part not in covers
        for whole in synset.wholes
        if 0 < covers.get(number[whole], 0) <= _MOST_CLASSES_OF_A_WHOLE
    ]
    counted = set(read_counted(folder / "cntlist.rev", senses))
    familiar = [one for one in covers if one in counted or len(senses[plain(synsets[one].lemmas[0])]) > 1]
    kinds = [(synsets[one].lemmas, synsets[parents[one][0]].lemmas[0]) for one in imagenet]
    ambiguous = {one for meanings in senses.values() if len(meanings) > 1 for one in meanings}
    glosses = [synset.gloss if at in ambiguous or at in covers else "" for at, synset in enumerate(synsets)]
    lemma_blocks, lemma_starts = blocks("\t".join(synset.lemmas) for synset in synsets)
    gloss_blocks, gloss_starts = blocks(glosses)
    buckets, entries = hash_table(senses)
    exceptions = sorted(set(read_exceptions(folder / "noun.exc")))
    offsets = [synset.offset for synset in synsets]
    return assemble(
        len(synsets),
        {
            "lemmas": lemma_blocks,
            "lemmas_starts": lemma_starts,
            "glosses": gloss_blocks,
            "glosses_starts": gloss_starts,
            "entries": entries,
            "buckets": zlib.compress(buckets, 9),
            "offsets": packed(after - before for before, after in zip([0, *offsets], offsets, strict=False)),
            "depths": zlib.compress(bytes(depth(one) for one in range(len(synsets))), 9),
            "parents": packed(above[0] if above else one for one, above in enumerate(parents)),
            "more_parents": packed(n for one, above in enumerate(parents) for more in above[1:] for n in (one, more)),
            "wholes": packed(n for pair in sorted(set(wholes)) for n in pair),
            "familiar": packed(sorted(familiar)),
            "class_names": zlib.compress("\n".join(class_names(kinds)).encode("ascii"), 9),
            "classes": packed(imagenet),
            "paths": packed(one for path in paths for one in path),
            "path_starts": packed(sum(map(len, paths[:place])) for place in range(len(paths))),
            "exceptions": zlib.compress("\n".join(exceptions).encode("ascii"), 9),
        },
    )


def read_synsets(file: Path) -> Iterator[Synset]:
    """The lines of a data file; those that begin with a space are its licence."""
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            continue
        body, gloss = line.split(" | ", 1)
        fields = body.split()
        words = int(fields[3], 16)
        lemmas = [fields[4 + 2 * place].replace("_", " ") for place in range(words)]
        at = 4 + 2 * words
        pointers = [fields[at + 1 + 4 * place : at + 5 + 4 * place] for place in range(int(fields[at]))]
        yield Synset(
            int(fields[0]),
            lemmas,
            [int(target) for symbol, target, _, _ in pointers if symbol in ("@", "@i")],
            [int(target) for symbol, target, kind, _ in pointers if symbol == "#p" and kind == "n"],
            definition(gloss),
        )


def definition(gloss: str) -> str:
    """A gloss without its examples, which stand in quotation marks at its end."""
    return re.split(r"[;:] \"", gloss, maxsplit=1)[0].strip().replace("\t", " ")


def read_index(file: Path) -> Iterator[tuple[str, list[int]]]:
    """Each word, plainly written, and its synsets, the most usual first."""
    senses: dict[str, list[int]] = {}
    for line in file.read_text(encoding="ascii").splitlines():
        if not line.startswith(" "):
            fields = line.split()
            meanings = senses.setdefault(plain(fields[0]), [])
            for one in map(int, fields[-int(fields[2]) :]):
                # words that only a hyphen tells apart are one here
                if one not in meanings:
                    meanings.append(one)
    yield from sorted(senses.items())


def read_exceptions(file: Path) -> Iterator[str]:
    """Lines of an irregular plural and its singular, plainly written; the first singular where there are several."""
    for line in file.read_text(encoding="ascii").splitlines():
        plural, singular = line.split()[:2]
        if plain(plural) != plain(singular):
            yield f"{plain(plural)}\t{plain(singular)}"


def read_counted(file: Path, senses: dict[str, list[int]]) -> Iterator[int]:
    """The synsets that a word was counted in, in the texts in which WordNet's authors marked each word's sense."""
    for line in file.read_text(encoding="ascii").splitlines():
        key, number, _ = line.split()
        word, rest = key.split("%", 1)
        meanings = senses.get(plain(word), [])
        if rest.startswith("1:") and int(number) <= len(meanings):
            yield meanings[int(number) - 1]


def class_names(kinds: Sequence[tuple[list[str], str]]) -> list[str]:
    """A name of each class that no other has, from the words for its synset and what it is a kind of."""
    of_name: dict[str, set[int]] = {}
    for one, (lemmas, _) in zip(classes(), kinds, strict=True):
        for name in (one.name, *lemmas):
            of_name.setdefault(plain(name), set()).add(one.number)
    return [
        f"{one.name} ({kind})" if len(of_name[plain(one.name)]) > 1 else one.name
        for one, (_, kind) in zip(classes(), kinds, strict=True)
    ]


def hash_table(senses: dict[str, list[int]]) -> tuple[bytes, bytes]:
    """How many entries each bucket has, a byte each, and the entries, three bytes each: a synset and a word's tag."""
    table: list[list[bytes]] = [[] for _ in range(1 << BUCKET_BITS)]
    for word, meanings in sorted(senses.items()):
        bucket, tag = hashed(word)
        table[bucket] += [(one | tag << SYNSET_BITS).to_bytes(3, "little") for one in meanings]
    return bytes(map(len, table)), b"".join(entry for bucket in table for entry in bucket)


def blocks(lines: Iterable[str]) -> tuple[bytes, bytes]:
    """Lines, compressed in blocks, and where each block starts and the last ends."""
    listed = list(lines)
    parts = [
        zlib.compress("\n".join(listed[first : first + BLOCK]).encode("ascii"), 9)
        for first in range(0, len(listed), BLOCK)
    ]
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return b"".join(parts), struct.pack(f"<{len(starts)}I", *starts)


def packed(numbers: Iterable[int]) -> bytes:
    """Numbers as uint32, compressed."""
    listed = list(numbers)
    return zlib.compress(struct.pack(f"<{len(listed)}I", *listed), 9)


def assemble(count: int, sections: dict[str, bytes]) -> bytes:
    """The header and the sections."""
    header = [str(count)]
    start = 0
    for name, content in sections.items():
        header += [name, str(start), str(len(content))]
        start += len(content)
    return b"".join([MAGIC, " ".join(header).encode("ascii"), b"\n", *sections.values()])


if __name__ == "__main__":
    main()
