"""Outline one film and print what was measured: python segment_a_film.py chest.png results."""

import sys

from edge_seg import Segmenter

segmenter = Segmenter.load()
result = segmenter(sys.argv[1])

for finding in result.quality.findings:
    print(f"{finding.verdict}: {finding.text}")
for region, area in result.areas.items():
    print(f"{region}: {area.pixels} pixels" + (f", {area.cm2} cm2" if area.cm2 else ""))
for name, ratio in result.measurements.ratios.items():
    print(f"{name}: {'withheld' if ratio is None else round(ratio, 3)}")
print(f"estimated Dice: {result.trust}" + (", check it" if result.low_trust else ""))

record = result.save(sys.argv[2])
print("written:", *(file.name for file in record.files))
