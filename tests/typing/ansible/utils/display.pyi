# What action_plugins/ uses of ansible-core, which has no type information of its own.
class Display:
    verbosity: int
    columns: int
    def display(
        self,
        msg: str,
        color: str | None = None,
        stderr: bool = False,
        screen_only: bool = False,
        log_only: bool = False,
        newline: bool = True,
    ) -> None: ...
    def warning(self, msg: str, formatted: bool = False) -> None: ...
    def v(self, msg: str, host: str | None = None) -> None: ...
    def vv(self, msg: str, host: str | None = None) -> None: ...
    def vvv(self, msg: str, host: str | None = None) -> None: ...
