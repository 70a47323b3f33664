"""Point 10: how well words find pictures, and pictures' tags name them, on photos whose folders are their names.

A picture is right for a word that ImageNet has classes of where its folder's word is that or stands below it, for
another word where its folder has that name. `NAMES` says which word a folder's name stands for where that is another;
nothing of it was chosen for a better figure. Even and odd are the means of every other word.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import reranking
from benchmarks.harness import Settings, Worker, one_blas_thread, run_command
from benchmarks.results import Result, measured, noted
from cbir.backbones.backbone import describe
from cbir.backbones.catalog import BUNDLED
from cbir.backbones.head import open_classifier
from cbir.extract.extractor import Extractor
from cbir.index.store import Index
from cbir.search.ranker import Ranker
from cbir.tags.rules import tags
from cbir.utils.vectors import Floats, l2_normalize
from cbir.words.score import Scores, score_words, with_likeness
from cbir.words.spelling import nearest_spellings
from cbir.words.vocabulary import Word, look_up
from cbir.words.wordnet import wordnet

Rows = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: What a folder's name is a word for, where the name itself is none.
NAMES = {
    "Faces": "face",
    "car_side": "car",
    "cougar_body": "cougar",
    "cougar_face": "cougar",
    "crocodile_head": "crocodile",
    "flamingo_head": "flamingo",
    "wild_cat": "wildcat",
}

#: Compounds that WordNet lacks are taken for their last part. ImageNet has no class of them, only of that.
WITHOUT_CLASS = ("ceiling_fan", "stop_sign")

GENERAL = ("bird", "animal", "musical instrument", "furniture", "vehicle", "insect")

#: Of names without classes that are several things, the one that is meant, to tell what is below a general word.
SENSES = {"bass": 8, "emu": 2, "sea_horse": 2}

KEPT = 20
PAIRED = ("accordion", "camera", "chair", "crocodile_head", "cup", "elephant", "flamingo", "grand_piano")
PAIRED += ("hedgehog", "kangaroo", "laptop", "schooner", "starfish", "car_side", "saxophone", "lamp")

OPEN = """
import time, numpy
started = time.perf_counter()
from cbir.words.vocabulary import look_up
look_up("crane").weights
print(1000 * (time.perf_counter() - started))
"""


class Pictures:
    """Features, shape (n, dimension), of length 1, the KEPT most probable classes, shape (n, KEPT), and folders."""

    def __init__(self, files: Sequence[tuple[str, Path | bytes]]) -> None:
        backbone = describe(BUNDLED)
        extractor = Extractor(backbone, expected=len(files))
        found: dict[str, Floats] = {}
        results = list(extractor.run((folder, source) for folder, source in files))
        found = {result.sha256: result.feature for result in results if result.feature is not None}
        features = np.stack([found[result.sha256] for result in results])
        top = open_classifier(backbone).top(features, KEPT)
        self.classes = top.numbers
        self.probabilities = top.probabilities.astype(np.float16)
        self.features = l2_normalize(features)
        self.folders = np.array([result.key for result in results])

    def score(self, words: Sequence[Word], without: Sequence[Word] = ()) -> Scores:
        """The scores of all pictures."""
        return score_words(words, without, self.classes, self.probabilities)


def run(settings: Settings) -> Iterator[Result]:
    """Quality on the photos, rules for several words on pairs of them, and time."""
    root = settings.shared / "photos"
    files: list[tuple[str, Path | bytes]] = [(path.parent.name, path) for path in sorted(root.glob("*/*.jpg"))]
    if not files:
        raise RuntimeError(f"there are no photos in {root}")
    photos = Pictures(files[:: settings.pick(1, 4)])
    index = reranking.make_index(settings.scratch / "words", photos.features)
    ranker = Ranker(index)
    yield from _quality(photos, ranker)
    yield _dogs(photos)
    yield _right_tags(photos)
    if not settings.quick:
        yield from _rules(settings, root, photos)
    yield from _time(photos, index)


def average_precision(order: Rows, right: Bools) -> float:
    """The mean of the precisions at each right picture of a whole ranking."""
    ranks = np.flatnonzero(right[order]) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def _word(folder: str) -> str:
    return NAMES.get(folder, folder)


def _right(photos: Pictures, word: str) -> Bools:
    """Which pictures show a word."""
    taken = look_up(word)
    wanted = {sense.place for sense in taken.used} if taken.exact and word not in WITHOUT_CLASS else set()

    def is_below(folder: str) -> bool:
        if _word(folder) == word:
            return True
        found = look_up(_word(folder))
        if folder in SENSES:
            found = found.choose(SENSES[folder])
        return any(wanted & set(wordnet().above(sense.place)) for sense in found.used)

    folders = {folder: is_below(folder) for folder in np.unique(photos.folders).tolist()}
    return np.array([folders[folder] for folder in photos.folders.tolist()])


def _order(ranker: Ranker, scores: Scores, reranked: bool) -> Rows:
    """All pictures, best first; those without evidence last."""
    rows = ranker.by_evidence(scores.evidence, len(scores.evidence), reranked=reranked)
    return np.concatenate([rows, np.setdiff1d(np.arange(len(scores.evidence)), rows)])


def _quality(photos: Pictures, ranker: Ranker) -> Iterator[Result]:
    names = sorted({_word(folder) for folder in np.unique(photos.folders).tolist()})
    exact = [name for name in names if look_up(name).exact and name not in WITHOUT_CLASS]
    inexact = [name for name in names if name not in exact]
    for key, words in (("words-exact", exact), ("words-general", list(GENERAL)), ("words-inexact", inexact)):
        found: dict[bool, dict[str, float]] = {False: {}, True: {}}
        for word in words:
            scores = photos.score([look_up(word)])
            for reranked, one in found.items():
                one[word] = average_precision(_order(ranker, scores, reranked), _right(photos, word))
        values = list(found[True].values())
        plain = list(found[False].values())
        details = (
            f"{len(words)} words, even {np.mean(values[::2]):.3f}, odd {np.mean(values[1::2]):.3f}; not re-ranked "
            f"{np.mean(plain):.3f}: even {np.mean(plain[::2]):.3f}, odd {np.mean(plain[1::2]):.3f}. "
            + ", ".join(f"{word} {value:.2f}" for word, value in found[True].items())
        )
        yield measured(key, np.mean(values), details, reranked=found[True], plain=found[False])


def _dogs(photos: Pictures) -> Result:
    shown = photos.score([look_up("dog")]).shown
    return measured("words-dog", int((shown > 0.5).sum()), f"of {len(shown)}; the largest is {shown.max():.2f}")


def _right_tags(photos: Pictures) -> Result:
    """A tag is right if it is the name's word, or above or below it in the tree."""
    number = {wordnet().wordnet_id(one): one for one in range(len(wordnet()))}
    right: list[bool] = []
    found = list(tags(photos.classes, photos.probabilities))
    for folder, its in zip(photos.folders.tolist(), found, strict=True):
        word = look_up(_word(folder))
        if word.exact and folder not in WITHOUT_CLASS:
            wanted = {sense.place for sense in word.used}
            above = {one for place in wanted for one in wordnet().above(place)}
            first = [number[tag.synset] for tag in its[:3]]
            right.append(any(one in above or wanted & set(wordnet().above(one)) for one in first))
    details = f"{len(right)} pictures; {np.mean([len(one) for one in found]):.2f} tags a picture"
    return measured("words-tags", np.mean(right), details)


