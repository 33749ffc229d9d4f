"""Outlines as annotation programs save them: COCO, labelme, CVAT, V7 Darwin, DICOM SEG."""
