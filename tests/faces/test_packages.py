"""The files of weights are found without importing their packages, and are those of their publishers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cbir.errors import PackageMissingError, WeightsError
from cbir.faces import packages
from cbir.faces.finder import open_finder

FILES = (packages.RECOGNITION, packages.LANDMARKS, packages.PROPOSAL, packages.REFINEMENT, packages.OUTPUT)

pytestmark = pytest.mark.skipif(not packages.has_packages(), reason="the packages of cbir[faces] are not installed")


@pytest.mark.parametrize("file", FILES, ids=lambda file: Path(file.name).stem)
def test_weights_are_where_they_are_looked_for(file: packages.PackageFile) -> None:
    assert len(file.read()) == file.size


def test_neither_package_of_weights_is_imported_once_networks_are_compiled() -> None:
    code = (
        "import sys; from cbir.faces.finder import open_finder; open_finder(); open_finder();"
        "print([name for name in ('face_recognition_models', 'mtcnn', 'torch', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_weights_of_another_size_are_not_used() -> None:
    with pytest.raises(WeightsError, match=r"has 27,119 bytes and not 27,118.*--force-reinstall mtcnn"):
        replace(packages.PROPOSAL, size=27_118).read()


def test_weights_of_another_content_are_not_used() -> None:
    with pytest.raises(WeightsError, match="is another than that of its publisher"):
        replace(packages.PROPOSAL, sha256="0" * 64).read()


def test_a_missing_file_is_told() -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        _ = replace(packages.PROPOSAL, name="assets/none.lz4").path


@pytest.mark.parametrize("package", packages.PACKAGES)
def test_a_missing_package_is_told_with_the_extra_that_has_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(PackageMissingError, match=rf"Faces need {packages.PACKAGES[package]}.*cbir\[faces\]"):
        open_finder()
    assert not packages.has_packages()
