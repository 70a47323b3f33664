"""The time that looking for faces takes, found out on some of the pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence

from cbir.faces.finder import FaceFinder
from cbir.faces.run import find_in_files
from cbir.images.sources.address import Location

# Pictures that it is found out on.
_SAMPLE = 17


def foretell(finder: FaceFinder, files: Sequence[Location]) -> float | None:
    """Tell in about how many seconds faces are found in pictures; None where too few of a sample can be read.

    That is the time of this machine for reading, decoding and looking, without the network of features.
    """
    chosen = files[:: max(len(files) // _SAMPLE, 1)][:_SAMPLE]
    moments = []
    for one in find_in_files(finder, ((path, path) for path in chosen), isolated=True):
        if one.error is None:
            moments.append(time.monotonic())
    if len(moments) < 2:
        return None
    # from the first on: what decodes them has to start before
    return (moments[-1] - moments[0]) / (len(moments) - 1) * len(files)
