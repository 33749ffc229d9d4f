"""A device's week in fast motion: memory, disk and journal stay flat, and each film is settled exactly once.

`python -m edge_seg_lab.device_week` runs a station with the settings of `image/`, under its unit's memory limit, with
its results on a small partition. Films arrive by DICOM as if half a minute apart, the clock is not set at first and
later jumps by days, another file fills the disk every other day, and the power fails at the end. Needs root, a C
compiler, util-linux and e2fsprogs.
"""
