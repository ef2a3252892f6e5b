"""Exports a database, or takes its schema down and up again, over and over: a process that is killed at any moment."""

import itertools
import sys
from pathlib import Path

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.export import export
from tutelage.feedback.database.schema import downgrade, upgrade

if __name__ == "__main__":
    what, url, folder = sys.argv[1:]
    database = Database(url)
    for number in itertools.count():
        print(number, flush=True)
        if what == "export":
            export(database, Path(folder) / f"export-{number}")
        else:
            downgrade(database, "0002")
            upgrade(database)
