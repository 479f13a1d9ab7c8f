# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's settings from memory and cores: they fit the host, whatever its size."""

from __future__ import annotations

import re

import psycopg2
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from support.postgres import Cluster
from support.project import load

TUNING = load("filter_plugins/postgresql_tuning.py")
MEMORY = st.integers(TUNING.LEAST_MEMORY_MB, 512 * 1024)
CORES = st.integers(1, 256)
UNITS = {"kB": 1, "MB": 1024, "GB": 1024 * 1024}
SIZES = ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "autovacuum_work_mem")


def kilobytes(text: str) -> int:
    """A size in kB."""
    number, unit = re.fullmatch(r"(\d+)(kB|MB|GB)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def in_use(memory: int, cores: int, connections: int) -> int:
    """What all of the server can take together while rows are loaded, in kB."""
    base, bulk = TUNING.tuning(memory, cores, connections), TUNING.tuning_bulk(memory, cores)
    return (
        kilobytes(base["shared_buffers"])
        + connections * kilobytes(base["work_mem"])
        + TUNING.AUTOVACUUM_WORKERS * kilobytes(base["autovacuum_work_mem"])
        + min(cores, TUNING.MOST_SESSIONS) * kilobytes(bulk["maintenance_work_mem"])
    )


@given(memory=MEMORY, cores=CORES, data=st.data())
def test_everything_together_never_exceeds_the_memory(memory: int, cores: int, data: st.DataObject) -> None:
    connections = data.draw(st.integers(1, memory // TUNING.CONNECTION_MB))
    assert in_use(memory, cores, connections) <= memory * 1024
    assert kilobytes(TUNING.tuning(memory, cores, connections)["effective_cache_size"]) <= memory * 1024


@given(memory=MEMORY, more=st.integers(0, 512 * 1024), cores=CORES, connections=st.integers(1, 128))
def test_more_memory_never_gives_less(memory: int, more: int, cores: int, connections: int) -> None:
    for derive in (lambda m: TUNING.tuning(m, cores, connections), lambda m: TUNING.tuning_bulk(m, cores)):
        small, large = derive(memory), derive(memory + more)
        assert all(kilobytes(small[name]) <= kilobytes(large[name]) for name in SIZES if name in small)


@given(memory=MEMORY, cores=CORES, more=st.integers(0, 256))
def test_more_cores_never_give_fewer_workers(memory: int, cores: int, more: int) -> None:
    for derive in (lambda c: TUNING.tuning(memory, c, 100), lambda c: TUNING.tuning_bulk(memory, c)):
        few, many = derive(cores), derive(cores + more)
        assert all(int(few[name]) <= int(many[name]) for name in few if "workers" in name or "processes" in name)


@given(memory=MEMORY, cores=CORES, fewer=st.integers(1, 60), more=st.integers(0, 60))
def test_more_connections_never_get_more_each(memory: int, cores: int, fewer: int, more: int) -> None:
    assert kilobytes(TUNING.tuning(memory, cores, fewer + more)["work_mem"]) <= kilobytes(
        TUNING.tuning(memory, cores, fewer)["work_mem"]
    )


@pytest.mark.parametrize(
    ("memory", "cores", "shared", "work", "maintenance", "bulk"),
    [
        (512, 1, "128MB", "1MB", "32MB", "128MB"),
        (2048, 2, "512MB", "5MB", "128MB", "256MB"),
        (8192, 4, "2048MB", "20MB", "512MB", "512MB"),
        (65536, 16, "16384MB", "64MB", "512MB", "1024MB"),
        (524288, 64, "16384MB", "64MB", "512MB", "1024MB"),
    ],
)
def test_hosts_from_small_to_huge(memory: int, cores: int, shared: str, work: str, maintenance: str, bulk: str) -> None:
    base = TUNING.tuning(memory, cores, 100)
    assert (base["shared_buffers"], base["work_mem"], base["maintenance_work_mem"]) == (shared, work, maintenance)
    assert TUNING.tuning_bulk(memory, cores)["maintenance_work_mem"] == bulk


@pytest.mark.parametrize("values", [(255, 1, 100), ("much", 1, 100), (512, 0, 100), (512, 1, 257), (512, 1, 0)])
def test_what_fits_no_host_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"at least|whole numbers|512 MB of memory carry 1 to 256"):
        TUNING.tuning(*values)


@pytest.mark.parametrize(("memory", "cores"), [(256, 1), (512, 1), (24105, 2), (524288, 256)])
def test_postgresql_takes_every_value(postgres: Cluster, memory: int, cores: int) -> None:
    """ALTER SYSTEM checks a value as the server would at its start, and writes it; the next statement takes it back."""
    connection = psycopg2.connect(postgres.superuser_url())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for name, value in {**TUNING.tuning(memory, cores), **TUNING.tuning_bulk(memory, cores)}.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = %s", [value])
                cursor.execute(f"ALTER SYSTEM RESET {name}")
    finally:
        connection.close()


@given(st.integers(TUNING.LEAST_MEMORY_MB, 2**24))
def test_some_megabytes_more_or_less_change_nothing(memory: int) -> None:
    coarse = TUNING.coarse(memory)
    assert memory * 15 / 16 < coarse <= memory
    assert TUNING.coarse(coarse) == coarse
    # Within a sixteenth of a power of two there is one answer.
    assert TUNING.coarse(coarse + (memory - coarse) // 2) == coarse


@pytest.mark.parametrize("value", ["localhost", "127.0.0.1, db1", "/run/one, /run/o'two", "100", ""])
def test_a_list_is_read_item_by_item(postgres: Cluster, value: str) -> None:
    name = "unix_socket_directories" if "/" in value else "listen_addresses"
    connection = psycopg2.connect(postgres.superuser_url())
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SYSTEM SET {name} = {TUNING.list_literals(value)}")
            cursor.execute("SELECT setting FROM pg_file_settings WHERE name = %s ORDER BY seqno DESC LIMIT 1", [name])
            (read,) = cursor.fetchone()
            cursor.execute(f"ALTER SYSTEM RESET {name}")
    finally:
        connection.close()
    assert [item.strip(' "') for item in read.split(",")] == [item.strip() for item in value.split(",")]


def test_what_stands_in_the_same_words_is_not_set_again() -> None:
    wanted = {"work_mem": "5MB", "max_connections": 100, "wal_compression": "lz4", "log_lock_waits": "on"}
    written = [
        {"name": "work_mem", "setting": "5MB"},
        {"name": "max_connections", "setting": "100"},
        {"name": "wal_compression", "setting": "pglz"},
        {"name": "port", "setting": "1"},
    ]
    assert TUNING.unset(wanted, written) == {"wal_compression": "lz4", "log_lock_waits": "on"}
    assert TUNING.unset(wanted, {}) == wanted, "what postgresql_query answers when there are none"
