#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch an application's errors and latency for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cutover_watch
short_description: Watch an application's errors and latency for a while
description:
  - Sends GET requests at a low rate and counts what fails and how long answers take.
  - Fails when the share of errors is above the allowed one.
version_added: 0.1.0
author:
  - pg-cutover contributors
options:
  urls:
    description: What is requested, in turn.
    type: list
    elements: str
    required: true
  seconds:
    description: How long to watch.
    type: float
    default: 120
  rate:
    description: Requests a second.
    type: float
    default: 5
  timeout:
    description: Seconds after which an unanswered request is an error.
    type: float
    default: 10
  allowed_errors:
    description: The share of requests that may fail, from 0 to 1.
    type: float
    default: 0.0
attributes:
  check_mode:
    description: Sends nothing.
    support: full
"""

EXAMPLES = r"""
- name: Watch for two minutes
  cutover_watch:
    urls: [https://app.example.org/health]
    seconds: 120
"""

RETURN = r"""
watch:
  description: Seconds watched, requests, errors, and the 50th and 95th percentile and the maximum of latency.
  returned: always
  type: dict
  sample: {"seconds": 120.0, "requests": 600, "errors": 0, "p50_ms": 4.1, "p95_ms": 9.8, "max_ms": 31.0}
first_error:
  description: What the first failed request said.
  returned: when requests failed
  type: str
"""

import time
import urllib.error
import urllib.request
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def request(url: str, timeout: float) -> tuple[float, str | None]:
    """(milliseconds, None or what went wrong) of one GET request."""
    began = time.monotonic()
    problem: str | None = None
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - main() lets http and https through only
            answer.read()
    except urllib.error.HTTPError as error:
        problem = f"{url}: status {error.code}"
    except OSError as error:
        problem = f"{url}: {error}"
    return (time.monotonic() - began) * 1000, problem


def watch(urls: list[str], seconds: float, rate: float, timeout: float) -> tuple[dict[str, Any], str | None]:
    """Request in turn, at the given rate; (figures, the first error)."""
    began = time.monotonic()
    latencies: list[float] = []
    errors, first = 0, None
    while True:
        due = began + len(latencies) / rate
        if due > began + seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        milliseconds, problem = request(urls[len(latencies) % len(urls)], timeout)
        latencies.append(milliseconds)
        if problem:
            errors, first = errors + 1, first or problem
        if time.monotonic() > began + seconds:
            break
    ordered = sorted(latencies)
    figures = {
        "seconds": round(time.monotonic() - began, 1),
        "requests": len(ordered),
        "errors": errors,
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "max_ms": round(ordered[-1], 1),
    }
    return figures, first


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "float", "default": 120},
            "rate": {"type": "float", "default": 5},
            "timeout": {"type": "float", "default": 10},
            "allowed_errors": {"type": "float", "default": 0.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    wrong = [url for url in params["urls"] if not url.startswith(("http://", "https://"))]
    if wrong or not params["urls"] or params["rate"] <= 0:
        module.fail_json(msg=f"urls must be http or https and rate above 0: {', '.join(wrong) or 'no url or rate'}.")
    if module.check_mode:
        module.exit_json(changed=False, watch={})
    figures, first = watch(params["urls"], params["seconds"], params["rate"], params["timeout"])
    if figures["errors"] > figures["requests"] * params["allowed_errors"]:
        module.fail_json(
            msg=f"{figures['errors']} of {figures['requests']} requests failed after the switch; the first: {first}.",
            watch=figures,
            first_error=first,
        )
    module.exit_json(changed=False, watch=figures, first_error=first or "")


if __name__ == "__main__":
    main()
