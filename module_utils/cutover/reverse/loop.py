# SPDX-License-Identifier: GPL-3.0-or-later
"""The service that replays for as long as the way back is kept open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable


class Reverser:
    """config: name, state_dir, source_path, plan, target_url; see follow.loop."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def run(self, stop: Callable[[], bool]) -> None:
        """Replay until ``stop`` says so. Raises CutoverError when something has to be mended first."""
        raise NotImplementedError
