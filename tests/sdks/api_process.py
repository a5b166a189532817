"""Runs `orchestrator …` in a process of its own for each line of standard input, and prints that process's id.

The product is imported once: its import takes most of the start time of a server.
"""

import json
import os
import sys

import api.app
import orchestrator.commandline.api
from orchestrator.cli import main

if __name__ == "__main__":
    assert api.app
    assert orchestrator.commandline.api
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os.dup2(2, 1)  # what it prints is no answer of ours
            sys.argv = ["orchestrator", *json.loads(line)]
            main()
            os._exit(0)
        print(process, flush=True)
        os.waitpid(process, 0)
