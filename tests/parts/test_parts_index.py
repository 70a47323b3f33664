"""An index of parts: its files, what fills them in and takes them away, and searches by them."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cbir.backbones.backbone import Backbone
from cbir.cli import cli
from cbir.cli.render.search_report import SearchReports
from cbir.errors import IndexWriteError
from cbir.images.fit import Preprocessing
from cbir.images.fitted import Fitted
from cbir.images.large import Large, size_for_parts
from cbir.images.read import open_image, read_views
from cbir.index.ann.codes import SCALE
from cbir.index.ann.codes import signs as signs_of
from cbir.index.columns.parts import PARTS, SIGNS, unpack_signs
from cbir.index.format import load_meta
from cbir.index.open import open_index
from cbir.index.store import Index
from cbir.index.verify import find_problems
from cbir.index.writer import Writer
from cbir.parts import learning, maker
from cbir.parts.learning import whitening_of_index
from cbir.parts.maker import PartMaker
from cbir.parts.whitening import general
from cbir.search.by_parts import find_parts
from cbir.search.queries import CombinedQuery, Query
from cbir.search.searcher import Searcher

MODEL = ("--model", "efficientnet_lite0", "-q")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def mosaic(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    """Coloured tiles, which no drawn picture is like."""
    tiles = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, draw_picture: Callable) -> Path:
    """`photos`, one of which has a mosaic at (140, 30), its index `whole`, and `parts`, the same with parts."""
    top = tmp_path_factory.mktemp("parts")
    (top / "photos").mkdir()
    for seed in range(5):
        picture = draw_picture(seed, (240, 180))
        if seed == 3:
            picture.paste(mosaic(1), (140, 30))
        picture.save(top / "photos" / f"{seed}.png")
    query = draw_picture(20, (200, 150))
    query.paste(mosaic(1), (20, 40))
    query.save(top / "query.png")
    for name, option in (("whole", "--no-parts"), ("parts", "--parts")):
        result = run("index", top / "photos", "--index", top / name, option, *MODEL)
        assert result.exit_code == 0, result.output
    return top


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that a test may change."""
    shutil.copytree(made, tmp_path / "copy")
    for name in ("whole", "parts"):
        moved = run("index", "--index", tmp_path / "copy" / name, "--root", tmp_path / "copy" / "photos", "-q")
        assert moved.exit_code == 0, moved.output
    return tmp_path / "copy"


def stored(directory: Path) -> dict[str, tuple[bytes, bytes]]:
    """What an index has of the parts of each file."""
    index = Index.open(directory)
    assert find_problems(index, verify=True) == []
    return {
        record.path: (index.stored(PARTS, [row]).tobytes(), index.stored(SIGNS, [row]).tobytes())
        for row, record in index.records()
        if index.valid[row]
    }


