"""`python -m edge_seg` is `edge-seg`."""

from edge_seg.cli.main import main

if __name__ == "__main__":
    main()
