#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write orders through proxies until told to end, and keep what was acknowledged.

    writer.py FOLDER NAME URL...

Each URL gets a writer of its own. What was acknowledged stands in FOLDER/NAME.acknowledged, a line a write, written when the
answer came; what failed, with time and reason, in FOLDER/NAME.failed. SIGTERM ends it after the request that is under way.
An order is sent once: nothing is tried again, so nothing is hidden.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 30

ending = threading.Event()


def write(url: str, name: str, acknowledged: Path, failed: Path) -> None:
    """One order after the other on a connection that is kept."""
    address = urlsplit(url).netloc
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    number = 0
    with acknowledged.open("a", buffering=1) as good, failed.open("a", buffering=1) as bad:
        while not ending.wait(PAUSE_SECONDS):
            number += 1
            write_id = f"{name}-{number:06d}"
            body = json.dumps({"write_id": write_id, "item": f"ordered as {number} ✓"})
            try:
                connection.request("POST", "/orders", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                bad.write(f"{time.time():.3f} {write_id} {error!r}\n")
                connection.close()
                continue
            if answer.status == 201:
                good.write(f"{write_id} {answer.headers['X-Database']}\n")
            else:
                bad.write(f"{time.time():.3f} {write_id} {answer.status} {text[:200]!r}\n")
    connection.close()


def main(folder: Path, name: str, urls: list[str]) -> None:
    """A thread for each URL."""
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    threads = [
        threading.Thread(
            target=write,
            args=(url, f"{name}-{index}", folder / f"{name}-{index}.acknowledged", folder / f"{name}-{index}.failed"),
        )
        for index, url in enumerate(urls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