def matches(*arguments: object) -> list[dict[str, object]]:
    result = run("search", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["matches"]
    return found


def test_a_part_is_found_within_a_picture_and_its_box_is_told(made: Path) -> None:
    query, region = made / "query.png", ("--region", "20,40,80,60")
    first, second = matches(query, *region, "--index", made / "parts")[:2]
    assert str(first["path"]).endswith("3.png")
    assert first["score"] > second["score"] + 0.1  # type: ignore[operator]
    x, y, width, height = first["box"]  # type: ignore[misc]
    assert 140 <= x + width / 2 <= 220
    assert 30 <= y + height / 2 <= 90
    assert first["percentile"] is None
    plain = matches(query, *region, "--index", made / "whole")
    assert matches(query, *region, "--index", made / "parts", "--no-parts") == plain
    assert "box" not in plain[0]
    least = matches(query, *region, "--index", made / "parts", "--min-score", f"{first['score'] - 0.001:.3f}")
    assert [match["path"] for match in least] == [first["path"]]


def test_whole_pictures_are_found_as_without_parts_unless_told_otherwise(made: Path) -> None:
    for query in (made / "query.png", made / "photos" / "3.png"):
        assert matches(query, "--index", made / "parts") == matches(query, "--index", made / "whole")
    by_parts = matches(made / "photos" / "3.png", "--index", made / "parts", "--parts")
    assert len(by_parts) == 4  # without itself
    assert all("box" in match for match in by_parts)


def test_the_best_window_of_all_is_found_and_drawn(made: Path, tmp_path: Path, bundled: Backbone) -> None:
    index = open_index(made / "parts")
    records = index.stored(PARTS, range(index.rows))
    there, its_signs = unpack_signs(index.stored(SIGNS, range(index.rows)))
    assert (there == (records["box"][..., 2] > 0)).all()
    numbers = records["numbers"]
    assert (its_signs == signs_of(numbers.reshape(-1, 896)).reshape(its_signs.shape))[there].all()
    query = numbers[2, 5, :880].astype(np.float32) / SCALE
    exact = np.where(there, numbers[..., :880].astype(np.float32) @ query / SCALE, -2).max(axis=1)
    found = find_parts(index, query, 3, [4])
    exact[4] = -2
    assert found.rows.tolist() == np.argsort(-exact)[:3].tolist()
    assert found.scores == pytest.approx(np.sort(exact)[:1:-1][:3], abs=1e-5)
    assert found.boxes[0] == tuple(records["box"][2, 5].tolist())
    searcher = Searcher(index)
    reports = SearchReports([searcher], tmp_path / "sheet.png", None)
    result = next(reports.watch(searcher.search([Query(made / "query.png", "query", parts=True)])))
    assert [card.boxes for card in reports._groups[0].cards] == [(match.box,) for match in result.matches]
    assert all(match.box for match in result.matches)
    with pytest.raises(ValueError, match="several together"):
        CombinedQuery((Query(made / "query.png", "query", parts=True),))


def test_an_index_gets_parts_keeps_them_and_loses_them(copy: Path, draw_picture: Callable) -> None:
    whole, photos = copy / "whole", copy / "photos"
    features = next(whole.glob("features-*")).read_bytes()
    dry = run("index", "--index", whole, "--parts", "--dry-run")
    assert "read again for their parts" in dry.stdout
    assert not list(whole.glob("parts-*"))
    told = run("index", "--index", whole, "--parts")
    assert "parts of 5 pictures" in told.stdout
    assert stored(whole) == stored(copy / "parts")
    assert next(whole.glob("features-*")).read_bytes() == features
    assert "0 s." in run("index", "--index", whole).stdout.replace("0.1 s", "0.0 s")
    # new pictures get theirs without being told to; copies have them already; blocks that are joined take them along
    shutil.copy(photos / "3.png", photos / "again.png")
    draw_picture(9, (240, 180)).save(photos / "new.png")
    before = stored(whole)
    assert run("index", "--index", whole, "-q").exit_code == 0
    after = stored(whole)
    assert {name: after[name] for name in before} == before
    assert after["again.png"] == before["3.png"]
    assert any(after["new.png"][0])
    assert json.loads(run("info", "--index", whole, "--json").stdout)["parts"] == {"pictures": 7}
    assert run("index", "--index", whole, "--no-parts", "-q").exit_code == 0
    assert not [*whole.glob("parts-*"), *whole.glob("signs-*")]
    refused = run("search", copy / "query.png", "--parts", "--index", whole)
    assert refused.exit_code == 1
    assert "has no parts" in refused.stderr


@pytest.mark.parametrize("kind", ["parts", "signs"])
def test_damaged_parts_are_told_and_read_again(copy: Path, kind: str) -> None:
    directory = copy / "parts"
    before = stored(directory)
    file = next(directory.glob(f"{kind}-*"))
    data = bytearray(file.read_bytes())
    data[-2000] ^= 0x55
    file.write_bytes(data)
    assert "checksum" in run("info", "--index", directory, "--verify").stdout
    assert run("index", "--index", directory, "--repair", "-q").exit_code == 0
    assert stored(directory) == before
    file = next(directory.glob(f"{kind}-*"))
    file.write_bytes(file.read_bytes()[:-100])
    assert matches(copy / "query.png", "--index", directory)
    broken = run("search", copy / "query.png", "--parts", "--index", directory)
    assert broken.exit_code == 1
    assert file.name in broken.stderr
    assert run("index", "--index", directory, "-q").exit_code == 0
    assert stored(directory) == before


def test_an_interrupted_run_is_taken_up_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, calls = maker.start_means, iter(range(100))

    def interrupted(*arguments: object) -> object:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return start(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(maker, "start_means", interrupted)
        assert run("index", "--index", copy / "whole", "--parts", "-q").exit_code == 130
    warned = run("search", copy / "query.png", "--parts", "--index", copy / "whole")
    assert "whose parts it does not have yet" in warned.stderr
    assert run("index", "--index", copy / "whole", "-q").exit_code == 0
    assert stored(copy / "whole") == stored(copy / "parts")


@pytest.fixture
def learnt(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index `whole` of a copy, with parts by a whitening that was learnt on its five pictures."""
    monkeypatch.setattr(learning, "ENOUGH", 5)
    told = run("index", "--index", copy / "whole", "--parts")
    assert told.exit_code == 0, told.output
    assert "Learning from 5 pictures" in told.stderr
    return copy / "whole"


def test_a_collection_has_its_own_whitening_which_later_runs_go_on_with(
    copy: Path, learnt: Path, draw_picture: Callable, bundled: Backbone
) -> None:
    meta = json.loads((learnt / "meta.json").read_text())
    (file,) = learnt.glob("whitening-*.npz")
    assert meta["parts"]["file"]["name"] == file.name
    assert meta["parts"]["whitening"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert meta["parts"]["pictures"] == 5
    own, known = whitening_of_index(Index.open(learnt), bundled), general(bundled)
    assert known is not None
    assert own.coarse_mean != pytest.approx(known.coarse_mean, abs=1e-6)
    first, second = matches(copy / "query.png", "--region", "20,40,80,60", "--index", learnt)[:2]
    assert str(first["path"]).endswith("3.png")
    assert first["score"] > second["score"] + 0.1  # type: ignore[operator]
    before = stored(learnt)
    assert before != stored(copy / "parts")
    draw_picture(9, (240, 180)).save(copy / "photos" / "new.png")
    told = run("index", "--index", learnt)
    assert "Learning" not in told.stderr
    after = stored(learnt)
    assert {name: after[name] for name in before} == before
    assert (own.arrays()["coarse_mean"] == whitening_of_index(Index.open(learnt), bundled).coarse_mean).all()
    assert [path.name for path in learnt.glob("whitening-*")] == [file.name]
    assert run("index", "--index", learnt, "--no-parts", "-q").exit_code == 0
    assert not [path for kind in ("whitening", "parts", "signs") for path in learnt.glob(f"{kind}-*")]


def test_a_damaged_whitening_is_told_and_learnt_again(copy: Path, learnt: Path) -> None:
    before = stored(learnt)
    (file,) = learnt.glob("whitening-*.npz")
    content = bytearray(file.read_bytes())
    content[5000] ^= 0x55
    file.write_bytes(content)
    assert file.name in run("info", "--index", learnt, "--verify").stdout
    refused = run("search", copy / "query.png", "--parts", "--index", learnt)
    assert refused.exit_code == 1
    assert file.name in refused.stderr
    assert "--repair" in refused.stderr
    assert matches(copy / "query.png", "--index", learnt)
    file.unlink()
    assert file.name in run("info", "--index", learnt).stdout
    again = run("index", "--index", learnt)
    assert again.exit_code == 0
    assert "Learning from 5 pictures" in again.stderr
    assert stored(learnt) == before


def test_what_was_learnt_is_not_lost_by_a_commit_that_fails_and_a_run_before_any_leaves_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "ENOUGH", 5)
    directory = copy / "whole"
    with monkeypatch.context() as patch:

        def stopped(*arguments: object) -> object:
            raise KeyboardInterrupt

        patch.setattr(PartMaker, "run", stopped)
        assert run("index", "--index", directory, "--parts", "-q").exit_code == 130
    assert find_problems(Index.open(directory), verify=True) == []
    assert run("index", "--index", directory, "--parts", "-q").exit_code == 0
    assert len(list(directory.glob("whitening-*"))) == 1
    assert all(any(parts) for parts, _ in stored(directory).values())
    meta = load_meta(directory)
    writer = Writer(directory, meta)
    entry = writer.keep_whitening(b"another", 5)
    assert entry.file is not None
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_replace", no_space)
        with pytest.raises(IndexWriteError):
            writer.commit(parts=entry)
    assert (directory / entry.file.name).read_bytes() == b"another"


def no_space(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_other_networks_learn_from_whatever_there_is_and_say_when_more_would_be_better(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, arguments = tmp_path / "new", ("--model", "squeezenet1_1", "--weights", "untrained", "--parts")
    shutil.copytree(made / "photos", tmp_path / "photos")
    assert run("index", tmp_path / "photos", "--index", directory, *arguments).exit_code == 0
    first = matches(made / "query.png", "--region", "20,40,80,60", "--index", directory)[0]
    assert str(first["path"]).endswith("3.png")
    assert "learns from those that it has now" not in run("index", "--index", directory).stderr
    monkeypatch.setattr(learning, "_GROWN", 1.2)
    shutil.copy(made / "query.png", tmp_path / "photos")
    assert "learns from those that it has now" in run("index", "--index", directory).stderr


def test_networks_without_parts_are_told_and_leave_nothing(made: Path, tmp_path: Path) -> None:
    arguments = ("--model", "vit_b_32", "--weights", "untrained", "--parts")
    refused = run("index", made / "photos", "--index", tmp_path / "new", *arguments)
    assert refused.exit_code == 1
    assert "no maps of what is where" in refused.stderr
    assert not (tmp_path / "new").exists()
    assert run("search", "--word", "dog", "--parts", "--index", made / "parts").exit_code == 2
    percent = run("search", made / "query.png", "--parts", "--min-score", "50%", "--index", made / "parts")
    assert percent.exit_code == 1
    assert "no percentiles" in percent.stderr


def test_large_photos_are_decoded_large_enough_and_features_stay_the_same(tmp_path: Path, bundled: Backbone) -> None:
    # of 1800 pixels, 450 are enough for the features of a network that has smaller pictures, and not enough for parts
    tiles = np.random.default_rng(0).integers(0, 256, (450, 450, 3), dtype=np.uint8)
    Image.fromarray(tiles).resize((1800, 1800), Image.Resampling.NEAREST).save(tmp_path / "large.jpg", quality=95)
    data = (tmp_path / "large.jpg").read_bytes()
    preprocessing: Preprocessing = replace(bundled.preprocessing, resize=160, crop=128)
    viewed = read_views(data, [Fitted(preprocessing), Large()], name="large")
    fitted, large = viewed.arrays["fitted"]["pixels"], viewed.arrays["large"]["pixels"]
    assert (fitted == read_views(data, [Fitted(preprocessing)], name="large").arrays["fitted"]["pixels"]).all()
    assert (viewed.size, large.shape) == ((1800, 1800), (480, 480, 3))
    exact = np.asarray(open_image(tmp_path / "large.jpg").resize((480, 480), Image.Resampling.BILINEAR), dtype=float)
    assert np.abs(large - exact).mean() < 5


def test_pictures_of_all_shapes_have_about_as_many_pixels_for_their_parts() -> None:
    assert size_for_parts((4800, 3200)) == (608, 416)
    assert size_for_parts((300, 300)) == (480, 480)
    assert size_for_parts((10, 5000)) == (32, 608)
