"""From a folder of films with outlines to an int8 model: python train_and_quantize.py films runs/mine mine.tflite.

Needs `pip install '.[train]'`.
"""

import sys
from dataclasses import replace
from pathlib import Path

from edge_seg_data import open_dataset
from edge_seg_quantize.pipeline import quantize
from edge_seg_quantize.settings import QuantizeSettings
from edge_seg_train.config import TrainConfig
from edge_seg_train.loop import train
from edge_seg_train.network import PRESETS

folder, run, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
structures = open_dataset(folder).structures

config = TrainConfig(
    datasets=(folder,),
    structures=structures,
    network=replace(PRESETS["tiny"], outputs=len(structures)),  # "lungs" for real work
    epochs=2,
    batch_size=4,
)
print("best weights:", train(config, run))

settings = QuantizeSettings(name=out.stem, epochs=1, dice_budget=0.5)  # 0.002 for real work
report = quantize(run, out, settings)
print(report)
