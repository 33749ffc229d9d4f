"""Latency against Dice: models side by side, by the code that runs in the clinic. Needs no TensorFlow."""
