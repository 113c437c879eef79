"""``python -m smsapi_async``: the command line."""

import sys

from smsapi_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
