"""Triplet loss on stored features, as an honest rival of the regression: trained by torch, batch by batch.

After Schroff, Kalenichenko and Philbin, "FaceNet" (CVPR 2015; semi-hard), and Hermans, Beyer and Leibe, "In Defense of
the Triplet Loss for Person Re-Identification" (2017; batch-hard). The head is a residual linear map, which starts as
the identity: what it has not learnt stays as it was. A head without the identity, or of two layers, found less.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from cbir.utils.vectors import Floats

#: Classes and pictures of each in a batch, the margin, the rate of Adam, its decay of weights. More steps find no more.
CLASSES, PICTURES, MARGIN, RATE, DECAY = 16, 4, 0.2, 1e-3, 1e-3
STEPS = 150


def embed(
    labelled: Floats, numbers: np.ndarray, others: Floats, *, semi_hard: bool, steps: int = STEPS, seed: int = 0
) -> Floats:
    """Train a head on labelled rows, shape (n, dimension), of classes, shape (n,), and return what it makes of others.

    Rows are centred and of length 1, as what is returned.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    rows = torch.from_numpy(labelled)
    head = torch.nn.Linear(rows.shape[1], rows.shape[1], bias=False)
    torch.nn.init.zeros_(head.weight)
    adam = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    members = [np.flatnonzero(numbers == one) for one in np.unique(numbers)]
    members = [its for its in members if len(its) > 1]
    for _ in range(steps):
        chosen = random.permutation(len(members))[:CLASSES]
        batch = np.concatenate([random.permutation(members[one])[:PICTURES] for one in chosen])
        embedded = normalize(rows[batch] + head(rows[batch]))
        loss = _loss(embedded, torch.from_numpy(numbers[batch]), semi_hard=semi_hard)
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        found = torch.from_numpy(others)
        embeddings: Floats = normalize(found + head(found)).numpy()
    return embeddings


def _loss(embedded: torch.Tensor, numbers: torch.Tensor, *, semi_hard: bool) -> torch.Tensor:
    """The mean of triplets that are too close: of each anchor's hardest, or of all with a semi-hard negative."""
    distances = torch.cdist(embedded, embedded)
    same = numbers[:, None] == numbers[None]
    own = torch.eye(len(numbers), dtype=torch.bool)
    far = torch.full_like(distances, 9.0)
    if not semi_hard:
        positives = torch.where(same, distances, -far).amax(dim=1)
        negatives = torch.where(same, far, distances).amin(dim=1)
        return torch.relu(positives - negatives + MARGIN).mean()
    # the nearest negative that is further than the positive; where there is none, the furthest
    beyond = (distances[:, None, :] > distances[:, :, None]) & ~same[:, None, :]
    nearest = torch.where(beyond, distances[:, None, :], far[:, None, :]).amin(dim=2)
    furthest = torch.where(same, -far, distances).amax(dim=1)
    negatives = torch.where(beyond.any(dim=2), nearest, furthest[:, None].expand_as(nearest))
    losses = torch.relu(distances - negatives + MARGIN)[same & ~own]
    return losses.sum() / (losses > 0).sum().clamp(min=1)
