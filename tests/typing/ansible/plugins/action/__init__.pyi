# What action_plugins/ uses of ansible-core, which has no type information of its own.
from collections.abc import Mapping
from typing import Any

class ActionBase:
    TRANSFERS_FILES: bool
    _VALID_ARGS: frozenset[str]
    _supports_async: bool
    _supports_check_mode: bool
    _task: Any
    _connection: Any
    _play_context: Any
    _loader: Any
    _templar: Any
    _shared_loader_obj: Any
    _display: Any
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]: ...
    def cleanup(self, force: bool = False) -> None: ...
    def _execute_module(
        self,
        module_name: str | None = None,
        module_args: Mapping[str, Any] | None = None,
        tmp: str | None = None,
        task_vars: dict[str, Any] | None = None,
        persist_files: bool = False,
        delete_remote_tmp: bool | None = None,
        wrap_async: bool = False,
        ignore_unknown_opts: bool = False,
    ) -> dict[str, Any]: ...
    def _low_level_execute_command(
        self,
        cmd: str,
        sudoable: bool = True,
        in_data: bytes | None = None,
        executable: str | None = None,
        encoding_errors: str = "surrogate_then_replace",
        chdir: str | None = None,
    ) -> dict[str, Any]: ...
    def _make_tmp_path(self, remote_user: str | None = None) -> str: ...
    def _remove_tmp_path(self, tmp_path: str | None, force: bool = False) -> None: ...
    def _transfer_data(self, remote_path: str, data: str | bytes) -> str: ...
    def _transfer_file(self, local_path: str, remote_path: str) -> str: ...
    def _fixup_perms2(
        self, remote_paths: list[str], remote_user: str | None = None, execute: bool = True
    ) -> list[str] | None: ...
    def _remote_file_exists(self, path: str) -> bool: ...
    def _remote_expand_user(self, path: str, sudoable: bool = True, pathsep: str | None = None) -> str: ...
