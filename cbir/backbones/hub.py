"""Weights on the Hugging Face hub, in the cache of its own library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cbir.backbones.weights import Weights, remember, tell_of_download
from cbir.errors import WeightsError
from cbir.utils.printable import printable


@contextlib.contextmanager
def without_hub() -> Iterator[None]:
    """Let nothing be fetched from the hub while the block runs, by whatever library: its cache has to do.

    Other threads that fetch weights meanwhile fail, and say so.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def fetch(network: str, repository: str, files: Sequence[str], download: Callable[[], object]) -> Weights:
    """Find a network's weights in the hub's cache, or download them into it; indexes may name them from then on.

    `files` are the names that they may have in the `repository`, the best first; `download` fetches one of them, and
    is called only where none of them is in the cache. WeightsError where it fails.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    def cached() -> Path | None:
        found = (try_to_load_from_cache(repository, file) for file in files)
        return next((Path(one) for one in found if isinstance(one, str)), None)

    path = cached()
    if path is None:
        where = f"{constants.ENDPOINT}/{repository}"
        tell_of_download(f"the weights of {network} from {where}", constants.HF_HUB_CACHE)
        try:
            download()
            path = cached()
            if path is None:
                raise FileNotFoundError(f"it has none of {', '.join(files)}")
        except Exception as error:  # of the hub's library, requests, httpx, or OSError
            reason = printable((str(error).strip().splitlines() or [type(error).__name__])[0][:300])
            raise WeightsError(
                f"Could not download the weights of {network} from {where} ({reason}). Fetch them on a machine that "
                "can, and name the file with --weights FILE."
            ) from error
    found = Weights.from_file(path, source="hub")
    remember(found, network)
    return found
