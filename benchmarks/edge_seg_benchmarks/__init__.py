"""Latency against Dice for models side by side, measured with the code that runs in the clinic. Needs no TensorFlow."""
