"""``python -m farsight.vlmevalkit``."""

import sys

from farsight.errors import FarSightError
from farsight.vlmevalkit.launcher import main

try:
    main(sys.argv[1:])
except FarSightError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
