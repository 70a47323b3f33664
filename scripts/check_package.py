"""Hold what is packed against the checkout: `archives DIST` for the files that were built, `installed` for the wheel
in the environment that runs this, `light` for one without torch. Ends with 1, and says what is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

#: What the source archive has beside the package itself.
BESIDE = ("LICENSE", "README.md", "THIRD_PARTY_NOTICES.md", "docs/man/*.1", "pyproject.toml", "setup.cfg")

#: What README promises of an environment without torch.
MOST_MEGABYTES = 700

SHELLS = ("bash", "zsh", "fish")


def check_archives(folder: Path) -> Iterator[str]:
    """What is lacking or too much in the only wheel and the only source archive of a folder."""
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    package = set(_in_checkout("cbir"))
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cbir/")}
    yield from (f"{wheel.name} lacks {name}" for name in sorted(package - packed))
    yield from (f"{wheel.name} has {name}, which is not in the checkout" for name in sorted(packed - package))
    manuals = {f".data/data/share/man/man1/{name}" for name in _manuals()}
    yield from _lacking(wheel.name, manuals, zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        names = archive.getnames()
    yield from _lacking(source.name, {f"/{name}" for name in {*package, *_in_checkout(*BESIDE)}}, names)


def check_installed() -> Iterator[str]:
    """What does not work of the package in this environment: where it lies, man pages, completion."""
    import cbir

    if not Path(cbir.__file__).is_relative_to(sys.prefix):
        yield f"cbir is imported from {cbir.__file__}, and not from the environment"
    manuals = Path(sys.prefix, "share/man/man1")
    yield from (f"{manuals / name} is not there" for name in _manuals() if not (manuals / name).is_file())
    command = Path(sysconfig.get_path("scripts"), "cbir")
    for shell in SHELLS:
        script = _run(command, _CBIR_COMPLETE=f"{shell}_source")
        if "_CBIR_COMPLETE" not in script:
            yield f"there is no script for completion in {shell}"
        words = _run(command, _CBIR_COMPLETE=f"{shell}_complete", COMP_WORDS="cbir sea", COMP_CWORD=_typed(shell))
        if "search" not in words:
            yield f"`cbir sea` is not completed in {shell}: {words!r}"


def check_light() -> Iterator[str]:
    """What is wrong with an environment without torch: torch, its size, what is said of a network that needs it."""
    yield from check_installed()
    yield from (f"{name} is installed" for name in ("torch", "torchvision") if find_spec(name) is not None)
    megabytes = sum(path.lstat().st_size for path in Path(sys.prefix).rglob("*")) >> 20
    if megabytes > MOST_MEGABYTES:
        yield f"the environment has {megabytes} MB, and not at most {MOST_MEGABYTES}"
    command = [Path(sysconfig.get_path("scripts"), "cbir"), "index", CHECKOUT / "dataset", "--model", "resnet50"]
    refused = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if refused.returncode != 1 or "`pip install torch torchvision`" not in refused.stderr:
        yield f"resnet50 is not refused with what to install: {refused.stderr!r}"


def _typed(shell: str) -> str:
    """What Click's script hands over as the word under the cursor: in fish the word itself, else its number."""
    return "sea" if shell == "fish" else "1"


def _run(command: Path, **variables: str) -> str:
    return subprocess.run([command], env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True).stdout


def _in_checkout(*patterns: str) -> list[str]:
    """The files that belong to the checkout, whether committed or not yet; its folders are in no archive."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(git, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (CHECKOUT / name).exists()]


def _manuals() -> list[str]:
    return [Path(name).name for name in _in_checkout("docs/man/*.1")]


def _lacking(archive: str, wanted: Iterable[str], names: list[str]) -> Iterator[str]:
    """Names of archives begin with that of the release, so that only their ends are known."""
    yield from (f"{archive} lacks {end}" for end in sorted(wanted) if not any(name.endswith(end) for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("archives").add_argument("folder", type=Path)
    what.add_parser("installed")
    what.add_parser("light")
    arguments = parser.parse_args()
    checks = {"archives": lambda: check_archives(arguments.folder), "installed": check_installed, "light": check_light}
    problems = list(checks[arguments.what]())
    sys.exit("\n".join(problems) or None)


if __name__ == "__main__":
    main()
