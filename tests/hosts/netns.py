"""Hosts on this machine: network namespaces with addresses of their own, plugged into one bridge.

The bridge lies in a namespace too, so that nothing of the machine's own network is touched. All hosts share the file
system, as machines with one mounted folder do, but for a folder of its own that each has under the same path.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.0.0"  # that of clusters/on_prem.yaml
USER = "ubuntu"
PORT = 6379
OBJECT_STORE_BYTES = 256 * 2**20
START_S = 60.0


def why_not() -> str | None:
    """Why hosts cannot be made here; None if they can."""
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (Debian: iproute2)"
    probe = f"probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    try:
        linked = subprocess.run(
            ["ip", "-n", probe, "link", "add", "probe", "type", "bridge"], capture_output=True, text=True
        )
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=True)
    return f"network bridges are not permitted here: {linked.stderr.strip()}" if linked.returncode else None


@dataclass
class Host:
    """One host: namespaces of its own for network, processes, mounts and name, and its plug in the bridge.

    Attributes:
        address: its own, on the bridge's network.
        own: its folder, with its user's home; its own processes see it under the path that all hosts share.
        keeper: the process that holds the namespaces; its end is that of the host's first process, and so of all.
    """

    name: str
    address: str
    bridge: str
    namespace: str
    keeper: subprocess.Popen[str]
    own: Path

    @classmethod
    def boot(cls, number: int, bridge: str, own: Path, here: Path) -> Host:
        """A running host; its processes see its folder `own` as `here`, where those of others see theirs."""
        namespace, name, address = f"{bridge}-{number}", f"host{number}", f"{NETWORK}.{number}"
        (own / "home").mkdir(parents=True)
        # Its own name must be known to a host, or each question for it waits for a name server that does not answer.
        (own / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (own / "passwd").write_text(f"{USER}:x:0:0::{here}/home:/bin/bash\n{Path('/etc/passwd').read_text()}")
        # Ray looks for the node of a driver among all processes that it sees, and in the files under one path.
        first = f"""hostname {name} && mount -t tmpfs tmpfs /run && mount --bind {own} {here} &&
            mount --bind {here}/hosts /etc/hosts && mount --bind {here}/passwd /etc/passwd &&
            echo up || exit
            while :; do sleep infinity & wait; done"""
        _ip("netns", "add", namespace)
        keeper = subprocess.Popen(
            ["ip", "netns", "exec", namespace, "unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child",
             "--mount-proc", "sh", "-c", first],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        host = cls(name, address, bridge, namespace, keeper, own)
        assert keeper.stdout is not None
        if (said := keeper.stdout.readline()) != "up\n":
            host.end()
            raise AssertionError(f"{name} did not come up: {said}")
        return host

    def plug_in(self) -> None:
        """Connect it with the bridge, as its network says it should be."""
        _ip("-n", self.bridge, "link", "add", self.name, "type", "veth", "peer", "eth0", "netns", self.namespace)
        _ip("-n", self.bridge, "link", "set", self.name, "master", "switch", "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", link, "up")
        # Nobody answers there, but Ray finds its own address by asking which one a way out would have.
        _ip("-n", self.namespace, "route", "add", "default", "via", f"{NETWORK}.254")

    def command(self, *arguments: str) -> list[str]:
        """What runs `arguments` on this host, as the one child of the process that it starts."""
        (first,) = children(self.keeper.pid)
        return ["nsenter", "--target", str(first), "--net", "--pid", "--mount", "--uts", *arguments]

    def cut(self) -> None:
        """Cut its link: packets get lost and nobody is told, as when a cable is pulled behind the next switch."""
        _ip("-n", self.bridge, "link", "set", self.name, "nomaster")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", self.bridge, "link", "set", self.name, "master", "switch")

    def received_bytes(self) -> int:
        """What came in over its link so far."""
        shown = subprocess.run(self.command("cat", "/proc/net/dev"), capture_output=True, text=True, check=True)
        (line,) = [line for line in shown.stdout.splitlines() if line.strip().startswith("eth0:")]
        return int(line.split(":")[1].split()[0])

    def kill(self) -> None:
        """End all its processes; the host itself stays, and tells whoever talks to them that they are gone."""
        subprocess.run(self.command("sh", "-c", "kill -KILL -1"))  # it does not survive this itself

    def end(self) -> None:
        """Take its power: processes and link are gone at once."""
        for first in children(self.keeper.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
        self.keeper.wait(timeout=20)
        assert self.keeper.stdout is not None
        self.keeper.stdout.close()
        _ip("netns", "del", self.namespace)


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that are still there."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class Hosts:
    """A bridge, the hosts that are plugged into it, and a Ray cluster on them; the first host is its head.

    Args:
        folder: an empty one for the files of the hosts. Its name, which must be unique, is the bridge's too; its path
            must be short, because those of Ray's sockets must be.
        environment: what every process of Ray sees beside this process's environment.

    Attributes:
        environment: what Ray's processes and drivers see: the cluster asks for a token.
        here: the path under which each host sees its own folder.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._name = folder.name
        self.here = folder / "here"
        self.here.mkdir()
        token = folder / "token"
        token.write_text(secrets.token_hex(32), encoding="utf-8")
        token.chmod(0o600)
        self.environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(self.here / "home"),
            "RAY_TMPDIR": str(self.here),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **environment,
        }
        self.all: list[Host] = []
        self._made = 0

    @property
    def address(self) -> str:
        """Of the head, for drivers."""
        return f"{self.all[0].address}:{PORT}"

    def __enter__(self) -> Hosts:
        _ip("netns", "add", self._name)
        try:
            _ip("-n", self._name, "link", "add", "switch", "type", "bridge")
            _ip("-n", self._name, "link", "set", "switch", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        while self.all:
            self.end(self.all[-1])
        _ip("netns", "del", self._name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self) -> Host:
        """One more host, without Ray."""
        self._made += 1
        host = Host.boot(self._made, self._name, self._folder / str(self._made), self.here)
        self.all.append(host)
        host.plug_in()
        return host

    def end(self, host: Host) -> None:
        """Take the power from a host, which is none of them any more."""
        self.all.remove(host)
        host.end()

    def start_ray(self, host: Host, cpus: int = 4, gpus: int = 1) -> None:
        """Start a Ray node on `host`; returns when it has joined."""
        head = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        arguments = head if host is self.all[0] else [f"--address={self.address}"]
        command = host.command(
            sys.executable, "-m", "ray.scripts.scripts", "start", *arguments,
            f"--node-ip-address={host.address}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--object-store-memory={OBJECT_STORE_BYTES}",
        )  # fmt: skip
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=START_S)
        assert done.returncode == 0, done.stdout + done.stderr


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
