#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Run by the image at the end of its first start: a volume without this mark never had a server that could be reached.
touch "$PGDATA/.pg-cutover-initialized"
