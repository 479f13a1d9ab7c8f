# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine of pg-cutover: moves, checks and switches data. Free of Ansible; Python 3.9+, standard library and psycopg2."""
