"""Sentences: what the first one costs, whether tokens are the library's, and what the toy network finds by them.

The toy network is taught the names of folders of the drawn pictures, by every second picture of each; what it finds is
counted among the others. It says nothing of how good other networks are, but that all of the way is there.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

import cbir
from benchmarks import pictures
from benchmarks.harness import Settings, alone, cbir_command, run_command, take_turns, timed
from benchmarks.results import Result, measured, noted
from cbir.words.wordnet import wordnet

CHECKOUT = Path(__file__).resolve().parents[1]
DRAWN = CHECKOUT / "dataset" / "photos"

SENTENCE = "a mountain lake in the evening"

#: A network of open_clip, with random numbers: what it computes is worth nothing, and takes as long as with others.
CLIP = "clip:ViT-B-32"

#: Matches of a query that are looked at, and queries of each kind.
FIRST = 5

#: What odd sentences are drawn from, beside nouns: signs, entities, other scripts, spaces of all kinds.
_ODD = ("'s", "n't", '"', "&amp;", "&#x41;", "<end_of_text>", "\u00a0", "\u200d", "\n", "é", "İ", "ﬁ", "ж", "ש", "漢")
_ODD += ("한", "🏳️\u200d🌈", "½", "٣", "…", "\u202e", "Ã©", "x" * 300, "-", "1234")


def run(settings: Settings) -> Iterator[Result]:
    """Teach the toy network, index by it, and ask."""
    weights, directory = settings.scratch / "toy.pth", settings.scratch / "indexes" / "texts"
    taught = [sys.executable, "scripts/train_toy.py", "dataset/photos", weights, "--labels", "dataset/hours.csv"]
    run_command(["env", "-C", CHECKOUT, *taught])
    run_command([*cbir_command(), "index", DRAWN, "--index", directory, "--model", "toy", "--weights", weights])
    yield from _hits(directory)
    yield from _tokens()
    picture = pictures.small(settings.work, settings.shared, 1)[0]
    yield from _first_sentence(("text-warm", "text-cold"), directory, picture, settings)
    if find_spec("open_clip") is not None and not settings.quick:
        of_clip = settings.scratch / "indexes" / "clip"
        folder = pictures.folder_of(pictures.small(settings.work, settings.shared, 9)[1:], settings.scratch / "few")
        run_command([*cbir_command(), "index", folder, "--index", of_clip, "--model", CLIP, "--weights", "untrained"])
        yield from _first_sentence(("text-clip-warm", "text-clip-cold"), of_clip, picture, settings)


def _first_sentence(keys: tuple[str, str], directory: Path, picture: Path, settings: Settings) -> Iterator[Result]:
    """Search by a sentence with its encoder prepared, and by a new picture, in turn; and with nothing prepared."""
    search: list[str | Path] = [*cbir_command(), "search", "--index", directory]
    by_text, by_picture = [*search, "--text", SENTENCE], [*search, picture]
    run_command(by_text)
    run_command(by_picture)
    pair = take_turns(
        partial(timed, run_command, by_text), partial(timed, run_command, by_picture), settings.pick(7, 3)
    )
    seconds = f"{median(pair.first):.3f} s against {median(pair.second):.3f} s"
    yield measured(keys[0], pair.ratio, seconds, seconds=pair.to_json())
    cache = settings.scratch / f"cache-{keys[1]}"
    cold = []
    for _ in range(settings.pick(3, 1)):
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(settings.work / "cache" / "cbir" / "weights", cache / "cbir" / "weights")  # of the user's word
        cold.append(timed(run_command, by_text, XDG_CACHE_HOME=str(cache)))
    yield measured(keys[1], median(cold), "the encoder built in torch, converted and kept", seconds=cold)


def _tokens() -> Iterator[Result]:
    if find_spec("open_clip") is None:
        yield noted(10, "tokens of 1,000 sentences: left out, since open_clip is not installed", 0, "")
        return
    share, seconds = alone(_same_tokens, _sentences(1000))
    yield measured("text-tokens", share, f"{1000 * seconds:.0f} µs a sentence, without open_clip")


def _sentences(count: int) -> list[str]:
    """Draw sentences of nouns, one in three with odd signs among them."""
    draw, nouns = random.Random(5), wordnet()
    texts = []
    for number in range(count):
        words = [nouns.lemmas(draw.randrange(len(nouns)))[0] for _ in range(draw.randint(1, 12))]
        if number % 3 == 0:
            words += draw.choices(_ODD, k=draw.randint(1, 8))
            draw.shuffle(words)
        texts.append(draw.choice(["", " "]).join(words) if number % 7 == 0 else " ".join(words))
    return texts


def _same_tokens(texts: Sequence[str]) -> tuple[float, float]:
    """The share of texts that have open_clip's tokens, and the milliseconds that one takes."""
    import open_clip

    from cbir.backbones.clip_tokens import clip_tokens

    clip_tokens("ViT-B-32", texts[:1])  # which reads the vocabulary
    seconds = timed(clip_tokens, "ViT-B-32", texts)
    expected = open_clip.get_tokenizer("ViT-B-32")(texts).numpy()
    return float((clip_tokens("ViT-B-32", texts) == expected).all(axis=1).mean()), 1000 * seconds / len(texts)


def _hits(directory: Path) -> Iterator[Result]:
    """Which share of the first matches is of the folder that was asked for, among pictures that it was not taught."""
    photos = cbir.open(str(directory))
    unseen = [path for path in map(str, photos.paths) if int(Path(path).stem[-2:]) % 2 == 0]
    folders = sorted({Path(path).parent.name for path in unseen})
    names = {folder: folder.replace("_", " ") for folder in folders}

    def share(make: Callable[[], cbir.TextQuery], folder: str) -> float:
        matches = [one for one in photos.search(make(), count=len(photos.paths)) if str(one.path) in set(unseen)]
        return float(np.mean([Path(one.path).parent.name == folder for one in matches[:FIRST]]))

    plain = {
        folder: share(partial(cbir.TextQuery.from_text, f"a picture with {names[folder]} in it"), folder)
        for folder in folders
    }
    yield measured("text-hits", float(np.mean(list(plain.values()))), f"{len(plain)} sentences", shares=plain)
    moved = {}
    for one, other in zip(folders, [*folders[1:], folders[0]], strict=True):
        picture = next(path for path in unseen if Path(path).parent.name == one)
        query = partial(
            cbir.TextQuery.from_text,
            f"2:{names[other]}",
            without=[names[one]],
            picture=cbir.Query.from_path(picture),
        )
        moved[f"{one} to {other}"] = share(query, other)
    details = f"{len(moved)} queries: a picture of one folder, twice another's name, and not its own"
    yield measured("text-arithmetic", float(np.mean(list(moved.values()))), details, shares=moved)
