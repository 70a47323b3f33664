"""Objects in pictures: detectors, and the boxes with class and score that they make."""
