"""Tokens of CLIP's text encoders: those of open_clip, for any text."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cbir.backbones.backbone import describe
from cbir.backbones.clip_tokens import clip_tokens
from cbir.errors import ModelError

open_clip = pytest.importorskip("open_clip", reason="cbir[clip] is not installed")

ODD = [
    "", " ", "\0", "a\0b", "\t\n\r", "🎈", "👩‍👩‍👧‍👦 a family", "שלום עולם", "مرحبا", "鐵路", "日本語のテキスト", "ไทย",
    "ǆ ﬁ ß İ",
    "&amp;lt;b&amp;gt;", "&lt;end_of_text&gt;", "<end_of_text>", "<start_of_text>dog<END_OF_TEXT>", "don't we've I'LL",
    "x" * 10_000,
    "word " * 2000, "1234 5.6e7 ½ ²", "schÃ¶n", "\u202egnp", "a\u0301", "...!?—“”", "a_b-c/d\\e", "\ufeffdog", "\ufffd",
    "İstanbul",
]  # fmt: skip

#: What texts are drawn from: words, letters of many scripts, signs, entities, spaces of all kinds.
_PIECES = [
    "photo", "dog", "Dogs", "two", "antidisestablishmentarianism", "n't", "'s", "'", '"', "&amp;", "&#x41;", "&",
    "<", ">",
    "\0",
    " ", "  ", "\u00a0", "\u3000", "\u200d", "\n", "é", "Ü", "ß", "İ", "ﬁ", "ж", "Ω", "ש", "ع", "か", "漢", "한", "ไ",
    "🎈",
    "🏳️‍🌈",
    "\U0001f469\U0001f3fd", "1", "٣", "½", "-", "_", ".", "…", "\u202e", "Ã©", "â€™", "~", "\x7f", "\x80",
]  # fmt: skip


def drawn(count: int) -> list[str]:
    draw = random.Random(5)
    return ["".join(draw.choices(_PIECES, k=draw.randint(1, 60))) for _ in range(count)]


def test_a_thousand_odd_sentences_have_the_tokens_of_open_clip() -> None:
    texts = [*ODD, *drawn(1000 - len(ODD))]
    expected = open_clip.get_tokenizer("ViT-B-32")(texts).numpy()
    found = clip_tokens("ViT-B-32", texts)
    assert found.shape == (1000, 77)
    assert [text for text, one, its in zip(texts, expected, found, strict=True) if not np.array_equal(one, its)] == []


def test_half_of_a_character_is_a_sign_for_it() -> None:
    assert np.array_equal(clip_tokens("ViT-B-32", ["a \ud800 dog"]), clip_tokens("ViT-B-32", ["a \ufffd dog"]))
    assert clip_tokens("ViT-B-32", []).shape == (0, 77)


def test_neither_open_clip_nor_torch_is_imported() -> None:
    code = (
        "import sys; from cbir.backbones.clip_tokens import clip_tokens; clip_tokens('ViT-B-32', ['a dog']);"
        "print([name for name in ('open_clip', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_vocabulary_that_is_not_here_is_told_and_nobody_is_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: asked.append(host) or [])
    backbone = describe("clip:ViT-B-16-SigLIP", "untrained")
    with pytest.raises(ModelError, match=r"cannot read sentences here.*`cbir models --download clip:ViT-B-16-SigLIP`"):
        backbone.tokens(["two parrots"])
    assert asked == []
    assert not constants.HF_HUB_OFFLINE
    # one whose tokens are its own needs nothing
    assert describe("clip:ViT-B-32", "untrained").tokens(["two parrots"]).shape == (1, 77)
