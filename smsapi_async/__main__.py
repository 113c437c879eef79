"""Start the command line with ``python -m smsapi_async``."""

import sys

from smsapi_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
