"""Sessions that need other Pythons than .venv has, in environments of their own below .nox: `nox --list`.

uv makes the environments. It links files from its cache, so that torch, of several GB, lies on the disk once for each
Python, and not once more for each environment.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

#: What setup.cfg promises, oldest first.
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

# pyenv puts one Python on the path; the others lie beside it. The newest of 3.12.1 and 3.12.13 comes first.
_PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
_VERSIONS = [path for path in _PYENV.glob("3.*") if re.fullmatch(r"3\.\d+\.\d+", path.name)]
_VERSIONS.sort(key=lambda path: [int(number) for number in path.name.split(".")], reverse=True)
os.environ["PATH"] = os.pathsep.join([*(f"{path}/bin" for path in _VERSIONS), os.environ["PATH"]])

INSTALLED = [version for version in PYTHONS if shutil.which(f"python{version}")]

DIST = Path("dist")

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

# products of matrices on all cores would only wait for the other processes of tests
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests that are quick, with the newest packages."""
    session.install("--editable", ".[dev]")
    _run_tests(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The tests that are quick, with the oldest packages that setup.cfg allows."""
    session.install("--resolution", "lowest-direct", "--editable", ".[dev,bench]")
    session.run("uv", "pip", "list", external=True)
    _run_tests(session)


def _run_tests(session: nox.Session) -> None:
    session.run(
        *("pytest", "-m", "not slow and not faults", "--numprocesses", "auto", "--dist", "worksteal"),
        *session.posargs,
        env=_ONE_THREAD,
    )


@nox.session
def package(session: nox.Session) -> None:
    """The source archive and, from it, the wheel: what is in them, and what an index of packages says to them."""
    session.install("build[uv]", "twine")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(DIST))
    session.run("twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))
    session.run("python", "scripts/check_package.py", "archives", str(DIST))


@nox.session(python=sorted({*INSTALLED[:1], *INSTALLED[-1:]}, key=PYTHONS.index) or False, requires=["package"])
def smoke(session: nox.Session) -> None:
    """The wheel, in an empty environment of the oldest and of the newest Python: the demo, man pages, completion."""
    if not INSTALLED:
        session.skip(f"none of Python {', '.join(PYTHONS)} is installed")
    session.install(*map(str, DIST.glob("*.whl")))
    _demo(session, "installed")


@nox.session(python=INSTALLED[-1:] or False, requires=["package"])
def light(session: nox.Session) -> None:
    """The wheel without torch, in an empty environment of the newest Python: the demo, and what is said of resnet50."""
    if not INSTALLED:
        session.skip(f"none of Python {', '.join(PYTHONS)} is installed")
    session.install("--requirement", "requirements-light.txt")
    session.install("--no-deps", *map(str, DIST.glob("*.whl")))
    _demo(session, "light")


def _demo(session: nox.Session, checked: str) -> None:
    """Check what is installed, and run the demo with it."""
    folder = session.create_tmp()
    # nothing of the checkout is found before the wheel, nothing of an earlier run is there
    environment = {"PYTHONPATH": None, "CBIR_HOME": f"{folder}/indexes", "XDG_CACHE_HOME": f"{folder}/cache"}
    session.run("python", "scripts/check_package.py", checked, env=environment)
    installed = f"{session.virtualenv.location}/installed"
    session.run(
        *("make", "demo", f"VENV={session.virtualenv.location}", f"--assume-old={installed}"),
        external=True,
        env=environment,
    )
