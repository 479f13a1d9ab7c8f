# SPDX-License-Identifier: GPL-3.0-or-later
"""How gunicorn serves the demo application. bin/demo-app adds the address, the pid file and the log."""

# The settings are read once, before the workers are made: a worker that is replaced later serves the same
# database as the others, whatever the env file says by then. No connection is opened before the fork.
preload_app = True
workers = 2
worker_class = "gthread"
threads = 4
# Longer than a proxy keeps idle connections: the proxy closes them first, so no request meets a closing one.
keepalive = 75
timeout = 30
graceful_timeout = 10
# The heartbeat file belongs in memory, not on the disk that the database uses.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes files of its own there
# No second way in.
control_socket_disable = True
