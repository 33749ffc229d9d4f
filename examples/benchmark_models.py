"""Latency and Dice of models on synthetic films: python benchmark_models.py report lungs-nano lungs.

Needs `pip install '.[report]'`.
"""

import sys
from pathlib import Path

from edge_seg import Segmenter
from edge_seg.model_file import ModelFile
from edge_seg_benchmarks.accuracy.films import open_benchmark_data
from edge_seg_benchmarks.benchmark import Settings, run_benchmark
from edge_seg_benchmarks.report.folder import write_report

out, names = Path(sys.argv[1]), sys.argv[2:]
models = [ModelFile.read(name) for name in names]
films = [open_benchmark_data("phantom")]  # or the folder of a data set

report = run_benchmark(models, films, Settings(limit=4, repeats=3, peak=False), say=print)
segmenters = [Segmenter(model, gate=False) for model in models]
page = write_report(report, out, segmenters, films, "phantom")
print("report:", page)
