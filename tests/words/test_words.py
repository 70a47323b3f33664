"""Words: WordNet's nouns in their file, as users type them, and the classes that stand for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.imagenet import classes
from cbir.errors import WordError
from cbir.words.nearness import class_weights, classes_below, similarities
from cbir.words.spelling import _edits, nearest_spellings
from cbir.words.vocabulary import look_up
from cbir.words.wordnet import FILE, WordNet, plain, wordnet

CHECKOUT = Path(__file__).resolve().parents[2]

#: Where Debian's package wordnet-base puts the database, unless it was unpacked elsewhere.
DATABASE = Path(os.environ.get("CBIR_WORDNET") or "/usr/share/wordnet")


def place(wordnet_id: str) -> int:
    """The number of a synset, by WordNet's own id."""
    offsets = wordnet()._offsets
    found = int(np.searchsorted(offsets, int(wordnet_id[1:])))
    assert wordnet().wordnet_id(found) == wordnet_id
    return found


def names(weights: np.ndarray, count: int) -> list[str]:
    return [classes()[one].name for one in np.argsort(-weights, kind="stable")[:count]]


def test_the_file_is_small_and_has_every_noun() -> None:
    assert FILE.stat().st_size <= 2_500_000
    words = wordnet()
    assert len(words) == 82_115
    written = list(words.words())
    assert len(written) == 146_347
    assert len({plain(word) for word in written}) > 116_000


def test_every_word_leads_to_its_synsets() -> None:
    words = wordnet()
    for synset in range(0, len(words), 97):
        for lemma in words.lemmas(synset):
            assert synset in words.synsets(lemma), lemma


def test_the_tree_has_one_root_and_depths_fit() -> None:
    words = wordnet()
    assert [one for one in range(len(words)) if not words.parents(one)] == [0]
    assert words.lemmas(0) == ("entity",)
    for synset in range(1, len(words), 53):
        assert words.depths[synset] == 1 + max(words.depths[one] for one in words.parents(synset))
        assert {0, synset} <= set(words.above(synset))


def test_classes_and_what_stands_above_them() -> None:
    words = wordnet()
    assert [words.wordnet_id(one) for one in words.classes.tolist()] == [one.wordnet_id for one in classes()]
    path, starts = words.paths
    for number in range(0, 1000, 37):
        end = starts[number + 1] if number < 999 else len(path)
        assert path[starts[number] : end].tolist() == words.above(int(words.classes[number]))


def test_synsets_that_are_not_there() -> None:
    with pytest.raises(IndexError, match="no synset 82115"):
        wordnet().lemmas(82_115)
    with pytest.raises(IndexError, match="no synset -1"):
        wordnet().gloss(-1)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "wordnet.bin"
    other.write_bytes(b"something else\n{}")
    with pytest.raises(ValueError, match="no file of words"):
        WordNet(other)


def test_names_of_classes_differ() -> None:
    shown = wordnet().class_names
    assert len(shown) == len({name.casefold() for name in shown}) == 1000
    assert "crane (lifting device)" in shown
    assert "crane bird" in shown
    assert "Cardigan (corgi)" in shown
    assert "tench" in shown


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("dog", "dog"),
        ("DOGS", "dog"),
        ("grand-piano", "grand piano"),
        ("Grand_Pianos", "grand piano"),
        ("  sea   horse ", "sea horse"),
        ("mice", "mouse"),
        ("wolves", "wolf"),
        ("kites", "kite"),
        ("churches", "church"),
        ("buses", "bus"),
        ("ponies", "pony"),
        ("firemen", "fireman"),
        ("mothers-in-law", "mother in law"),
        ("glasses", "glasses"),
        ("sunglasses", "sunglasses"),
        ("gold fish", "goldfish"),
        ("café", "cafe"),
        ("ceiling fan", "fan"),
        ("ceiling fans", "fan"),
    ],
)
def test_words_as_they_are_typed(typed: str, name: str) -> None:
    word = look_up(typed)
    assert word.name == name
    assert word.text == typed
    assert word.senses


