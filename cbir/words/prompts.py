"""Prompts: sentences into which single words are put before a text encoder reads them.

Encoders are taught by captions, which are sentences: of a word alone, the mean of several sentences with it finds more
(Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cbir.utils.vectors import Floats, l2_normalize
from cbir.words.nouns import noun

#: The seven of the paper's eighty that its authors found to do as well as all of them.
PROMPTS = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

#: What cosines of texts and pictures are multiplied by to be the logits of a softmax: where training stops it in CLIP,
#: and near what other networks learn.
SCALE = 100

# More words than nouns have in WordNet.
_MOST_WORDS = 6


def prompts(text: str) -> list[str]:
    """Return the sentences that stand for a text: the prompts of a word or of a noun of WordNet, else itself."""
    words = text.split()
    if len(words) == 1 or (len(words) <= _MOST_WORDS and noun(text) is not None):
        return [prompt.replace("{}", " ".join(words)) for prompt in PROMPTS]
    return [text]


def text_features(texts: Sequence[str], encode: Callable[[list[str]], Floats]) -> Floats:
    """Compute the features of texts, shape (n, dimension), each of length 1, or zero; of a word that of its prompts.

    `encode` computes those of sentences, each of length 1.
    """
    asked = [prompts(text) for text in texts]
    each = encode([one for some in asked for one in some])
    ends = np.cumsum([len(some) for some in asked])[:-1]
    return l2_normalize(np.stack([its.mean(axis=0) for its in np.split(each, ends)]))
