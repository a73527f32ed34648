"""Hosts on this machine: network namespaces, each with its own address, plugged into one bridge.

The bridge has a namespace too, so the machine's own network is not touched. All hosts share the file system, like
machines with a mounted folder, except for one private folder that each host sees under the same path.
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

NETWORK = "10.0.0"  # the one in clusters/on_prem.yaml
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
    """One host: its own network, process, mount and hostname namespaces, and its port on the bridge.

    Attributes:
        address: its address on the bridge's network.
        own: its private folder, with its user's home; its processes see it under the path that all hosts share.
        keeper: the process that holds the namespaces; when it ends, the host's first process ends, and so do all.
    """

    name: str
    address: str
    bridge: str
    namespace: str
    keeper: subprocess.Popen[str]
    own: Path

    @classmethod
    def boot(cls, number: int, bridge: str, own: Path, here: Path) -> Host:
        """Start a host; its processes see its folder `own` as `here`, as other hosts' processes see theirs."""
        namespace, name, address = f"{bridge}-{number}", f"host{number}", f"{NETWORK}.{number}"
        (own / "home").mkdir(parents=True)
        # A host must be able to resolve its own name, or each lookup waits for a name server that does not answer.
        (own / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (own / "passwd").write_text(f"{USER}:x:0:0::{here}/home:/bin/bash\n{Path('/etc/passwd').read_text()}")
        # Ray looks for a driver's node among all processes that it sees, and in the files under one path.
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
        """Connect the host to the bridge and configure its network."""
        _ip("-n", self.bridge, "link", "add", self.name, "type", "veth", "peer", "eth0", "netns", self.namespace)
        _ip("-n", self.bridge, "link", "set", self.name, "master", "switch", "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", link, "up")
        # Nothing answers there, but Ray finds its own address by asking which one an outgoing route would use.
        _ip("-n", self.namespace, "route", "add", "default", "via", f"{NETWORK}.254")

    def command(self, *arguments: str) -> list[str]:
        """The command that runs `arguments` on this host, as the only child of the process it starts."""
        (first,) = children(self.keeper.pid)
        return ["nsenter", "--target", str(first), "--net", "--pid", "--mount", "--uts", *arguments]

    def cut(self) -> None:
        """Cut the link: packets are silently lost, as when a cable is pulled behind the next switch."""
        _ip("-n", self.bridge, "link", "set", self.name, "nomaster")

    def mend(self) -> None:
        """Restore the link."""
        _ip("-n", self.bridge, "link", "set", self.name, "master", "switch")

    def received_bytes(self) -> int:
        """How many bytes came in over the link so far."""
        shown = subprocess.run(self.command("cat", "/proc/net/dev"), capture_output=True, text=True, check=True)
        (line,) = [line for line in shown.stdout.splitlines() if line.strip().startswith("eth0:")]
        return int(line.split(":")[1].split()[0])

    def kill(self) -> None:
        """Kill all its processes; the host itself stays up, and its peers learn that they are gone."""
        subprocess.run(self.command("sh", "-c", "kill -KILL -1"))  # it does not survive this itself

    def end(self) -> None:
        """Cut its power: processes and link are gone at once."""
        for first in children(self.keeper.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
        self.keeper.wait(timeout=20)
        assert self.keeper.stdout is not None
        self.keeper.stdout.close()
        _ip("netns", "del", self.namespace)


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that still exist."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class Hosts:
    """A bridge, the hosts plugged into it, and a Ray cluster on them; the first host is the head.

    Args:
        folder: an empty folder for the hosts' files. Its name must be unique, since the bridge gets it too; its path
            must be short, because the paths of Ray's sockets must be.
        environment: variables for every Ray process, in addition to this process's environment.

    Attributes:
        environment: the environment of Ray's processes and drivers; the cluster requires a token.
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
        """The head's address, for drivers."""
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
        """Add a host, without Ray."""
        self._made += 1
        host = Host.boot(self._made, self._name, self._folder / str(self._made), self.here)
        self.all.append(host)
        host.plug_in()
        return host

    def end(self, host: Host) -> None:
        """Cut a host's power and remove it."""
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
