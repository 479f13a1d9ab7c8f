# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that share a list of tasks. One fails: all stop. The parent dies: they die with it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, TypeVar

from .errors import CutoverError

Task = TypeVar("Task")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1


def default_workers() -> int:
    """One worker for each core, at most eight."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def run(
    tasks: Sequence[Task],
    start: Callable[[], Callable[[Task], Result]],
    workers: int,
    on_result: Callable[[Task, Result], None],
) -> None:
    """Handle every task once, in processes of their own, taking tasks in order.

    start: called in each process after the fork; opens that process's connections and returns the handler.
    on_result: called in the parent for each result, in the order in which they come.
    Raises the first CutoverError of a worker, or one that says how a worker died. Other workers are stopped then.
    """
    if not tasks:
        return
    context = multiprocessing.get_context("fork")
    counter = context.Value("q", 0)
    parent = os.getpid()
    pipes: dict[Connection, Any] = {}
    try:
        for _ in range(min(workers, len(tasks))):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(parent, tasks, start, counter, sender), daemon=True)
            process.start()
            sender.close()
            pipes[receiver] = process
        open_pipes = set(pipes)
        while open_pipes:
            for ready in wait(list(open_pipes)):
                receiver = next(pipe for pipe in open_pipes if pipe is ready)
                try:
                    kind, index, value = receiver.recv()
                except EOFError:
                    open_pipes.discard(receiver)
                    _check_exit(pipes[receiver])
                    continue
                if kind == "error":
                    raise value
                on_result(tasks[index], value)
    finally:
        for receiver, process in pipes.items():
            receiver.close()
            if process.is_alive():
                process.terminate()
        for process in pipes.values():
            process.join()


def _check_exit(process: Any) -> None:
    process.join()
    if process.exitcode:
        how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"status {process.exitcode}"
        raise CutoverError(
            f"a worker process ended by {how} (killed, or out of memory?). Run again; it goes on where it stopped."
        )


def _work(
    parent: int,
    tasks: Sequence[Any],
    start: Callable[[], Callable[[Any], Any]],
    counter: Any,
    out: Connection,
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent died before the line above could take effect.
        os._exit(1)
    index = -1
    try:
        handle = start()
        while True:
            with counter.get_lock():
                index = counter.value
                counter.value += 1
            if index >= len(tasks):
                return
            out.send(("result", index, handle(tasks[index])))
    except CutoverError as error:
        out.send(("error", index, error))
    except Exception:  # noqa: BLE001 - a bug must reach the operator with its trace, whatever it is
        out.send(("error", index, CutoverError("a worker failed unexpectedly:\n" + traceback.format_exc())))
