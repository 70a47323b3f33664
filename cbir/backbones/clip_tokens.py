"""Tokens of CLIP's text encoders, as open_clip makes them, without importing it: that brings torch and takes seconds.

Byte pairs of the vocabulary that open_clip comes with (Radford et al., "Learning Transferable Visual Models From
Natural Language Supervision", ICML 2021, section 2.4). Of networks with other tokens, open_clip makes them.
"""

from __future__ import annotations

import functools
import gzip
import html
import json
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

# The pairs of the vocabulary that open_clip reads, and what stands about a text.
_PAIRS = 49152 - 256 - 2
_START, _END = "<start_of_text>", "<end_of_text>"
_TOKEN = rf"{_START}|{_END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"
_LENGTH = 77


def clip_tokens(architecture: str, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Turn n texts into the numbers of their tokens, shape (n, length), zeros at the end."""
    texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    length = _length(architecture)
    if length is None:
        import open_clip

        return np.asarray(open_clip.get_tokenizer(architecture)(texts).numpy(), dtype=np.int64)
    found = np.zeros((len(texts), length), dtype=np.int64)
    vocabulary = _vocabulary()
    for row, text in zip(found, texts, strict=True):
        tokens = [vocabulary.numbers[_START], *vocabulary.tokens(text), vocabulary.numbers[_END]]
        if len(tokens) > length:
            tokens[length - 1] = tokens[-1]
        row[: len(tokens)] = tokens[:length]
    return found


def _folder() -> Path:
    spec = find_spec("open_clip")
    assert spec is not None  # as `families.check_family` has looked for it
    assert spec.origin is not None
    return Path(spec.origin).parent


@functools.cache
def has_own_tokens(architecture: str) -> bool:
    """Tell whether the encoder of an architecture takes these tokens."""
    return _length(architecture) is not None


def _length(architecture: str) -> int | None:
    """Return how many tokens the encoder of an architecture takes; None where they are not those of byte pairs."""
    try:
        config = json.loads((_folder() / "model_configs" / f"{architecture}.json").read_text("utf-8"))["text_cfg"]
    except (OSError, KeyError, ValueError):
        return None
    if any(key in config for key in ("hf_tokenizer_name", "hf_model_name", "tokenizer_kwargs")):
        return None
    return int(config.get("context_length", _LENGTH))


class _Vocabulary:
    """Byte pairs, the first to be joined first, and the numbers of what they make."""

    def __init__(self, lines: Sequence[str]) -> None:
        import regex

        plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
        others = [byte for byte in range(256) if byte not in plain]
        self._letters = {byte: chr(byte) for byte in plain}
        self._letters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
        pairs = [(first, second) for first, second in (line.split() for line in lines)]
        self._ranks = {pair: rank for rank, pair in enumerate(pairs)}
        letters = list(self._letters.values())
        words = [*letters, *(f"{one}</w>" for one in letters), *map("".join, pairs), _START, _END]
        self.numbers = {word: number for number, word in enumerate(words)}
        self._pattern = regex.compile(_TOKEN, regex.IGNORECASE)

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text."""
        import ftfy

        cleaned = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        cleaned = " ".join(cleaned.split()).lower()
        found: list[int] = []
        for word in self._pattern.findall(cleaned):
            if word in (_START, _END):
                found.append(self.numbers[word])
            else:
                found += [self.numbers[one] for one in self._joined("".join(self._letters[b] for b in word.encode()))]
        return found

    def _joined(self, word: str) -> list[str]:
        """Join the letters of a word, pair by pair, those first whose rank is lowest."""
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return parts


@functools.cache
def _vocabulary() -> _Vocabulary:
    content = gzip.decompress((_folder() / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode("utf-8")
    return _Vocabulary(content.split("\n")[1 : _PAIRS + 1])
