# What the controller's code uses of ansible-core, which has no type information of its own.
CONFIG_FILE: str | None
DEFAULT_LOCAL_TMP: str
DEFAULT_TRANSPORT: str
DEFAULT_FORKS: int
DEFAULT_BECOME_METHOD: str
DEFAULT_BECOME_USER: str
DEFAULT_REMOTE_USER: str | None
