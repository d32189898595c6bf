"""``python -m farsight`` is the command ``farsight``."""

from farsight.cli import main

if __name__ == "__main__":
    main()
