"""Search by words: what it finds among pictures of known classes, alone and with pictures, and what it says."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cbir
from cbir.backbones.backbone import describe
from cbir.backbones.imagenet import classes as imagenet
from cbir.cli import cli
from cbir.errors import CbirError, IndexDamagedError, WordError
from cbir.index.columns.classes import COUNT, pack
from cbir.index.files import FileRecord
from cbir.index.format import Meta
from cbir.index.home import index_directory
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.writer import Writer
from cbir.indexing.report import Report
from cbir.indexing.run import build_index
from cbir.indexing.target import choose_target
from cbir.search import scanner
from cbir.search.keeping import KEPT
from cbir.search.queries import CombinedQuery, Query, WordQuery
from cbir.search.searcher import Searcher
from cbir.words.score import with_likeness
from tests.faults.test_processes import imported

CHECKOUT = Path(__file__).resolve().parents[2]
Folder = Callable[..., Path]

NUMBER = {one.wordnet_id: one.number for one in imagenet()}
BEAGLE, PUG, TABBY, SEASHORE = "n02088364", "n02110958", "n02123045", "n09428293"
BANJO, CRANE_MACHINE, CRANE_BIRD = "n02787622", "n03126707", "n02012849"

#: What the first pictures show; those up to UNSEEN are like the dogs, and the network has missed that.
SHOWN: list[dict[str, float]] = [
    {BEAGLE: 0.875},
    {BEAGLE: 0.5, SEASHORE: 0.375},
    {SEASHORE: 0.75},
    {TABBY: 0.75},
    {PUG: 0.375, TABBY: 0.5},
    {BANJO: 0.875},
    {CRANE_MACHINE: 0.75},
    {CRANE_BIRD: 0.625},
    {BEAGLE: 0.25},
    {BEAGLE: 0.125},
]
UNSEEN = 16
PICTURES = 40
DOGS = [0, 1, 4, 8, 9]


def classes_of(shown: dict[str, float]) -> np.ndarray:
    """Most probable classes: those, and others of no probability at all."""
    others = [number for number in range(700, 700 + COUNT) if number not in {NUMBER[name] for name in shown}]
    numbers = [NUMBER[name] for name in shown] + others
    return pack(np.array(numbers[:COUNT]), np.array([*shown.values(), *[0.004] * COUNT][:COUNT]))


def write(root: Path, classified: Callable[[int], bool] = lambda number: True, weights: str | None = None) -> Path:
    """An index `photos` of the files below `root`, with features of two clusters and the classes of SHOWN."""
    backbone = describe("efficientnet_lite0", weights)
    directory = index_directory("photos")
    directory.mkdir(parents=True)
    date = "2026-01-01T00:00:00Z"
    writer = Writer(directory, Meta(backbone.to_json(), backbone.dimension, str(root), date, date))
    random = np.random.default_rng(7)
    centres = random.gamma(0.5, size=(2, backbone.dimension))
    for number, path in enumerate(sorted(root.iterdir())):
        is_like_dogs = number in DOGS or len(SHOWN) <= number < UNSEEN
        feature = centres[0 if is_like_dogs else 1] + random.normal(0, 0.5, backbone.dimension)
        status = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record = FileRecord(path.name, status.st_size, status.st_mtime_ns, digest)
        shown = SHOWN[number] if number < len(SHOWN) else {}
        assert writer.add(record, np.maximum(feature, 0), {"classes": classes_of(shown)} if classified(number) else {})
    writer.commit()
    writer.tidy()
    return root


@pytest.fixture
def photos(photo_folder: Folder) -> Path:
    return write(photo_folder(PICTURES, size=(32, 24)))


def name_of(number: int) -> str:
    return f"img_{number:03d}.jpg"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["search", *map(str, arguments)])


def found(*arguments: str | Path) -> list[int]:
    """The numbers of the matches, in order."""
    result = run(*arguments, "--format", "paths")
    assert result.exit_code == 0, result.output
    return [int(Path(line).stem[4:]) for line in result.stdout.splitlines()]


def matches(*arguments: str | Path) -> list[dict]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["matches"]  # type: ignore[no-any-return]


def test_a_word_finds_what_shows_it_by_its_probability(photos: Path) -> None:
    its = matches("--word", "dogs", "--no-rerank", "-k", "5")
    assert [Path(match["path"]).name for match in its] == [name_of(number) for number in (0, 1, 4, 8, 9)]
    assert [match["probability"] for match in its] == [0.875, 0.5, 0.375, 0.25, 0.125]
    assert [match["score"] for match in its] == [match["probability"] for match in its]
    assert {match["percentile"] for match in its} == {None}


def test_one_word_is_re_ranked_unless_it_should_not_be(photos: Path) -> None:
    """What looks like the dogs comes before what does not, though the network sees no dog in it."""
    unseen = set(range(len(SHOWN), UNSEEN))
    assert unseen <= set(found("--word", "dog", "-k", "12"))
    assert not unseen & set(found("--word", "dog", "-k", "12", "--no-rerank"))
    both = ["--word", "dog", "--word", "beagle", "-k", "12"]
    assert found(*both) == found(*both, "--no-rerank")


def test_a_least_probability_is_kept_however_deep_the_matches_lie(photos: Path) -> None:
    for more in ([], ["--no-rerank"]):
        assert set(found("--word", "dog", "--min-probability", "0.375", *more)) == {0, 1, 4}
        # re-ranked, those that only look like dogs come before the last of these
        assert set(found("--word", "dog", "--min-probability", "0.125", "-k", "5", *more)) == set(DOGS)
    assert found("--word", "dog", "--min-probability", "0.9") == []
    assert len(found("--word", "dog", "--min-probability", "0.125", "-k", "2")) == 2
    by_itself = [photos / name_of(4), "--self", "--word", "dog", "-k", "1"]
    assert found(*by_itself) == [4]
    assert found(*by_itself, "--min-probability", "0.4") == [0]


def test_all_words_are_wanted_and_none_of_the_others(photos: Path) -> None:
    (first, *_) = matches("--word", "dog", "--word", "seashore")
    assert Path(first["path"]).name == name_of(1)
    assert first["probability"] == 0.5 * 0.375
    its = {Path(match["path"]).name: match for match in matches("--word", "dog", "--not-word", "cat", "-k", "20")}
    assert list(its)[:4] == [name_of(number) for number in (0, 1, 8, 9)]
    assert its[name_of(4)]["probability"] == 0.375 * (1 - 0.5)
    assert 4 in found("--word", "dog", "-k", "5", "--no-rerank")


def test_what_does_not_show_a_word(photos: Path) -> None:
    everything = found("--not-word", "dog", "-k", "100")
    assert len(everything) == PICTURES
    assert everything[-5:] == [9, 8, 4, 1, 0]
    assert 0 not in found("--not-word", "dog", "--min-probability", "0.2", "-k", "100")


def test_a_picture_and_a_word(photos: Path) -> None:
    """Ordered as docs/word-scores.md says; the score is the cosine with the picture, whose own file is left out."""
    index = open_index("photos")
    searcher = Searcher(index)
    query = Query.from_path(photos / name_of(10))
    (result,) = searcher.search([WordQuery.from_text("dog", picture=query)], count=50)
    (plain,) = searcher.search([query], count=50, reranked=False)
    cosines = {match.path: (match.score, match.percentile) for match in plain.matches}
    assert query.source not in [match.path for match in result.matches]
    for match in result.matches:
        assert match.score == pytest.approx(cosines[match.path][0], abs=1e-5)
        assert match.percentile == pytest.approx(cosines[match.path][1], abs=0.1)
    (row,) = index.find(hashlib.sha256((photos / name_of(10)).read_bytes()).hexdigest())
    features = index.features(np.arange(PICTURES))
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    probability = np.array([0.0] * PICTURES, dtype=np.float32)
    probability[DOGS] = [0.875, 0.5, 0.375, 0.25, 0.125]
    evidence = with_likeness(probability, centred @ centred[row])
    expected = [number for number in np.argsort(-evidence).tolist() if evidence[number] > 0 and number != row]
    numbers = [int(match.path.stem[4:]) for match in result.matches]
    assert numbers == expected
    assert sorted(numbers) == DOGS


def test_a_picture_and_words_with_the_other_options(photos: Path) -> None:
    query = photos / name_of(0)
    own = [query, "--word", "dog", "-k", "40"]
    assert 0 not in found(*own)
    assert found(*own, "--self")[0] == 0
    its = matches(*own)
    least = sorted(match["score"] for match in its)[len(its) // 2]
    assert all(match["score"] >= least for match in matches(*own, "--min-score", f"{least:.6f}"))
    assert 0 < len(matches(*own, "--min-score", f"{least:.6f}")) < len(its)
    assert set(found(*own, "--min-probability", "0.3")) == {1, 4}
    assert found(*own, "--unlike", photos / name_of(1)) != found(*own)
    assert 1 not in found(*own, "--unlike", photos / name_of(1))
    record = json.loads(
        run("--together", query, photos / name_of(1), "--word", "dog", "--not-word", "cat", "--format", "json").stdout
    )
    assert record["query"] == [str(query), str(photos / name_of(1))]
    assert [word["word"] for word in record["words"]] == ["dog"]
    assert [word["word"] for word in record["not_words"]] == ["cat"]


def test_a_least_cosine_needs_few_features_at_a_time(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = WordQuery.from_text("animal", picture=Query.from_path(photos / name_of(0)))
    monkeypatch.setattr(scanner, "CACHE_BYTES", 0)
    monkeypatch.setattr(KEPT, "most", 0)
    index = open_index("photos")
    monkeypatch.setattr(scanner, "SCAN_BYTES", 2 * 4 * index.dimension)
    searcher = Searcher(index)
    (plain,) = searcher.search([query], count=2, include_self=True)
    read: list[int] = []
    features = Index.features

    def counted(self: Index, rows: np.ndarray) -> np.ndarray:
        read.append(len(rows))
        return features(self, rows)

    monkeypatch.setattr(Index, "features", counted)
    (limited,) = searcher.search([query], count=2, include_self=True, min_score=-1)
    assert [match.row for match in limited.matches] == [match.row for match in plain.matches]
    assert limited.total == plain.total > 2 == max(read)


def test_words_hold_for_each_of_several_pictures(photos: Path, tmp_path: Path) -> None:
    names = [str(photos / name_of(number)) for number in (0, 2)]
    (tmp_path / "list").write_text("\n".join(names))
    result = run("--files-from", tmp_path / "list", "--word", "seashore", "--format", "jsonl")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["query"] for record in records] == names
    assert all(record["words"][0]["word"] == "seashore" for record in records)
    assert records[0]["matches"] != records[1]["matches"]
    assert matches(names[0], "--word", "seashore") == records[0]["matches"]


def test_every_format(photos: Path) -> None:
    record = json.loads(run("--word", "crane", "-k", "2", "--format", "json", "--no-rerank").stdout)
    assert record["query"] == "crane"
    assert record["words"] == [{"word": "crane", "exact": True, "synsets": [CRANE_MACHINE, CRANE_BIRD]}]
    assert record["not_words"] == []
    assert record["model"] == "efficientnet_lite0"
    assert "5 senses" in record["remarks"][0]
    assert [match["probability"] for match in record["matches"]] == [0.75, 0.625]
    for format_, delimiter in (("csv", ","), ("tsv", "\t")):
        text = run("--word", "dog", "--not-word", "cat", "-k", "1", "--format", format_).stdout
        (row,) = csv.DictReader(io.StringIO(text), delimiter=delimiter)
        assert row["query"] == "dog, not cat"
        assert (row["score"], row["percentile"], row["probability"]) == ("0.875000", "", "0.875000")
        assert row["path"] == str(photos / name_of(0))
    table = run("--word", "dog", "--no-rerank", "-k", "1", "--format", "table").stdout.splitlines()
    assert table[0].split() == ["rank", "probability", "tag", "path"]
    assert table[1].split()[:2] == ["1", "0.875"]
    table = run(photos / name_of(5), "--word", "dog", "-k", "1", "--format", "table").stdout.splitlines()
    assert table[0].split() == ["rank", "score", "percentile", "probability", "path"]  # it has no tag
    assert run("--word", "dog", "-0", "-k", "1", "--no-rerank").stdout == f"{photos / name_of(0)}\0"


def test_an_inexact_word_says_so_and_shows_a_likeness(photos: Path) -> None:
    result = run("--word", "mandolin", "--no-rerank", "-k", "1", "--format", "table")
    assert "No class for mandolin; by its relatives: " in result.stderr
    assert "banjo" in result.stderr
    assert result.stdout.split()[:3] == ["rank", "likeness", "tag"]
    assert name_of(5) in result.stdout
    assert run("--word", "mandolin", "-q").stderr == ""
    assert run("--word", "dog").stderr == ""


def test_senses_are_chosen(photos: Path) -> None:
    common = ["--no-rerank", "-k", "1"]
    assert found("--word", "crane", "--sense", "5", *common) == [7]
    assert found("--word", "crane", "--sense", "Crane=4", *common) == [6]
    # the sense of an unwanted word, too
    several = ["--word", "dog", "--not-word", "crane"]
    record = json.loads(run(*several, "--sense", "crane=5", "--format", "json").stdout)
    assert record["not_words"][0]["synsets"] == [CRANE_BIRD]
    assert record["remarks"] == []
    ambiguous = run(*several, "--sense", "5")
    assert ambiguous.exit_code == 2
    assert "--sense dog=5 says which one is meant" in ambiguous.output
    too_many = run("--word", "crane", "--sense", "6")
    assert too_many.exit_code == 1
    assert "'crane' has 5 senses, and no sense 6" in too_many.output


def test_senses_are_listed_without_an_index() -> None:
    result = run("--word", "crane", "--word", "dog", "--sense", "list", "--format", "json")
    assert result.exit_code == 0, result.output
    records = json.loads(result.stdout)
    crane = [record for record in records if record["word"] == "crane"]
    assert [record["sense"] for record in crane] == [1, 2, 3, 4, 5]
    assert [record["taken"] for record in crane] == [False, False, False, True, True]
    assert crane[4]["synset"] == CRANE_BIRD
    assert records[5]["classes"] == 118
    table = run("--word", "crane", "--sense", "list").stdout.splitlines()
    assert table[0].split() == ["word", "sense", "taken", "classes", "meaning"]
    assert "wading bird" in table[5]
    rows = list(csv.DictReader(io.StringIO(run("--word", "crane", "--sense", "list", "--format", "csv").stdout)))
    assert [row["taken"] for row in rows] == ["false", "false", "false", "true", "true"]
    lines = run("--word", "crane", "--sense", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == crane


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--word", "dog", "--min-score", "0.5"], "--min-probability is for words"),
        (["--word", "dog", "--together"], "--together is for a query's pictures"),
        (["--word", "dog", "--self"], "--self is for a query's pictures"),
        (["--word", "dog", "--unlike", "a.jpg"], "--unlike is for a query's pictures"),
        (["--word", "dog", "--class-weights", "pug"], "--class-weights is for a query's pictures"),
        (["a.jpg", "--min-probability", "0.5"], "--min-probability is for words"),
        (["--word", "dog", "--min-probability", "2"], "--min-probability"),
        (["a.jpg", "--sense", "2"], "--sense is which meaning of a word"),
        (["--word", "dog", "--sense", "two"], "is neither a number such as 2"),
        (["--word", "dog", "--sense", "=2"], "is neither a number such as 2"),
        (["--word", "dog", "--sense", "cat=2"], "which is none of the words"),
        (["--word", "dog", "--sense", "list", "--format", "paths"], "Senses have no paths"),
        ([], "a word with --word"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(photos: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())


def test_an_empty_list_is_not_a_search_by_words_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("")
    assert run("--files-from", tmp_path / "list", "--word", "dog").exit_code == 2


def test_unknown_words_are_answered_by_the_nearest(photos: Path) -> None:
    for arguments in (["--word", "hipopotamus"], ["--word", "dog", "--not-word", "hipopotamus"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "There is no word 'hipopotamus' in WordNet. Did you mean hippopotamus?" in result.stderr


def test_a_word_in_a_pictures_place_is_told_the_option(photos: Path, tmp_path: Path) -> None:
    result = run("grand piano")
    assert result.exit_code == 1
    assert '`cbir search --word "grand piano"`' in result.stderr
    assert "--word" not in run(tmp_path / "no.jpg").stderr


def test_pictures_without_classes_are_counted_and_not_found(photo_folder: Folder) -> None:
    write(photo_folder(PICTURES, size=(32, 24)), lambda number: number not in (0, 3, 20))
    result = run("--not-word", "seashore", "-k", "100", "--format", "paths")
    names = {Path(line).name for line in result.stdout.splitlines()}
    assert len(names) == PICTURES - 3
    assert not names & {name_of(number) for number in (0, 3, 20)}
    assert result.stderr.count("\n") == 1
    assert "do not find 3 of the index's 40 pictures" in result.stderr
    assert "`cbir index --index photos`" in result.stderr
    assert run("--not-word", "seashore", "-q").stderr == ""


def test_an_older_index_says_how_classes_come(photo_folder: Folder) -> None:
    write(photo_folder(5, size=(32, 24)), lambda number: False)
    with pytest.raises(CbirError, match="cannot be searched by words"):
        next(Searcher(open_index("photos")).search([WordQuery.from_text("dog")]))
    result = run("--word", "dog")
    assert result.exit_code == 1
    assert "photos cannot be searched by words" in result.stderr
    assert "`cbir index --index photos` looks for them" in result.stderr


def test_a_network_without_classes_says_so(photo_folder: Folder) -> None:
    write(photo_folder(5, size=(32, 24)), lambda number: False, "untrained")
    result = run("--word", "dog")
    assert result.exit_code == 1
    assert "are untrained: they know no classes. `cbir index FOLDER --model efficientnet_lite0" in result.stderr


def test_damaged_classes_are_an_error_of_searches_by_words_only(photos: Path) -> None:
    (file,) = index_directory("photos").glob("classes-*.npy")
    file.write_bytes(file.read_bytes()[:-1])
    assert run(photos / name_of(0)).exit_code == 0
    result = run("--word", "dog")
    assert result.exit_code == 1
    assert file.name in result.stderr
    with pytest.raises(IndexDamagedError):
        next(Searcher(open_index("photos")).search([WordQuery.from_text("dog")]))


def test_an_empty_index_has_no_matches(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    write(tmp_path / "none")
    assert found("--word", "dog") == []


def test_queries_of_all_kinds_come_back_in_order(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("x")
    one, bad = Query.from_path(photos / name_of(0)), Query.from_path(tmp_path / "bad.jpg")
    queries = [
        cbir.WordQuery.from_text("dog"),
        one,
        WordQuery.from_text("dog", picture=bad),
        WordQuery.from_text("cat"),
        WordQuery.from_text("cat", picture=CombinedQuery((one, Query.from_path(photos / name_of(3))))),
        WordQuery.from_text("dog"),
    ]
    results = list(Searcher(open_index("photos")).search(queries, count=3, reranked=False))
    assert [result.query for result in results] == queries
    assert [result.error is None for result in results] == [True, True, False, True, True, True]
    assert results[0].matches == results[5].matches
    assert results[3].matches[0].path.name == name_of(3)
    assert [match.probability is None for match in results[1].matches] == [True] * 3


def test_words_do_not_wait_for_pictures(photos: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.jpg"
    results = Searcher(open_index("photos")).search([WordQuery.from_text("dog"), later])
    assert next(results).matches
    shutil.copy(photos / name_of(0), later)
    assert next(results).error is None


def test_impossible_queries_are_refused(photos: Path) -> None:
    with pytest.raises(ValueError, match="needs a word"):
        WordQuery(())
    with pytest.raises(WordError):
        WordQuery.from_text("qwertz")
    with pytest.raises(ValueError, match="neither a cosine nor a percentile"):
        next(Searcher(open_index("photos")).search([WordQuery.from_text("dog")], min_score=0.5))


def test_names_of_queries() -> None:
    assert WordQuery.from_text("dog", "cat", without=["car", "bus"]).name == "dog + cat, not car, not bus"
    assert WordQuery.from_text(without=["car"]).name == "not car"
    assert WordQuery.from_text("dog", picture=Query(b"", "a.jpg")).name == "a.jpg"


def test_a_search_by_words_imports_only_what_it_needs(photos: Path) -> None:
    for arguments in (["--word", "dog"], ["--word", "mandolin"], [photos / name_of(0), "--word", "dog"]):
        assert imported("search", *arguments) & {"torch", "torchvision", "openvino"} == set()


def test_the_documents_examples_run(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CHECKOUT / "docs" / "words.md").read_text()
    commands = re.findall(r"^    cbir (search .*?)(?:  +#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 8
    shutil.copy(photos / name_of(0), photos.parent / "photo.jpg")
    monkeypatch.chdir(photos.parent)
    for command in commands:
        result = CliRunner().invoke(cli, shlex.split(command))
        assert result.exit_code == 0, (command, result.output)
        assert result.stdout, command


@pytest.fixture
def real(shared: Callable[[str], Path], tmp_path: Path) -> Report:
    """An index `real` of ten photos of each of six names."""
    root = tmp_path / "real"
    for name in ("grand_piano", "sunflower", "flamingo", "pigeon", "laptop", "mandolin"):
        (root / name).mkdir(parents=True)
        for path in sorted(shared(f"photos/{name}").glob("*.jpg"))[:10]:
            shutil.copy(path, root / name)
    return build_index(choose_target(root))[0]


def test_photos_are_found_by_what_they_show(real: Report) -> None:
    assert real.added == 60

    def share(name: str, *arguments: str) -> float:
        """How many of the first ten matches are of that name."""
        result = run(*arguments, "--format", "paths")
        assert result.exit_code == 0, result.output
        return sum(Path(line).parent.name == name for line in result.stdout.splitlines()) / 10

    assert share("grand_piano", "--word", "piano") == 1
    assert share("flamingo", "--word", "bird") + share("pigeon", "--word", "bird") == 1
    assert share("sunflower", "--word", "sunflower") >= 0.8
    assert share("mandolin", "--word", "mandolin") >= 0.7
    assert share("pigeon", "--word", "bird", "--not-word", "flamingo") >= 0.9
    assert found_nothing("--word", "dog", "--min-probability", "0.5")


def found_nothing(*arguments: str) -> bool:
    return run(*arguments, "--format", "paths").stdout == ""
