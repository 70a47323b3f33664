"""Objects in pictures: detectors, and the boxes with class and score that they make."""

import cbir.engines  # noqa: F401  # before openvino is imported, which would report that to its maker
