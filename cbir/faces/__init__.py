"""Faces: finding them in pictures, and the vectors by which those of one person are alike."""

import cbir.engines  # noqa: F401  # before openvino is imported, which would report that to its maker
