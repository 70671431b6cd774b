"""``python3 -m higherhrnet COMMAND``: the command line of a checkout that is not installed."""

import sys

from higherhrnet.cli import main

if __name__ == "__main__":
    sys.exit(main.main())
