"""`coterie note`: stores a note about a sample or a question, removes it, or lists all notes. It needs no daemon."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict

from engine.config import load_config
from engine.errors import UsageError
from state.commands import send, wait_for
from state.database import open_reader, schema_version
from state.errors import StateError
from state.migrations import VERSION
from state.notes import SetNote, note_words, parse_note, question_named, stored_notes
from state.safe import safe
from state.sqlite import Connection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "about",
        nargs="?",
        metavar="SAMPLE|TASK/KEY",
        help="the number of a sample, or the name of a question",
    )
    parser.add_argument(
        "words",
        nargs="?",
        help='"gold is wrong", "bad question" or "bad rationale", with words of yours after a colon; or words alone',
    )
    parser.add_argument("--remove", action="store_true", help="remove what is noted there")
    parser.add_argument("--json", action="store_true", help="list: one JSON object a note")


def command(arguments: argparse.Namespace) -> int:
    """Stores, removes or lists.

    Raises:
        UsageError: there is no such sample or question, or nothing to note.
        StateError: there is no database, or an older version wrote it.
    """
    database = load_config(arguments.config).database
    with closing(open_reader(database)) as connection:
        if schema_version(connection) < VERSION:
            raise StateError(
                f"{database} is from an older Coterie, without notes: `coterie run` migrates it and keeps a backup."
            )
        if arguments.about is None:
            _list(connection, as_json=arguments.json)
            return 0
        request = _request(connection, arguments)
    try:
        number = send(database, request)
    except ValueError as error:
        raise UsageError(str(error)) from None
    reply = wait_for(database, number, 0)
    sys.stdout.write(safe(reply.answer if reply else "") + "\n")
    return 0


def _request(connection: Connection, arguments: argparse.Namespace) -> SetNote:
    about, words = arguments.about, (arguments.words or "").strip()
    if bool(words) == arguments.remove:
        raise UsageError(
            'say what to note, for example "bad question: ambiguous", or --remove; not both'
            if words
            else 'say what to note, for example "bad question: ambiguous", or use --remove'
        )
    flag, text = parse_note(words)
    if about.isascii() and about.isdigit() and len(about) < 19:
        return SetNote(sample=int(about), flag=flag, text=text)
    try:
        return SetNote(question=question_named(connection, about), flag=flag, text=text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _list(connection: Connection, *, as_json: bool) -> None:
    for note in stored_notes(connection):
        if as_json:
            sys.stdout.write(json.dumps(asdict(note), ensure_ascii=False) + "\n")
        else:
            of = f"{note.task}/{note.question}" + (f", sample {note.sample}" if note.sample else "")
            sys.stdout.write(safe(f"{of}: {note_words(note.flag, note.text)}".replace("\n", " ")) + "\n")
