"""`coterie status`: one screen of truth, from `state.db` alone."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing

from engine.config import load_config
from state.database import now_ms, open_reader
from state.views.screen import screen
from state.views.status import read_status, to_json


def command(arguments: argparse.Namespace) -> int:
    """Prints the status."""
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        status = read_status(connection, now_ms())
    text = json.dumps(to_json(status), indent=2) if arguments.json else screen(status)
    sys.stdout.write(text + "\n")
    return 0
