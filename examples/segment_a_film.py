"""Outline one film and print what was measured: python segment_a_film.py chest.png overlay.png."""

import sys
from pathlib import Path

import cv2
from edge_seg import Segmenter
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.sources import read_film

film = read_film(Path(sys.argv[1]))
result = Segmenter.load("lungs")(film)

for finding in result.quality.findings:
    print(f"{finding.verdict}: {finding.text}")
for region, area in result.areas.items():
    print(f"{region}: {area.pixels} pixels" + (f", {area.cm2} cm2" if area.cm2 else ""))
for name, ratio in result.measurements.ratios.items():
    print(f"{name}: {'withheld' if ratio is None else round(ratio, 3)}")
print(f"estimated Dice: {result.trust}" + (", check it" if result.low_trust else ""))

cv2.imwrite(sys.argv[2], draw_overlay(result))
