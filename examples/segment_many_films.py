"""Estimated Dice of every film that is given, two at a time: python segment_many_films.py films/*.png."""

import sys

from edge_seg import Failure, Segmenter

for result in Segmenter.load().map(sys.argv[1:], workers=2):
    if isinstance(result, Failure):
        print(f"{result.name}: {result.error}")
    else:
        print(f"{result.film.name}: {result.trust}")
