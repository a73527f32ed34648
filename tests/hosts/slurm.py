"""The part of Slurm that a batch script sees, on hosts in network namespaces: `srun`, `scontrol`, SLURM_… variables.

`srun` tells this process which node must run what, and forwards SIGTERM and the exit code, as Slurm's does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import netns

JOB = 4711
SRUN = """
import json, os, signal, socket, sys
options = [word for word in sys.argv[1:] if word.startswith("--")][: 3]
command = sys.argv[1 + len(options):]
with socket.socket(socket.AF_UNIX) as daemon:
    daemon.connect({daemon!r})
    told = {{"options": options, "command": command, "cwd": os.getcwd(), "environment": dict(os.environ)}}
    daemon.sendall(json.dumps(told).encode() + b"\\n")
    signal.signal(signal.SIGTERM, lambda *given: daemon.sendall(b"TERM\\n"))
    for line in daemon.makefile():
        kind, said = json.loads(line)
        if kind == "exit":
            sys.exit(said)
        print(said, end="", flush=True)
sys.exit("the daemon is gone")
"""


class Slurm:
    """An allocation of `hosts`; the batch script runs on the first one.

    Args:
        folder: an empty folder that all hosts see, with a path short enough for a socket.
    """

    def __init__(self, hosts: netns.Hosts, folder: Path) -> None:
        self.hosts, self._programs, self._socket = hosts, folder / "bin", str(folder / "slurmd")
        self._programs.mkdir()
        self._program("srun", SRUN.format(daemon=self._socket))
        self._program("scontrol", "import sys; print(*sys.argv[3].split(','), sep='\\n')")
        for name, module in (("ray", "ray.scripts.scripts"), ("tune-app", "tune_app"), ("python", None)):
            runs = f"{sys.executable} -m {module}" if module else sys.executable
            self._program(name, f'exec {runs} "$@"', shell="/bin/sh")
        self.steps: list[tuple[str, list[str]]] = []

    def _program(self, name: str, code: str, shell: str = sys.executable) -> None:
        path = self._programs / name
        path.write_text(f"#!{shell}\n{code}\n")
        path.chmod(0o755)

    def __enter__(self) -> Slurm:
        self._server = socketserver.ThreadingUnixStreamServer(self._socket, self._answer)  # type: ignore[arg-type]
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sbatch(self, script: Path, *arguments: str, submitted_in: Path) -> subprocess.Popen[str]:
        """Start the batch script as Slurm does: on the first node, in any folder, with the allocation's variables."""
        names = [host.name for host in self.hosts.all]
        facts = {
            "SLURM_JOB_ID": str(JOB),
            "SLURM_JOB_NODELIST": ",".join(names),
            "SLURM_JOB_NUM_NODES": str(len(names)),
            "SLURM_CPUS_PER_TASK": "2",
            "SLURM_SUBMIT_DIR": str(submitted_in),
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
        }
        hidden = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")  # the script makes its own
        environment = {name: value for name, value in self.hosts.environment.items() if name not in hidden}
        return subprocess.Popen(
            self.hosts.all[0].command("env", "--chdir=/", "bash", str(script), *arguments),
            env={**environment, **facts},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _answer(self, connection: socket.socket, address: object, server: object) -> None:
        lines = connection.makefile("rw", encoding="utf-8")
        told = json.loads(lines.readline())
        (node,) = [option.partition("=")[2] for option in told["options"] if option.startswith("--nodelist=")]
        self.steps.append((node, told["command"]))
        (host,) = [host for host in self.hosts.all if host.name == node]
        process = subprocess.Popen(
            host.command("env", f"--chdir={told['cwd']}", *told["command"]),
            env=told["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

        def pass_on() -> None:
            for _ in lines:  # one line, TERM; or none, if srun was killed
                break
            for pid in netns.children(process.pid):
                os.kill(pid, signal.SIGTERM)

        threading.Thread(target=pass_on, daemon=True).start()
        with process:
            assert process.stdout is not None
            for said in process.stdout:
                lines.write(json.dumps(["out", said]) + "\n")
                lines.flush()
        lines.write(json.dumps(["exit", process.returncode % 256]) + "\n")
        lines.flush()