def test_a_plural_that_is_a_word_with_classes_is_not_its_singular_too() -> None:
    glasses = look_up("glasses")
    assert [sense.kind for sense in glasses.senses] == ["optical instrument"]
    assert "sunglasses" in names(glasses.weights, 2)
    # boxers are shorts, which ImageNet does not have, and more than one boxer
    assert {"underpants", "working dog"} <= {sense.kind for sense in look_up("boxers").senses}


def test_a_compound_that_wordnet_lacks_says_what_it_is_taken_for() -> None:
    assert look_up("ceiling fan").remarks() == ["WordNet has no 'ceiling fan': taken as 'fan'."]
    assert look_up("grand pianos").remarks() == []


def test_a_word_above_classes_takes_just_these() -> None:
    dog = look_up("dog")
    assert dog.exact
    assert set(dog.weights.tolist()) == {0, 1}
    assert int(dog.weights.sum()) == 118
    assert names(dog.weights, 1) == ["Chihuahua"]
    assert np.array_equal(look_up("domestic dog").weights, dog.weights)
    tench = look_up("tench")
    assert tench.exact
    assert names(tench.weights, 1) == ["tench"]
    assert tench.weights.sum() == 1


def test_senses_with_classes_stand_for_a_word() -> None:
    crane = look_up("crane")
    assert [sense.exact for sense in crane.senses] == [False, False, False, True, True]
    assert [sense.number for sense in crane.used] == [4, 5]
    assert sorted(names(crane.weights, 2)) == ["crane", "crane bird"]
    assert crane.weights.sum() == 2
    (remark,) = crane.remarks()
    assert remark == (
        "'crane' has 5 senses: all that have classes are taken (4, lifting device; 5, wading bird); "
        "--sense NUMBER chooses another."
    )
    bird = crane.choose(5)
    assert names(bird.weights, 1) == ["crane bird"]
    assert bird.weights.sum() == 1
    assert bird.remarks() == []
    assert bird.senses[4].synset == "n02012849"
    assert bird.senses[4].describe().startswith("crane: large long-necked wading bird")
    poet = look_up("crane", 2)
    assert not poet.exact
    assert poet.senses[1].gloss == "United States poet (1899-1932)"


def test_a_sense_that_is_not_there() -> None:
    with pytest.raises(WordError, match="'crane' has 5 senses, and no sense 6: --sense list"):
        look_up("crane", 6)
    with pytest.raises(WordError, match="'Tenches' has one sense, and no sense 0"):
        look_up("Tenches", 0)


def test_a_word_without_classes_takes_its_relatives() -> None:
    mandolin = look_up("mandolin")
    assert not mandolin.exact
    assert mandolin.relatives() == ["harp (chordophone)", "banjo", "acoustic guitar"]
    assert mandolin.remarks() == [
        "No class for mandolin; by its relatives: harp (chordophone), banjo, acoustic guitar."
    ]
    assert 0.8 < mandolin.weights.max() < 1
    assert mandolin.weights.min() >= 0


def test_persons_do_not_count_for_a_word_in_small_letters() -> None:
    snow = look_up("snow")
    assert snow.senses[2].lemmas[:2] == ("Snow", "C. P. Snow")
    assert [sense.number for sense in snow.used] == [1, 2, 4]
    assert [sense.number for sense in look_up("Snow").used] == [1, 2, 3, 4]
    assert [sense.number for sense in look_up("snow", 3).used] == [3]
    assert len(look_up("paris").used) == len(look_up("paris").senses)  # it is nothing but names


def test_a_part_takes_what_it_is_a_part_of() -> None:
    assert "mosque" in look_up("minaret").relatives(2)


def test_similarity_is_that_of_wu_and_palmer() -> None:
    words = wordnet()
    pigeon = look_up("pigeon").senses[0].place
    for number in (0, 7, 81, 500):
        own = int(words.classes[number])
        common = max(words.depths[one] for one in set(words.above(pigeon)) & set(words.above(own)))
        expected = 2 * int(common) / (int(words.depths[pigeon]) + int(words.depths[own]))
        assert similarities(pigeon)[number] == pytest.approx(min(expected, 1))


def test_a_far_meaning_beside_a_near_one_does_not_count() -> None:
    # a bass is a fish, an instrument, a voice, a singer
    bass = look_up("bass")
    singer = classes()[981]
    assert singer.name == "ballplayer"
    assert bass.weights[singer.number] < 0.01 * bass.weights.max()
    assert look_up("bass", 3).weights[singer.number] == look_up("bass", 3).weights.max()


