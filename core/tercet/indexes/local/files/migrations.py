"""Older formats: the first writer that opens such an index moves it on, in one transaction.

A format is read for one major version of tercet after the one that wrote it; then its step goes.
"""

import sqlite3
from collections.abc import Callable

from tercet.errors import IndexFormatError
from tercet.indexes.local.files.catalog import FORMAT, read_format, set_format


def _hold_small_segments(connection: sqlite3.Connection) -> None:
    """Format 2: a small segment stands in its row.

    Raises:
        IndexFormatError: The catalogue is of a layout before format 1 was settled.
    """
    if not connection.execute("SELECT 1 FROM meta WHERE key = 'storage'").fetchone():
        raise IndexFormatError(
            "the index was written by a version before the first release, in a layout that is read "
            "no more: index anew"
        )
    connection.execute("ALTER TABLE segments ADD COLUMN content BLOB")


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _hold_small_segments}
"""What changes a catalogue of a format into one of the next; format 1 is the first."""


def migrate(connection: sqlite3.Connection) -> None:
    """Move the catalogue on to the present format, inside a transaction.

    Raises:
        IndexFormatError: It was written in a format that is too old.
    """
    found = read_format(connection)
    for step in range(found, FORMAT):
        if step not in MIGRATIONS:
            raise IndexFormatError(
                f"the index is of format {found}, which this version of tercet reads no more: open "
                "it once with an older version that reads both, or index anew"
            )
        MIGRATIONS[step](connection)
    if found < FORMAT:
        set_format(connection)
