# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's settings from the memory and the cores of a host.

What can be in use at the same time never adds up to more than the memory: a quarter of it for shared_buffers, a quarter
for one sort in every connection, three sixteenths for autovacuum's workers, a quarter for the sessions of a load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

LEAST_MEMORY_MB = 256
# What a connection costs at the least: a process of its own, and something to sort in.
CONNECTION_MB = 2
# More shared memory than this hardly helps beside the system's cache, and each connection pays for its page tables.
MOST_SHARED_MB = 16384
AUTOVACUUM_WORKERS = 3
# The engine's sessions, one a core.
MOST_SESSIONS = 8

# The same on every host.
SETTINGS = {
    # A page that is written for the first time after a checkpoint goes into the WAL as a whole; compressing it is
    # cheaper than writing it.
    "wal_compression": "lz4",
    # Long values are compressed several times faster than by the default, for a few per cent more space.
    "default_toast_compression": "lz4",
    # Disks without moving heads: a random page costs hardly more than the next one.
    "random_page_cost": "1.1",
    # Slow enough to be worth knowing in the days after the cutover, without logging every statement.
    "log_min_duration_statement": "1s",
    "log_lock_waits": "on",
}

# Only for the load, and only what cannot lose committed data: fsync, full_page_writes and synchronous_commit stay as
# they are, because the journal trusts what PostgreSQL has acknowledged. Autovacuum stays on, because it is a setting
# of the whole server and also guards other databases; the load runs ANALYZE itself.
BULK_SETTINGS = {
    # Fewer checkpoints in the middle of COPY; the WAL may need this much disk.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}


def size(kilobytes: int) -> str:
    """A size as PostgreSQL reads it, in whole megabytes from one on."""
    return f"{kilobytes // 1024}MB" if kilobytes >= 1024 else f"{kilobytes}kB"


def coarse(memory_mb: int) -> int:
    """Down to the next sixteenth of a power of two: after a new kernel a host has some megabytes more or less, and
    shared_buffers that follow them would want a restart."""
    unit = 1 << max(memory_mb.bit_length() - 5, 0)
    return memory_mb // unit * unit


def checked(memory_mb: Any, cores: Any, max_connections: Any = 1) -> tuple[int, int, int]:
    """The three as numbers that settings can be derived from; the memory coarsely."""
    try:
        memory, processors, connections = int(memory_mb), int(cores), int(max_connections)
    except (TypeError, ValueError):
        raise AnsibleFilterError(
            f"memory ({memory_mb} MB), cores ({cores}) and max_connections ({max_connections}) must be whole numbers"
        ) from None
    if memory < LEAST_MEMORY_MB:
        raise AnsibleFilterError(
            f"postgresql_memory_mb is {memory}; PostgreSQL needs at least {LEAST_MEMORY_MB} MB to be set up for"
        )
    if processors < 1:
        raise AnsibleFilterError(f"postgresql_cores is {processors}; there is at least one")
    if not 1 <= connections <= memory // CONNECTION_MB:
        raise AnsibleFilterError(
            f"postgresql_max_connections is {connections}, and {memory} MB of memory carry 1 to {memory // CONNECTION_MB} "
            f"({CONNECTION_MB} MB each at the least). Let the application come through PgBouncer, or use a larger host"
        )
    return coarse(memory), processors, connections


def tuning(memory_mb: Any, cores: Any, max_connections: Any = 100) -> dict[str, str]:
    """The settings of a server that has this memory for itself."""
    memory, processors, connections = checked(memory_mb, cores, max_connections)
    maintenance = size(min(memory // 16, 512) * 1024)
    return {
        **SETTINGS,
        "shared_buffers": size(min(memory // 4, MOST_SHARED_MB) * 1024),
        "effective_cache_size": size(memory * 3 // 4 * 1024),
        "work_mem": size(min(memory * 1024 // 4 // connections, 64 * 1024)),
        "maintenance_work_mem": maintenance,
        # Of its own: the load raises maintenance_work_mem, and must not raise it for autovacuum as well.
        "autovacuum_work_mem": maintenance,
        # Never below PostgreSQL's default: replication and extensions take from it, too.
        "max_worker_processes": str(min(max(processors, 8), 64)),
        "max_parallel_workers": str(min(processors, 64)),
        "max_parallel_workers_per_gather": str(min(processors // 2, 4)),
        "max_parallel_maintenance_workers": str(min(processors // 2, 4)),
    }


def tuning_bulk(memory_mb: Any, cores: Any) -> dict[str, str]:
    """The settings that differ while rows are copied and indexes built, by a session for each core."""
    memory, processors, _ = checked(memory_mb, cores)
    return {
        **BULK_SETTINGS,
        "maintenance_work_mem": size(min(memory * 1024 // 4 // min(processors, MOST_SESSIONS), 1024 * 1024)),
        # For what a single session builds; the engine's parallel sessions take no workers.
        "max_parallel_maintenance_workers": str(min(processors - 1, 8)),
    }


def list_literals(value: Any) -> str:
    """A parameter's value as ALTER SYSTEM SET takes it: the items of a list as literals of their own, for
    'one, two' in one literal would be a single item. Of the parameters that need a restart only lists hold commas."""
    items = [item.strip() for item in str(value).split(",")]
    return ", ".join("'" + item.replace("'", "''") + "'" for item in items)


def unset(wanted: Mapping[str, Any], written: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The parameters of ``wanted`` that are not ``written`` ({name, setting}) in the same words."""
    found = {one["name"]: one["setting"] for one in written}
    return {name: value for name, value in wanted.items() if found.get(name) != str(value)}


class FilterModule:
    """Registers the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Ansible asks for this."""
        return {
            "postgresql_tuning": tuning,
            "postgresql_tuning_bulk": tuning_bulk,
            "postgresql_list_literals": list_literals,
            "postgresql_unset": unset,
        }