def test_each_synset_has_classes_or_near_ones() -> None:
    for synset in range(0, len(wordnet()), 1009):
        weights = class_weights([synset])
        assert weights.dtype == np.float32
        assert weights.shape == (1000,)
        assert np.isfinite(weights).all()
        assert 0 < weights.max() <= 1
        if len(own := classes_below(synset)):
            assert np.flatnonzero(weights == 1).tolist() == own.tolist()
            assert weights.sum() == len(own)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("acordion", "Did you mean accordion?"),
        ("golden retreiver", "Did you mean golden retriever?"),
        ("hipopotamus", "Did you mean hippopotamus?"),
        ("elefant", "Did you mean elephant, "),
        ("squirel", "Did you mean squirrel or "),
        ("germn shepherd", "Did you mean German shepherd?"),
        ("xyzzyq", "Words are nouns in English"),
        ("", "Words are nouns in English"),
        ("東京", "Words are nouns in English"),
    ],
)
def test_an_unknown_word_is_an_error_with_the_nearest_spellings(typed: str, hint: str) -> None:
    with pytest.raises(WordError) as caught:
        look_up(typed)
    assert str(caught.value).startswith(f"There is no word {typed!r} in WordNet. {hint}")
    assert caught.value.exit_code == 1


def test_edits_are_those_of_the_table() -> None:
    def table(one: str, two: str) -> int:
        """Optimal string alignment, cell by cell."""
        cells = {(row, -1): row + 1 for row in range(-1, len(one))} | {(-1, at): at + 1 for at in range(-1, len(two))}
        for row in range(len(one)):
            for at in range(len(two)):
                cells[row, at] = min(
                    cells[row - 1, at] + 1,
                    cells[row, at - 1] + 1,
                    cells[row - 1, at - 1] + (one[row] != two[at]),
                )
                if row and at and one[row] == two[at - 1] and one[row - 1] == two[at]:
                    cells[row, at] = min(cells[row, at], cells[row - 2, at - 2] + 1)
        return cells[len(one) - 1, len(two) - 1]

    random = np.random.default_rng(0)

    def drawn() -> str:
        return "".join(random.choice(list("abc"), random.integers(1, 10)))

    for _ in range(40):
        word, texts = drawn(), [drawn() for _ in range(20)]
        assert _edits(word, texts).tolist() == [table(word, text) for text in texts]


def test_a_swap_is_one_edit() -> None:
    assert nearest_spellings("elehpant") == ["elephant"]


def test_a_word_loads_little() -> None:
    code = (
        "import sys; from cbir.words.vocabulary import look_up; look_up('crane').weights; look_up('mandolin').weights;"
        "print({'torch', 'openvino', 'PIL', 'difflib', 'importlib.resources'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_the_script_makes_the_same_file_again(tmp_path: Path) -> None:
    if not (DATABASE / "data.noun").is_file():
        pytest.skip(f"WordNet's database is not in {DATABASE}: apt-get install wordnet-base, or set $CBIR_WORDNET")
    out = tmp_path / "wordnet.bin"
    command = [sys.executable, CHECKOUT / "scripts" / "wordnet.py", DATABASE, "--out", out]
    subprocess.run(command, check=True)
    # another zlib may compress in other bytes: what it has must be the same then
    old, new = WordNet(FILE), WordNet(out)
    assert list(old.words()) == list(new.words())
    for name in old._sections:
        if name not in ("lemmas", "lemmas_starts", "glosses", "glosses_starts", "entries"):
            assert old._section(name) == new._section(name), name
    subprocess.run([*command[:-1], tmp_path / "again.bin"], check=True)
    assert out.read_bytes() == (tmp_path / "again.bin").read_bytes()


def test_synsets_are_found_by_their_ids() -> None:
    for place in (0, 1, 41_000, len(wordnet()) - 1):
        assert wordnet().find(wordnet().wordnet_id(place)) == place
    for unknown in ("n00000001", "n99999999"):
        with pytest.raises(ValueError, match="no noun"):
            wordnet().find(unknown)
