"""Training of segmentation networks for edge-seg: network, losses, metrics, augmentation, training loop.

Importing this package loads no deep-learning framework; building or training a network does.
"""
