"""Patterns of names mean what a shell's do, in either form of Unicode, and cost little whatever they are."""

from __future__ import annotations

import fnmatch
import random
import time
import unicodedata

import pytest

from cbir.images.patterns import Glob, Patterns


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", [""], ["a"]),
        ("*", ["", "a", "two\nlines", "a/b"], []),
        ("**", ["", "abc"], []),
        ("a*", ["a", "ab"], ["ba", ""]),
        ("*a", ["a", "ba", "aa"], ["ab", ""]),
        ("a*a", ["aa", "aba", "aaa"], ["a", "ab"]),
        ("*a*b*", ["ab", "xaybz", "aabb"], ["ba", "a"]),
        ("*ab*ab", ["abab", "xabyab", "ababab"], ["ab", "aba", "abxa"]),
        ("?", ["a", "ü", "\n"], ["", "ab"]),
        ("a?c*", ["abc", "a?cd"], ["ac"]),
        ("[abc]x", ["ax", "cx"], ["dx", "x"]),
        ("[!abc]x", ["dx", "!x"], ["ax", "x"]),
        ("[a-c]", ["b"], ["d", "-"]),
        ("[c-a]", [], ["a", "b", "c"]),
        ("[!c-a]", ["a", "z"], [""]),
        ("[]]", ["]"], ["[", "a"]),
        ("[!]]", ["a"], ["]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[", ["["], ["a", ""]),
        ("[a", ["[a"], ["a"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("\\", ["\\"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("*.jp[eg]*", ["a.jpeg", "a.jpg", ".jpg"], ["a.jpx"]),
        ("(a|b)+$", ["(a|b)+$"], ["a"]),
        ("*\udcff?", ["a\udcffb"], ["ab"]),
    ],
)
def test_patterns_are_those_of_shells(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = Glob(pattern)
    assert [text for text in yes if not glob.match(text)] == []
    assert [text for text in no if glob.match(text)] == []


def test_patterns_match_what_those_of_the_standard_library_do() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        # without `!` within a set whose ranges are the wrong way round, of which it makes something else
        pattern = "".join(chance.choice("**??[]-ab.\\^") for _ in range(chance.randint(0, 9)))
        text = "".join(chance.choice("ab.-]^[\n") for _ in range(chance.randint(0, 8)))
        assert Glob(pattern).match(text) == fnmatch.fnmatchcase(text, pattern), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 12 + "*b",
        "*a" * 300 + "b",
        "*" * 100_000,
        "?*" * 50_000,
        "*?" * 110 + "b",
        "*[ab]" * 100 + "*c",
        "[" * 100_000,
        "[!" * 50_000,
        "[!" + "a-z" * 30_000 + "]",
        "[a]" * 30_000,
        "*" + "?" * 120 + "b*",
    ],
    ids=lambda pattern: f"{pattern[:6]}…{len(pattern)}",
)
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.process_time()
    patterns = Patterns([pattern], ignore_case=True)
    for number in range(50):
        patterns.match(f"{'a' * 240}{number}.jpg")
    assert time.process_time() - began < 2


NFC, NFD = "Entwürfe Ångström", unicodedata.normalize("NFD", "Entwürfe Ångström")


@pytest.mark.parametrize("typed", [NFC, NFD])
@pytest.mark.parametrize("named", [NFC, NFD])
@pytest.mark.parametrize("pattern", ["{}", "{}*", "*{}", "a/{}"])
def test_composed_and_decomposed_names_are_the_same(typed: str, named: str, pattern: str) -> None:
    assert Patterns([pattern.format(typed)]).match(f"a/{named}")


def test_one_character_of_a_pattern_is_one_that_is_seen() -> None:
    assert Patterns(["M?ll"]).match(unicodedata.normalize("NFD", "Müll"))
    assert Patterns(["M[äöü]ll"]).match(unicodedata.normalize("NFD", "Müll"))
    assert Patterns(["M[äöü]ll"]).match("x/Mäll")


def test_case_counts_unless_it_is_to_be_ignored() -> None:
    names = ["a.GIF", "RAW", "Ärger.gif", unicodedata.normalize("NFD", "ÄRGER.GIF"), "raw/x.png"]
    strict, loose = Patterns(["*.gif", "raw"]), Patterns(["*.gif", "raw"], ignore_case=True)
    assert [strict.match(name) for name in names] == [False, False, True, False, False]
    assert [loose.match(name) for name in names] == [True, True, True, True, False]
    assert Patterns(["ÄRG*", "[A-C]x"], ignore_case=True).match("ärger.gif")
    assert Patterns(["[A-C]x"], ignore_case=True).match("bX")


def test_a_pattern_without_a_slash_looks_at_the_last_part_only() -> None:
    assert Patterns(["b.*"]).match("a/b.jpg")
    assert not Patterns(["b.*"]).match("b.folder/a.jpg")
    assert Patterns(["a/*"]).match("a/b.jpg")
    assert not Patterns(["a/*"]).match("c/a/b.jpg")


def test_what_lies_below_a_match_is_left_out_too() -> None:
    assert Patterns(["b"]).leaves_out("a/b/c.jpg")
    assert not Patterns(["b"]).leaves_out("a/bb/c.jpg")
    assert not Patterns([]).leaves_out("a")


def test_patterns_that_matched_nothing_are_known() -> None:
    patterns = Patterns(["*.gif", "*.png", "raw", "*.g*"])
    assert patterns.unmatched() == ["*.gif", "*.png", "raw", "*.g*"]
    patterns.match("a/x.gif")
    assert patterns.unmatched() == ["*.png", "raw"]