def _rules(settings: Settings, root: Path, photos: Pictures) -> Iterator[Result]:
    """Rules for several words, on pictures of two photos each, one above the other, among single photos."""
    pairs = list(combinations(PAIRED, 2))
    both = Pictures([(" ".join(pair), data) for pair in pairs for data in stacked(root, pair, 6)])
    single = np.isin(photos.folders, PAIRED)
    everything = both
    everything.features = np.concatenate([both.features, photos.features[single]])
    everything.classes = np.concatenate([both.classes, photos.classes[single]])
    everything.probabilities = np.concatenate([both.probabilities, photos.probabilities[single]])
    everything.folders = np.concatenate([both.folders, photos.folders[single]])
    shows = {name: np.array([name in one.split() for one in everything.folders.tolist()]) for name in PAIRED}
    words = {name: look_up(_word(name)) for name in PAIRED}
    each = {name: everything.score([words[name]]).shown for name in PAIRED}
    ranker = Ranker(reranking.make_index(settings.scratch / "pairs", everything.features))

    def mean(scores: Callable[[str, str], Floats], wanted: Callable[[str, str], Bools]) -> float:
        return float(
            np.mean([average_precision(np.argsort(-scores(*pair), kind="stable"), wanted(*pair)) for pair in pairs])
        )

    rules: dict[str, Callable[[str, str], Floats]] = {
        "product": lambda one, two: everything.score([words[one], words[two]]).evidence,
        "the smaller": lambda one, two: np.minimum(each[one], each[two]),
        "harmonic mean": lambda one, two: 2 * each[one] * each[two] / (each[one] + each[two] + 1e-6),
        "sum of log(p + 0.01)": lambda one, two: np.log((each[one] + 0.01) * (each[two] + 0.01)),
        "sum": lambda one, two: each[one] + each[two],
    }
    for name, rule in rules.items():
        yield noted(10, f"two words, mean AP: {name}", mean(rule, lambda one, two: shows[one] & shows[two]), "")
    again = [
        average_precision(_order(ranker, everything.score([words[one], words[two]]), True), shows[one] & shows[two])
        for one, two in pairs
    ]
    yield noted(10, "two words, mean AP: product, re-ranked", np.mean(again), "")
    rules = {
        "p / (1 + 300 q)": lambda one, two: everything.score([words[one]], [words[two]]).evidence,
        "p / (1 + 30 q)": lambda one, two: each[one] / (1 + 30 * each[two]),
        "p (1 - q)": lambda one, two: each[one] * (1 - each[two]),
        "p - q": lambda one, two: each[one] - each[two],
    }
    for name, rule in rules.items():
        among = [
            (shows[one] & shows[two])[np.argsort(-rule(one, two), kind="stable")[: (shows[one] & ~shows[two]).sum()]]
            for one, two in pairs
        ]
        what = f"{np.mean([one.sum() / 6 for one in among]):.2f} of the unwanted are among as many as there are wanted"
        yield noted(10, f"not a word, mean AP: {name}", mean(rule, lambda one, two: shows[one] & ~shows[two]), "", what)
    yield from _with_picture(everything, ranker, each, shows)


