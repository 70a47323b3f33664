"""What cbir should reach, point by point, on a CPU with AVX-512 and AMX and two cores; 16 on a CUDA card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A bound that a figure should keep. `benchmark` is the module that measures it, `unit` what it is counted in."""

    point: int
    benchmark: str
    what: str
    bound: float
    unit: str = "times"
    at_least: bool = False

    def is_reached(self, value: float) -> bool:
        """Whether a figure keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def describe(self) -> str:
        """The bound for people."""
        return f"at {'least' if self.at_least else 'most'} {format_value(self.bound, self.unit)}"


def format_value(value: float, unit: str) -> str:
    """A figure and its unit, with as many digits as mean something and keep it on its side of a bound."""
    if unit == "yes or no":
        return "yes" if value else "no"
    digits = 5 if unit in ("cosine", "") else 4
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
    return f"{number} {unit}".rstrip()


def _extraction() -> dict[str, Target]:
    targets = {}
    for name, times in (("resnet50", 9.0), ("vgg16", 9.0), ("efficientnet_lite0", 12.0)):
        targets[f"extraction-{name}"] = Target(
            1, "extraction", f"{name}, 0.2 megapixel: cbir's rate against the plain loop's", times, at_least=True
        )
        targets[f"ideal-{name}"] = Target(
            1, "extraction", f"{name}, 0.2 megapixel: cbir's rate against the ideal", 0.92, at_least=True
        )
    return targets


def _precision() -> dict[str, Target]:
    targets = {}
    for key, name in (("lite0", "efficientnet_lite0"), ("squeezenet", "squeezenet1_0")):

        def bound(what: str, least: float, unit: str, at_least: bool = True, name: str = name) -> Target:
            return Target(3, "precision", f"{name} against float32: {what}", least, unit, at_least)

        targets[f"precision-{key}"] = bound("mean cosine", 0.999, "cosine")
        targets[f"precision-{key}-ten"] = bound("the ten nearest that stay so", 0.96, "")
        targets[f"precision-{key}-map"] = bound("change of photos' mean average precision", 0.002, "", False)
    return targets


def _segmentation() -> dict[str, Target]:
    def quality(what: str, bound: float, unit: str = "") -> Target:
        return Target(11, "segmentation", what, bound, unit, at_least=unit != "bits")

    def cost(what: str, bound: float, unit: str) -> Target:
        return Target(12, "segmentation", what, bound, unit)

    return {
        "segment-covering": quality("BSDS500 val: covering", 0.61),
        "segment-index": quality("BSDS500 val: probabilistic Rand index", 0.815),
        "segment-variation": quality("BSDS500 val: variation of information", 1.62, "bits"),
        "segment-fast-covering": quality("the same with --fast: covering", 0.599),
        "segment-fast-index": quality("the same with --fast: probabilistic Rand index", 0.808),
        "segment-fast-variation": quality("the same with --fast: variation of information", 1.68, "bits"),
        "segment-felzenszwalb": quality("better on all three than Felzenszwalb's best setting", 1.0, "yes or no"),
        "segment-felzenszwalb-every": quality("on each of the three better than every such setting", 1.0, "yes or no"),
        "segment-time": cost("segmenting 481 × 321, the network open", 1.0, "s"),
        "segment-fast-time": cost("the same with --fast", 0.4, "s"),
        "segment-notebook": cost("481 × 321 against the notebook's way", 0.05, "times"),
        "segment-large": cost("12 megapixels, overlay and label map written, the network open", 2.0, "s"),
        "segment-memory": cost("481 × 321: private memory above that of the loaded network", 500.0, "MB"),
        "segment-large-memory": cost("12 megapixels: the same", 500.0, "MB"),
        "segment-networks-memory": cost("481 × 321, other networks: the most of the same", 500.0, "MB"),
    }


def _parts() -> dict[str, Target]:
    def share(what: str, bound: float) -> Target:
        return Target(15, "parts", what, bound, "", at_least=True)

    return {
        "locate-centre": share("locate, same object: box's middle within the true box", 0.97),
        "locate-overlap": share("the same: IoU at least 0.5", 0.92),
        "locate-median": share("the same: median IoU", 0.75),
        "locate-time": Target(15, "parts", "locating in a picture, decoded, the network open", 0.2, "s"),
        "locate-mirrored": share("locate, mirrored query: IoU at least 0.5", 0.85),
        "locate-dark": share("locate, darkened query: IoU at least 0.5", 0.85),
        "locate-class-centre": share("locate by another photo of the class: middle within", 0.9),
        "locate-class": share("the same: IoU at least 0.5", 0.6),
        "parts-rows": Target(15, "parts", "rows of a picture, at most", 40.0, "rows"),
        "parts-time": Target(15, "parts", "indexing with parts against indexing without", 3.5),
        "parts-memory": Target(15, "parts", "indexing with parts: resident at the peak", 1500.0, "MB"),
        "parts-whole-first": share("search by the whole photo among 2,000 pictures: its composite first", 0.62),
        "parts-whole-ten": share("the same: among the first ten", 0.86),
        "parts-box-first": share("search by the object's box: its composite first", 0.62),
        "parts-box-ten": share("the same: among the first ten", 0.86),
        "parts-mask-first": share("search by the object's mask: its composite first", 0.62),
        "parts-mask-ten": share("the same: among the first ten", 0.86),
        "parts-same": share("searches by whole pictures that have the same matches without parts", 1.0),
        "parts-private": Target(15, "parts", "a tenth of 4,000,000 rows: private memory of a search", 300.0, "MB"),
        "parts-lists-build": Target(15, "parts_many", "4,000,000 windows: building lists against making them", 0.1),
        "parts-lists-query": Target(15, "parts_many", "the same: a query", 0.1, "s"),
        "parts-lists-recall": Target(
            15, "parts_many", "the same: of the first ten of a scan of all signs", 0.98, "", at_least=True
        ),
        "parts-lists-private": Target(15, "parts_many", "the same: private memory of a search", 300.0, "MB"),
        "parts-query": Target(15, "parts", "a query by parts beyond one without, among 2,000 pictures", 60.0, "ms"),
    }


def _joined() -> dict[str, Target]:
    def better(what: str, bound: float) -> Target:
        return Target(17, "joined", what, bound, "mAP", at_least=True)

    return {
        "joined-plain": better("Lite0 and Lite1 joined: more than Lite0", 0.020),
        "joined-reranked": better("the same, re-ranked", 0.004),
        "views-plain": better("two views: more than one", 0.014),
        "views-reranked": better("the same, re-ranked", 0.007),
        "joined-cost": Target(17, "joined", "indexing with Lite0 and Lite1 against Lite0", 2.4),
        "move": Target(17, "joined", "moving an index from Lite0 to Lite1 against a new one by Lite1", 1.1),
        "move-joined": Target(17, "joined", "the same to Lite0 and Lite1 joined", 0.85),
        "views-cost": Target(17, "joined", "indexing with two views against one", 2.0),
    }


def _serve() -> dict[str, Target]:
    def bound(what: str, most: float, unit: str, benchmark: str = "serve") -> Target:
        return Target(19, benchmark, f"serve: {what}", most, unit)

    return {
        "serve-ready": bound("ready after the start, 100,000 pictures", 1.0, "s"),
        "serve-warm": bound("the network warm after the start", 3.0, "s"),
        "serve-end": bound("ended after SIGTERM", 2.0, "s"),
        "serve-known": bound("a search by an indexed picture, re-ranked, median", 15.0, "ms"),
        "serve-known-most": bound("the same, 95 % within", 30.0, "ms"),
        "serve-filter": bound("a filter that leaves 10,000 to 20,000 pictures: more than without", 10.0, "ms"),
        "serve-word": bound("a search by a word, median", 40.0, "ms"),
        "serve-upload": bound("a search by a photo of 12 megapixels, median", 150.0, "ms"),
        "serve-why": bound("why a picture is like another, both looked at, median", 200.0, "ms"),
        "serve-wall": bound("a click until the wall's small photos are painted, none made before", 300.0, "ms"),
        "serve-rate": Target(19, "serve", "serve: searches by 50 clients at once", 150.0, "a second", at_least=True),
        "serve-errors": bound("the same: errors", 0.0, "errors"),
        "serve-memory": bound("all processes after that, shared pages counted once", 700.0, "MB"),
        "serve-growth": bound("private memory after 5,000 requests against 1,000", 1.0, "times"),
        "serve-long-growth": bound("the same after 200,000", 1.0, "times", "serve_long"),
    }


def _asking() -> dict[str, Target]:
    def most(what: str, bound: float, unit: str = "") -> Target:
        return Target(20, "asking", what, bound, unit)

    needed = "labels asked for against labels at random, for 95 % of what all labels gain"
    error = "expected error of a class's probability, half labelled"
    return {
        "asking-photos": most(f"photos: {needed}", 0.5, "times"),
        "asking-textures": most(f"textures: {needed}", 0.75, "times"),
        **{f"calibration-{name}": most(f"{name}: {error}", 0.08) for name in ("photos", "textures", "pacs")},
        "asking-time": most("asking for 20 of 100,000 pictures", 5.0, "s"),
        "mark-time": most("from a mark to the new order of 100,000 pictures, kept", 50.0, "ms"),
        "mark-http-time": most("the same by cbir serve", 50.0, "ms"),
    }


def _adapt() -> dict[str, Target]:
    def least(what: str, bound: float, unit: str = "") -> Target:
        return Target(20, "adapt", what, bound, unit, at_least=True)

    targets = {
        "adapt-time": Target(20, "adapt", "learning from 10,000 pictures in 100 classes", 5.0, "s"),
        "adapt-rivals-half": least("textures, plain: ridge, scores alone, less the better triplet loss: half", 0.0),
        "adapt-rivals-few": least("textures, plain: ridge less the better triplet loss: 3 a class", 0.0),
        "adapt-rivals-unseen": least("the same of classes without labels", 0.0),
        "adapt-rivals-time": least("time of triplet loss against that of ridge", 30.0, "times"),
    }
    for name, what in (("narrow", "20 classes of 100 rows"), ("wide", "10 classes of 1,000")):
        targets[f"adapt-recall-{name}"] = Target(
            20, "adapt_large", f"100,000 rows, {what}: recall at 10", 0.99, "", at_least=True
        )
        for order in ("reranked", "cosine"):
            told = f"the same: what a query costs more, {'re-ranked' if order == 'reranked' else 'by cosine'}"
            targets[f"adapt-query-{order}-{name}"] = Target(20, "adapt_large", told, 1.0, "ms")
    # those of textures are what the bounds of two hard collections, which are not here, ask for above their own figures
    for name, bounds in (("photos", (0.03, 0.03, 0.01, 0.0)), ("textures", (0.077, 0.057, 0.027, 0.0))):
        for each, bound in zip(("half", "10", "5", "3"), bounds, strict=True):
            what = "half of the pictures" if each == "half" else f"{each} a class"
            targets[f"adapt-{name}-{each}"] = least(f"{name}: gain of mean AP re-ranked, {what} labelled", bound)
        harms = {
            "unseen": ("classes without labels beside half of all with", -0.01),
            "wrong-collection": ("a notion of another collection, at worst", -0.01),
            "partial": ("classes without labels beside three with 10", -0.03),
            "wrong": ("40 % of labels wrong, at worst", 0.0),
        }
        for key, (what, bound) in harms.items():
            targets[f"adapt-{name}-{key}"] = least(f"{name}: change of mean AP: {what}", bound)
        targets[f"adapt-{name}-shuffled"] = least(f"{name}: shuffled labels are refused", 1.0, "yes or no")
        targets[f"adapt-{name}-shuffled-pairs"] = least(f"{name}: shuffled pairs are refused", 1.0, "yes or no")
    targets |= _adapt_parts()
    for each, bound in (("10", 0.84), ("3", 0.72)):
        targets[f"adapt-pacs-{each}"] = least(f"pacs by domain: mean AP plain, {each} of each domain labelled", bound)
    return targets


def _adapt_parts() -> dict[str, Target]:
    def least(what: str, bound: float, unit: str = "") -> Target:
        return Target(20, "adapt_parts", what, bound, unit, at_least=True)

    targets = {}
    for name, (same, kind) in {
        "composites": (0.08, 0.08),
        "objects": (0.05, 0.06),
        "textures": (0.03, 0.03),
        "pacs": (0.03, 0.03),
    }.items():
        for way, bound in (("same", same), ("kind", kind)):
            what = f"{name}, by parts (--{way}): change of mean AP:"
            targets[f"adapt-parts-{name}-{way}"] = least(f"{what} classes with labels", bound)
            targets[f"adapt-parts-{name}-unseen-{way}"] = least(f"{what} classes without", -0.01)
        targets[f"adapt-parts-{name}-shuffled"] = least(
            f"{name}: shuffled labels of parts are refused", 1.0, "yes or no"
        )
    return targets


def _objects() -> dict[str, Target]:
    def bound(what: str, value: float, unit: str = "", *, at_least: bool = False) -> Target:
        return Target(21, "objects", what, value, unit, at_least)

    return {
        "objects-yolox": bound("yolox_nano: mAP, difference to its plain decoding", 0.01),
        "objects-command": bound("cbir detect of one photo with it, beyond cbir --help", 0.35, "s"),
        "objects-regions": bound("--method regions: mAP", 0.28, at_least=True),
        "objects-regions-time": bound("--method regions: a decoded photo, the network open", 0.35, "s"),
        "objects-index": bound("indexing with --objects against indexing without", 2.7, "times"),
        "objects-index-parts": bound("indexing with --objects --parts against --parts", 1.6, "times"),
        "objects-kind": bound(
            "the same kind of thing by its box (--kind), objects in the index: mAP", 0.7, at_least=True
        ),
        "objects-words": bound("VOC's classes as words, objects in the index: mAP", 0.83, at_least=True),
        "objects-same-first": bound("the same thing again (--same), objects in the index: first", 0.73, at_least=True),
        "objects-same-ten": bound("the same: among the first ten", 0.92, at_least=True),
        "objects-masks": bound("approximate masks of true boxes: overlap with people's", 0.6, at_least=True),
    }


def _faces() -> dict[str, Target]:
    def bound(what: str, value: float, unit: str = "", *, at_least: bool = False) -> Target:
        return Target(24, "faces", what, value, unit, at_least)

    return {
        "faces-found": bound("faces found, of those of people and groups", 1.0, at_least=True),
        "faces-false": bound("false ones in 200 photos without people", 2.0, "faces"),
        "faces-accepted": bound("pairs of one person as near as .5 % of strangers", 1.0, at_least=True),
        "faces-verify": bound("pairs of which verify says what is wrong", 0.0, "pairs"),
        "faces-group-precision": bound("groups: B-cubed precision", 0.98, at_least=True),
        "faces-group-recall": bound("groups: B-cubed recall", 0.93, at_least=True),
        "faces-names": bound("people who keep their faces in later runs", 1.0, at_least=True),
        "faces-index-small": bound("cbir index --faces of small photos against without", 13.0, "times"),
        "faces-index-camera": bound("the same of photos of 12 megapixels", 2.0, "times"),
        "faces-search": bound("a person among 100,000 faces, the index open", 20.0, "ms"),
        "faces-grouping": bound("grouping 10,000 faces", 10.0, "s"),
        "faces-grouping-memory": bound("the same: memory", 400.0, "MB"),
    }


def _gpu() -> dict[str, Target]:
    def cosine(what: str) -> Target:
        return Target(16, "gpu", what, 0.999, "cosine", at_least=True)

    return {
        "gpu-features": cosine("efficientnet_lite0 on CUDA against float32 on the CPU, worst picture"),
        "gpu-maps": cosine("the same of its maps, the worst map of a picture"),
        "gpu-index": cosine("an index made on CUDA against the plain loop there, worst picture"),
        "gpu-chosen": Target(16, "gpu", "cbir takes the card where it has enough to do", 1.0, "yes or no", True),
    }


def _beyond() -> dict[str, Target]:
    def bound(what: str, value: float, unit: str = "", *, at_least: bool = False) -> Target:
        return Target(23, "beyond", what, value, unit, at_least)

    return {
        "beyond-killed": bound("the run lost workers with the node", 1.0, "yes or no", at_least=True),
        "beyond-equal": bound("rows that are not those of the folder's index, byte for byte", 0.0, "rows"),
        "beyond-errors": bound("searches of three clients meanwhile that failed", 0.0, "searches"),
        "beyond-searches": bound("searches of three clients meanwhile", 100.0, "searches", at_least=True),
        "beyond-states": bound("states of the index that they saw", 2.0, "states", at_least=True),
        "beyond-milvus": bound("recall at 10 from milvus-lite alone, without the features", 0.99, at_least=True),
        "beyond-left": bound("processes that are left at the end", 0.0, "processes"),
        "beyond-time": bound("all of it", 600.0, "s"),
    }


def _explain() -> dict[str, Target]:
    targets = {}
    for name, what, share, pointing in (
        ("quarter", "a photo pasted in a quarter", 0.6, 0.85),
        ("seventh", "in a seventh, looked at twice as large", 0.55, 0.85),
    ):
        targets |= {
            f"explain-{name}-share": Target(25, "explain", f"{what}: share within it", share, "", at_least=True),
            f"explain-{name}-pointing": Target(
                25, "explain", "the same: the place with most is within", pointing, "", at_least=True
            ),
            f"explain-{name}-sum": Target(25, "explain", "the same: what sums of shares miss", 1e-5, ""),
        }
    return {
        **targets,
        "explain-units": Target(25, "explain", "what excites a channel among 2,000 pictures, and where", 1.0, "s"),
        "explain-time": Target(25, "explain", "explaining a match, the network open", 0.2, "s"),
    }


def _imagine() -> dict[str, Target]:
    def target(what: str, bound: float, unit: str, at_least: bool = False) -> Target:
        return Target(25, "imagine", what, bound, unit, at_least)

    return {
        "imagine-cosine": target("a picture from a feature: cosine to the original, the lowest", 0.95, "cosine", True),
        "imagine-rank": target("the same: rank of the original among 2,000 photos, the worst", 1, ""),
        "imagine-time": target("the same: on one core, with all measures", 60, "s"),
        "stylise-time": target("a photo of 384 pixels in the style of another, on one core", 60, "s"),
    }


def _across() -> dict[str, Target]:
    def target(what: str, bound: float, unit: str, at_least: bool = False) -> Target:
        return Target(25, "across", what, bound, unit, at_least)

    return {
        "across-filters": target("the same photo through nine filters, among all, less means: mAP", 0.87, "", True),
        "across-other-filters": target("the same, among those through other filters", 0.88, "", True),
        "across-domains": target("the same class in other domains, less means: mAP", 0.42, "", True),
        "across-time": target("100,000 rows: a query with --across against one without", 2.0, "times"),
        "across-recall": target("the same: recall at 10", 0.95, "", True),
        "across-first": target("the same: what the first query adds once more", 500.0, "ms"),
    }


def _stages() -> dict[str, Target]:
    what = "the means of all stages against the features alone, the same pictures"
    return {"stages-cost": Target(25, "across_stages", what, 1.3, "times")}


def _treatment() -> dict[str, Target]:
    return {
        "treatment-nine": Target(
            25, "treatment", "photos through nine filters: the nearest has the same filter", 0.7, "", at_least=True
        ),
        "treatment-cost": Target(25, "treatment", "indexing small photos with --treatment against without", 1.1),
        "treatment-first": Target(25, "treatment", "100,000 rows: what the first search ever waits for", 1.0, "s"),
        "treatment-kept": Target(25, "treatment", "the same: the first of each later process", 0.2, "s"),
    }


#: All bounds, by the names that the results carry.
TARGETS: dict[str, Target] = {
    **_extraction(),
    "lite0-resnet50": Target(
        1, "extraction", "efficientnet_lite0 in cbir against resnet50 in the plain loop", 15.0, at_least=True
    ),
    "large-rate": Target(2, "large", "resnet50, 12 megapixels: against the plain loop", 8.5, at_least=True),
    "large-mean": Target(2, "large", "features against a full decode's, mean", 0.999, "cosine", at_least=True),
    "large-worst": Target(2, "large", "features against a full decode's, worst", 0.995, "cosine", at_least=True),
    **_precision(),
    "start-help": Target(4, "startup", "cbir --help against import torch", 0.12),
    "start-known": Target(4, "startup", "search by an indexed picture against import torch", 0.25),
    "start-word": Target(4, "startup", "search by a word against search by an indexed picture", 2.0),
    "start-inexact-word": Target(4, "startup", "search by an inexact word against search by an indexed picture", 2.0),
    "start-new": Target(4, "startup", "search by a new picture, resnet50, against the bare script", 0.2),
    "start-first": Target(4, "startup", "indexing one picture, the bundled network not prepared yet", 2.0, "s"),
    "start-first-ratio": Target(4, "startup", "the same against the network prepared", 2.0),
    "search-recall": Target(5, "search", "recall at 10", 0.99, "", at_least=True),
    "search-time": Target(5, "search", "a query, not re-ranked, against the exact scan", 0.05),
    "search-build": Target(5, "search", "building the shortlist against hnswlib's build", 0.1),
    "search-open": Target(5, "search", "opening the index", 60.0, "ms"),
    "search-resident": Target(5, "search", "resident after opening and a search", 250.0, "MB"),
    "search-rerank": Target(5, "search", "what re-ranking adds to a query", 3.0, "ms"),
    "million-recall": Target(5, "million", "one million rows: recall at 10", 0.99, "", at_least=True),
    "million-time": Target(5, "million", "one million rows: a query against the exact scan", 0.05),
    "million-private": Target(5, "million", "one million rows: private memory of a search", 500.0, "MB"),
    "calibrated": Target(6, "search", "recall that the build measured and stored", 0.99, "", at_least=True),
    "info-shows": Target(6, "search", "cbir info shows search_k and recall", 1.0, "yes or no", at_least=True),
    "reindex": Target(7, "reindex", "unchanged re-index against a bare walk and json.load", 3.0),
    "reindex-opened": Target(7, "reindex", "pictures opened by an unchanged re-index", 0.0, "pictures"),
    "reindex-add": Target(7, "reindex", "adding 100, less their extraction, against an unchanged re-index", 2.0),
    "memory": Target(8, "memory", "more private memory for 20,000 pictures than for 2,000", 60.0, "MB"),
    "queries": Target(9, "queries", "search of 200 files against extracting them at point 1's rate", 1.5),
    "words-exact": Target(10, "words", "names with classes, mean AP", 0.95, "", at_least=True),
    "words-general": Target(10, "words", "general words, mean AP", 0.95, "", at_least=True),
    "words-inexact": Target(10, "words", "names without classes, mean AP", 0.42, "", at_least=True),
    "arithmetic": Target(10, "arithmetic", "a photo, a word and not a word: mean AP", 0.48, "", at_least=True),
    "text-warm": Target(10, "texts", "a sentence, the encoder prepared, against a search by a new picture", 1.1),
    "text-cold": Target(10, "texts", "the first sentence of all, the toy network", 5.0, "s"),
    "text-clip-warm": Target(
        10, "texts", "CLIP ViT-B/32: a sentence, prepared, against a search by a new picture", 1.1
    ),
    "text-clip-cold": Target(10, "texts", "CLIP ViT-B/32: the first sentence of all", 25.0, "s"),
    "text-tokens": Target(10, "texts", "of 1,000 sentences, those with open_clip's tokens", 1.0, "", at_least=True),
    "text-hits": Target(10, "texts", "a folder's name in a sentence: of the first five", 0.9, "", at_least=True),
    "text-arithmetic": Target(
        10, "texts", "a picture, a text and not a text: of the first five", 0.8, "", at_least=True
    ),
    "words-dog": Target(10, "words", "dog, of which there are none: above 0.5", 10.0, "pictures"),
    "words-tags": Target(10, "words", "pictures with the right word among three tags", 0.85, "", at_least=True),
    "words-lookup": Target(10, "words", "the first word of a process, after NumPy", 10.0, "ms"),
    "words-unknown": Target(10, "words", "the nearest spellings of an unknown word", 150.0, "ms"),
    "words-score": Target(10, "words", "scoring 100,000 pictures by a word", 20.0, "ms"),
    "words-rerank": Target(10, "words", "re-ranking a word's result", 50.0, "ms"),
    "words-tags-time": Target(10, "words", "tags of 100,000 pictures", 5.0, "s"),
    **_segmentation(),
    "feedback-one": Target(
        18, "feedback", "precision at 20 that one round of judgements gains", 0.03, "", at_least=True
    ),
    "feedback-three": Target(18, "feedback", "the same of three rounds", 0.04, "", at_least=True),
    "map-time": Target(13, "map", "the map of 2,000 photos, page and picture, the whole command", 20.0, "s"),
    "map-layout": Target(13, "map", "the layout of 100,000 synthetic rows", 10.0, "s"),
    "map-neighbours": Target(13, "map", "neighbours on the map that are of one class", 0.65, "", at_least=True),
    "duplicates-precision": Target(14, "duplicates", "pairs in a group: precision", 0.99, "", at_least=True),
    "duplicates-recall": Target(14, "duplicates", "variants in the group of their original", 0.96, "", at_least=True),
    "duplicates-share": Target(14, "duplicates", "finding variants against indexing them with the photos", 0.3),
    "duplicates-pages": Target(14, "duplicates", "made pages in a group: precision", 0.99, "", at_least=True),
    "duplicates-copies": Target(14, "duplicates", "copies in the group of their page", 0.85, "", at_least=True),
    "duplicates-cost": Target(14, "duplicates", "indexing with thumbnails against indexing without", 1.05),
    "duplicates-time": Target(14, "duplicates", "100,000 synthetic rows", 60.0, "s"),
    "duplicates-memory": Target(14, "duplicates", "100,000 synthetic rows: resident at the peak", 1000.0, "MB"),
    **_parts(),
    **_joined(),
    **_objects(),
    **_faces(),
    **_serve(),
    **_adapt(),
    **_asking(),
    **_explain(),
    **_imagine(),
    **_across(),
    **_stages(),
    **_treatment(),
    **_gpu(),
    **_beyond(),
    "workers-nodes": Target(22, "workers", "two nodes of one core against one, pictures a second", 1.85, at_least=True),
    "milvus-clustered": Target(22, "milvus", "milvus: recall at 10, clustered features", 0.99, "", at_least=True),
    "milvus-photos": Target(22, "milvus", "milvus: recall at 10, photos", 0.99, "", at_least=True),
    "workers-driver": Target(22, "workers", "the planning machine's own time a picture, workers elsewhere", 2.0, "ms"),
}
