"""Cut-outs of what `cbir search` found: each object of a match as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cbir.cli.render.segment import png_of
from cbir.cli.terminal import output
from cbir.errors import ImageReadError, OutputRefusedError
from cbir.images.sources.address import Location
from cbir.utils.outputs import Derived, Piece

if TYPE_CHECKING:
    from PIL import Image

    from cbir.detect.detection import Detection
    from cbir.engines.lazy import LazyEngine
    from cbir.search.results import SearchResult


class SearchCrops:
    """Cuts the objects of matches out of their pictures, into a folder; without one it does nothing.

    With an `engine`, they are transparent where the thing is not, approximately. `inputs` and `reserved` are as in
    `Derived`.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        engine: LazyEngine | None,
        inputs: Iterable[Path] = (),
        reserved: Iterable[Path] = (),
        force: bool = False,
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._inputs, self._reserved, self._force = list(inputs), list(reserved), force
        self._found: dict[Location, dict[Detection, None]] = {}

    def watch(self, results: Iterable[SearchResult]) -> Iterator[SearchResult]:
        """Pass results on, and keep what is to be cut out. The files are written after the last one."""
        for result in results:
            for match in result.matches if self._folder is not None else ():
                if match.objects:
                    self._found.setdefault(match.path, {}).update(dict.fromkeys(match.objects))
            yield result

    def write(self) -> bool:
        """Write the files, those of each picture together; True if one could not be read, or written."""
        failed = False
        found = [path for path in self._found if isinstance(path, Path)]
        derived = Derived(inputs=[*self._inputs, *found], reserved=self._reserved, force=self._force)
        for path, objects in self._found.items():
            try:
                self._write(derived, path, list(objects))
            except (ImageReadError, OutputRefusedError) as error:
                output.tell(f"Error: {error}")
                failed = True
        return failed

    def _write(self, derived: Derived, path: Location, objects: Sequence[Detection]) -> None:
        from cbir.detect.overlay import cut_outs
        from cbir.images.safely import open_image

        assert self._folder is not None
        digits = max(2, len(str(len(objects))))
        pieces = [
            Piece(self._folder, f".object-{number:0{digits}}.png", "object", "--crops")
            for number in range(1, len(objects) + 1)
        ]
        named_after = Path(str(path))
        derived.stem(named_after, pieces)
        image = open_image(path, apart=len(self._found) > 1)
        made = map(png_of, cut_outs(image, self._masked(image, objects)))
        derived.write(named_after, zip(pieces, made, strict=True))

    def _masked(self, image: Image.Image, objects: Sequence[Detection]) -> Sequence[Detection]:
        if self._engine is None:
            return objects
        import numpy as np

        from cbir.detect.detection import Detections
        from cbir.detect.spreading import with_masks

        names = [one.name for one in objects]
        boxes = np.array([one.box for one in objects], dtype=np.float32)
        scores = np.array([one.score for one in objects], dtype=np.float32)
        return list(with_masks(Detections(boxes, scores, np.arange(len(objects))), image, self._engine).each(names))
