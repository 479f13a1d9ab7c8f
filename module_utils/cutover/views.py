# SPDX-License-Identifier: GPL-3.0-or-later
"""Views: made when tables and keys are there, tried once, and noted as the migration's own."""

from __future__ import annotations

from typing import Any

from .errors import Refused
from .plan.model import Plan, PlanView
from .target.connect import first_line, qualified, quote


def create_view(plan: Plan, view: PlanView) -> str:
    """CREATE VIEW with the names of its columns."""
    columns = ", ".join(quote(name) for name in view.columns)
    return f"CREATE VIEW {qualified(plan.schema, view.target)} ({columns}) AS {view.select}"


def add(connection: Any, plan: Plan, check_mode: bool = False) -> list[str]:
    """Make the plan's views that are missing; return the statements. The connection must be in autocommit.

    Raises Refused when PostgreSQL does not take one, or cannot run it.
    """
    done: list[str] = []
    with connection.cursor() as cursor:
        for view in plan.views:
            name = qualified(plan.schema, view.target)
            cursor.execute("SELECT to_regclass(%s)", (name,))
            if cursor.fetchone()[0] is not None:
                continue
            statement = create_view(plan, view)
            done.append(statement)
            if check_mode:
                continue
            try:
                # One string is one transaction: a view is never there without being noted, nor one that does not run.
                noted = cursor.mogrify("VALUES (%s, %s)", (plan.schema, view.target)).decode()
                tables = qualified(plan.own, "tables")
                cursor.execute(f"{statement}; SELECT * FROM {name} LIMIT 0; INSERT INTO {tables} {noted}")
            except connection.Error as error:
                raise Refused(
                    f"view {view.name}: PostgreSQL does not take its translation: {first_line(error)}. Leave it out with "
                    f"cutover_plan_overrides, views: {{{view.name}: {{carry: false}}}}, and create it by hand."
                ) from None
    return done
