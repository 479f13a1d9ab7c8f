# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/proxy.md's configuration and command for nginx, taken from the page and run."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.project import ROOT
from support.proxies import application, free_port

PAGE = (ROOT / "docs/proxy.md").read_text()


def block(language: str, marker: str) -> str:
    """One block of code of the page."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if marker in text]
    return str(found)


class Nginx:
    """nginx with the page's configuration in a folder."""

    def __init__(self, folder: Path, application_port: int) -> None:
        self.folder, self.port = folder, free_port()
        site = block("nginx", "pg_cutover_write")
        for ours, theirs in (
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("127.0.0.1:8081", f"127.0.0.1:{application_port}"),
            ("/etc/nginx/pg-cutover", str(folder / "flags")),
        ):
            assert ours in site
            site = site.replace(ours, theirs)
        # The folder of a test is closed to other users.
        user = "user root;\n" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user}worker_processes 2;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nworker_shutdown_timeout 20s;\n"
            f"events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {folder}/b;\nproxy_temp_path {folder}/p;\n"
            f"fastcgi_temp_path {folder}/f;\nuwsgi_temp_path {folder}/u;\nscgi_temp_path {folder}/s;\n{site}}}\n"
        )
        command = block("sh", "pg-cutover-maintenance")
        command = command.replace("/etc/nginx/pg-cutover", str(folder / "flags"))
        command = command.replace("/run/nginx.pid", f"{folder}/nginx.pid")
        (folder / "command").write_text(command)

    def nginx(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run nginx."""
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") or "nginx"
        config = str(self.folder / "nginx.conf")
        command = [program, "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", config, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)

    def maintenance(self, state: str) -> subprocess.CompletedProcess[str]:
        """Run the page's command."""
        command = ["sh", str(self.folder / "command"), state]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def request(self, method: str, path: str = "/") -> tuple[int, dict[str, str]]:
        """Status and headers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, dict(answer.getheaders())


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    with application("blue") as port:
        made = Nginx(tmp_path, port)
        made.nginx("-t")
        made.nginx()
        try:
            yield made
        finally:
            made.nginx("-s", "stop")


def test_writes_are_refused_and_those_under_way_are_waited_for(nginx: Nginx) -> None:
    assert nginx.request("GET")[0] == nginx.request("POST")[0] == 200
    statuses: list[int] = []
    slow = threading.Thread(target=lambda: statuses.append(nginx.request("POST", "/?ms=1200")[0]))
    slow.start()
    time.sleep(0.3)
    started = time.monotonic()
    done = nginx.maintenance("on")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started > 0.5
    slow.join()
    assert statuses == [200]
    status, headers = nginx.request("POST")
    assert (status, headers["Retry-After"], headers["X-Maintenance"]) == (503, "30", "writes")
    assert nginx.request("DELETE")[0] == 503
    assert nginx.request("GET")[0] == 200
    assert nginx.maintenance("off").returncode == 0
    assert nginx.request("POST")[0] == 200