def _with_picture(
    pictures: Pictures, ranker: Ranker, each: dict[str, Floats], shows: dict[str, Bools]
) -> Iterator[Result]:
    """A photo of one thing and a word for another, where both are looked for."""
    random = np.random.default_rng(1)
    single = np.flatnonzero(np.isin(pictures.folders, PAIRED))
    rules: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
        "square of the centred cosine × root of p": lambda cosine, centred, p: with_likeness(p, centred),
        "centred cosine × p": lambda cosine, centred, p: np.maximum(centred, 0) * p,
        "cosine + 0.1 log(p + 0.001)": lambda cosine, centred, p: cosine + 0.1 * np.log(p + 0.001),
        "cosine × p": lambda cosine, centred, p: cosine * p,
        "p alone": lambda cosine, centred, p: p,
        "cosine alone": lambda cosine, centred, p: cosine,
    }
    found: dict[str, list[float]] = {name: [] for name in rules}
    for row in random.choice(single, 240, replace=False).tolist():
        name = str(pictures.folders[row])
        other = PAIRED[(PAIRED.index(name) + 1 + row % (len(PAIRED) - 1)) % len(PAIRED)]
        centred = ranker.scanner.likenesses(pictures.features[row])
        cosine = pictures.features @ pictures.features[row]
        for rule, values in found.items():
            order = np.argsort(-rules[rule](cosine, centred, each[other]), kind="stable")
            values.append(average_precision(order[order != row], shows[name] & shows[other]))
    for rule, values in found.items():
        yield noted(10, f"a photo and a word, mean AP: {rule}", np.mean(values), "")


def stacked(root: Path, names: Sequence[str], count: int) -> Iterator[bytes]:
    """Pictures of one photo of each name, one above the other, in any order, drawn at random."""
    from io import BytesIO

    random = np.random.default_rng([ord(letter) for letter in " ".join(names)])
    files = [sorted((root / name).glob("*.jpg")) for name in names]
    height = 320 // len(names)
    for _ in range(count):
        picture = Image.new("RGB", (320, 320))
        for place, which in enumerate(random.permutation(len(names)).tolist()):
            with Image.open(files[which][random.integers(len(files[which]))]) as photo:
                picture.paste(photo.convert("RGB").resize((320, height)), (0, height * place))
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=92)
        yield buffer.getvalue()


def _time(photos: Pictures, index: Index) -> Iterator[Result]:
    opened = [float(run_command([sys.executable, "-c", OPEN])) for _ in range(5)]
    yield measured("words-lookup", median(opened), "opening the file, looking crane up, its weights", ms=opened)
    yield measured("words-unknown", 1000 * _seconds(lambda: nearest_spellings("hipopotamus")))
    times = 1 + 100_000 // len(photos.classes)
    kept = np.empty((100_000, KEPT), dtype=[("class", "<u2"), ("probability", "<f2")])
    kept["class"] = np.tile(photos.classes, (times, 1))[:100_000]
    kept["probability"] = np.tile(photos.probabilities, (times, 1))[:100_000]
    dog, mandolin = look_up("dog"), look_up("mandolin")
    inexact = _seconds(lambda: score_words([mandolin], [], kept["class"], kept["probability"]))
    exact = _seconds(lambda: score_words([dog], [], kept["class"], kept["probability"]))
    yield measured("words-score", 1000 * exact, f"an inexact word: {1000 * inexact:.1f} ms")
    evidence = photos.score([look_up("bird")]).evidence
    # as the command does it
    with one_blas_thread(), Worker() as worker:
        reranking_time = worker.call(_rerank_seconds, index.directory, evidence)
    yield measured("words-rerank", 1000 * reranking_time)
    yield measured("words-tags-time", _seconds(lambda: sum(1 for _ in tags(kept["class"], kept["probability"]))))


def _rerank_seconds(directory: Path, evidence: Floats) -> float:
    ranker = Ranker(Index.open(directory))
    return _seconds(lambda: ranker.by_evidence(evidence, 10, reranked=True))


def _seconds(act: Callable[[], object]) -> float:
    """The median of five, after one that does not count."""
    taken = []
    for _ in range(6):
        started = time.perf_counter()
        act()
        taken.append(time.perf_counter() - started)
    return median(taken[1:])
