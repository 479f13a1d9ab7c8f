# SPDX-License-Identifier: GPL-3.0-or-later
"""DuckDB's copy, run by the Python of .cache/bench-peers: every table of a SQLite file into a PostgreSQL database."""

import importlib
import json
import sys
from pathlib import Path

duckdb = importlib.import_module("duckdb")


def main() -> int:
    """Do what standard input asks for. A table that fails is tried once more with all columns as text."""
    request = json.load(sys.stdin)
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for name in ("sqlite_scanner", "postgres_scanner"):
        folder = Path(importlib.import_module(f"duckdb_extension_{name}").__file__ or "").parent
        [file] = folder.glob("extensions/*/*.duckdb_extension")
        connection.execute(f"LOAD '{file}'")
    connection.execute(f"ATTACH '{request['source']}' AS source (TYPE sqlite, READ_ONLY)")
    connection.execute(f"ATTACH '{request['url']}' AS target (TYPE postgres)")
    for table in request["tables"]:
        statement = f'CREATE TABLE target.public."{table}" AS SELECT * FROM source."{table}"'
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            print("ERROR", table, str(error).splitlines()[0])
            connection.execute("SET sqlite_all_varchar = true")
            try:
                connection.execute(f'DROP TABLE IF EXISTS target.public."{table}"')
                connection.execute(statement)
            except duckdb.Error as again:
                print("ERROR", table, "as text:", str(again).splitlines()[0])
            connection.execute("SET sqlite_all_varchar = false")
    return 0


if __name__ == "__main__":
    sys.exit(main())
