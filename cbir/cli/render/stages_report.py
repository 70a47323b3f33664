"""The page of `cbir evaluate --stages`: bars by stage, pairs of domains, and what stages keep of some pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbir.cli.render.stages import pairs_of
from cbir.evaluation.stage_run import Drawn, StageResult
from cbir.images.sources.address import named_after
from cbir.report.page import jpeg_uri, write_page


def write_stages_page(path: Path, result: StageResult, drawn: Drawn | None, *, force: bool = False) -> None:
    """Write the page; CbirError where that cannot be."""
    names = result.domains.names
    networks = [
        {
            "model": model,
            "stages": result.of(model),
            "best": result.best_of(model),
            "pairs": pairs_of(result.best_of(model), names),
        }
        for model in result.models
    ]
    write_page(
        "stages.html",
        [],
        path,
        others=[] if drawn is None else [named_after(result.pictures.files[number]) for number in drawn.originals],
        force=force,
        root=str(result.pictures.root),
        result=result,
        seen=result.to_json()["pictures"],
        networks=networks,
        kept=[] if drawn is None else _kept(result, drawn),
    )


def _kept(result: StageResult, drawn: Drawn) -> list[dict[str, Any]]:
    """Return, of each network that drew, its stages, and a row for each picture: its name, itself, the drawings."""
    found = []
    for one in drawn.kept:
        rows = [
            {
                "name": result.pictures.paths[number],
                "place": result.pictures.files[number],
                "original": jpeg_uri(drawn.originals[number]),
                "drawings": [(jpeg_uri(drawing.image), drawing.cosine) for drawing in drawings],
            }
            for number, drawings in one.drawings.items()
        ]
        stages = [drawing.name for drawing in next(iter(one.drawings.values()), ())]
        found.append({"model": one.model, "stages": stages, "rows": rows})
    return found
