# SPDX-License-Identifier: GPL-3.0-or-later
"""What an error of PostgreSQL's client library tells an operator."""

from __future__ import annotations

import psycopg2
import pytest

from cutover.target.connect import explain


@pytest.mark.parametrize(
    "error",
    [
        psycopg2.OperationalError("could not receive data from server: No route to host\n"),
        psycopg2.OperationalError("could not send data to server: Broken pipe\n"),
        psycopg2.OperationalError("SSL SYSCALL error: EOF detected\n"),
        psycopg2.InterfaceError("cursor already closed"),
        psycopg2.DatabaseError("server closed the connection unexpectedly\n\tThis probably means ..."),
    ],
)
def test_what_no_server_says_is_a_connection_that_broke(error: psycopg2.Error) -> None:
    told = explain(error, "The replay stopped").message
    assert told.startswith("The replay stopped: the connection to PostgreSQL broke (")
    assert str(error).split("\n")[0] in told
    assert "\n" not in told


def test_a_mistake_in_a_statement_is_none() -> None:
    told = explain(psycopg2.ProgrammingError("no results to fetch"), "The replay stopped").message
    assert told == "The replay stopped: no results to fetch."
