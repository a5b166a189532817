"""Runs pytest and leaves with its exit code, whatever the Temporal SDK's threads do at interpreter exit."""

import os
import sys

import pytest

if __name__ == "__main__":
    code = int(pytest.main(sys.argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Processes that used the SDK abort now and then in the interpreter's own exit (temporalio/sdk-python issue 300).
    os._exit(code)
