"""Procedural pictures: noise, light, cameras and solids, and the scenes that are made of them.

Every scene is a function ``scene(rng, number, canvas) -> image``: `rng` is the picture's own generator, `number`
its place in the class (so that kinds of view can take turns), `canvas` its size; the image is linear light,
float32, at the canvas' supersampled size.  `film.develop` turns it into a photo.
"""
