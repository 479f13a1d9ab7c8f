# What the controller's code uses of ansible-core, which has no type information of its own.
from collections.abc import Mapping
from typing import Any

CLIARGS: Mapping[str, Any]
