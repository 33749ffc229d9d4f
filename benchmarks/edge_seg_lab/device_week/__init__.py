"""A week on a device in fast motion: memory, disk and journal stay flat, and each film is settled exactly once.

`python -m edge_seg_lab.device_week` runs a station with the settings of `image/`, in the memory that its unit has, with
its results on a small partition of its own. Films come by DICOM as if half a minute lay between two of them, the clock
is not set at first and jumps by days later, another file fills the disk every other day, and at the end the power goes.
Only root may do this, where there are a C compiler, util-linux and e2fsprogs.
"""
