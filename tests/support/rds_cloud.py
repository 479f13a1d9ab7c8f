# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud on this machine: moto's server, and a PostgreSQL with TLS behind the endpoint of what is created there.

    python -m support.rds_cloud start|stop FOLDER [PORT]

FOLDER gets state.json (how it is reached), ca.pem (who signed the server's certificate), other-ca.pem (who did not), and cloud.pid.
A file behaviour.json in it changes how the service behaves: quota, state, seconds (what a change takes).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

KEY = "testing"
REGION = "eu-central-1"


def environment(folder: Path) -> dict[str, str]:
    """What a program needs to find the cloud, and nothing that could lead it to a real one."""
    return {
        "AWS_ENDPOINT_URL": json.loads((folder / "state.json").read_text())["url"],
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def network(folder: Path) -> dict[str, list[str]]:
    """Make a VPC; subnets in two zones (two) and in one (one)."""
    import boto3

    access = {"aws_access_key_id": KEY, "aws_secret_access_key": KEY, "region_name": REGION}
    ec2 = boto3.client("ec2", endpoint_url=environment(folder)["AWS_ENDPOINT_URL"], **access)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    first, second, third = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=REGION + zone)["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("aba")
    )
    return {"two": [first, second], "one": [first, third]}


def start(folder: Path, port: int = 0) -> None:
    """Start it in the background, on a port of its own or a given one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.json").unlink(missing_ok=True)
    tests = Path(__file__).resolve().parents[1]
    with (folder / "cloud.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.rds_cloud", "serve", str(folder), str(port)],
            cwd=tests,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / "cloud.pid").write_text(str(process.pid))
    deadline = time.monotonic() + 90
    while not (folder / "state.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise RuntimeError(f"the cloud does not start:\n{(folder / 'cloud.log').read_text()[-3000:]}")
        time.sleep(0.1)


def stop(folder: Path) -> None:
    """End it, with its PostgreSQL; nothing where it does not run."""
    try:
        pid = int((folder / "cloud.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if b"support.rds_cloud" in command and os.fsencode(folder) in command:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
    (folder / "cloud.pid").unlink()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _guarded(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Refuse every key but the one, which moto does not."""
    message = "The security token included in the request is invalid."

    def answer(environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        credential = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
        if credential[0] in ("", KEY):
            return application(environ, respond)
        service = credential[3] if len(credential) > 3 else ""
        if service == "secretsmanager":
            kind, body = (
                "application/x-amz-json-1.1",
                json.dumps({"__type": "UnrecognizedClientException", "message": message}),
            )
        elif service == "ec2":
            kind = "text/xml"
            body = f"<Response><Errors><Error><Code>AuthFailure</Code><Message>{message}</Message></Error></Errors></Response>"
        else:
            kind = "text/xml"
            error = f"<Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>{message}</Message></Error>"
            body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
        respond("403 Forbidden", [("Content-Type", kind)])
        return [body.encode()]

    return answer


def serve(folder: Path, port: int) -> None:
    """Run until told to end."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from support.certificates import Authority
    from support.rds_moto import Behaviour, install
    from support.rds_postgres import RdsPostgres

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    authority = Authority(folder / "authority")
    certificate, key = authority.sign("rds", server=True, names=["localhost"])
    (folder / "ca.pem").write_bytes(authority.path.read_bytes())
    (folder / "other-ca.pem").write_bytes(Authority(folder / "other-authority").path.read_bytes())
    server = RdsPostgres.serve(certificate, key)
    try:
        install(server, Behaviour(folder / "behaviour.json"))
        application = _guarded(DomainDispatcherApplication(create_backend_app))
        http = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        state = {"url": f"http://127.0.0.1:{http.server_port}", "port": server.port, "base": str(server.base)}
        (folder / "state.new").write_text(json.dumps(state))
        (folder / "state.new").rename(folder / "state.json")
        ended.wait()
        http.shutdown()
    finally:
        server.stop()


def main(command: str, place: str, port: str = "0") -> None:
    """Entry point."""
    folder = Path(place).resolve()
    if command == "start":
        start(folder, int(port))
    elif command == "serve":
        serve(folder, int(port))
    else:
        stop(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
