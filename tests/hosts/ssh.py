"""Hosts as Ray's cluster launcher wants them: reachable by SSH with a key, with tune-app's environment already made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
import venv
from pathlib import Path

import netns

SSHD = "/usr/sbin/sshd"
INSTALLED = "tune-app"  # where clusters/on_prem.yaml puts the project, below the user's home


def why_not() -> str | None:
    """Why such hosts cannot be made here; None if they can."""
    for program, package in ((SSHD, "openssh-server"), ("ssh-keygen", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(program) is None:
            return f"the cluster launcher's tests need {program} (Debian: {package})"
    return None


def make_key(host: netns.Host) -> str:
    """Put an SSH key into the home folder of `host`'s user; returns the public half."""
    folder = host.own / "home" / ".ssh"
    folder.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id_ed25519"], check=True)
    return (folder / "id_ed25519.pub").read_text()


def serve(host: netns.Host, key: str, here: Path) -> None:
    """Start sshd on `host`; anyone who has `key` can log in. It ends with the host."""
    home = host.own / "home"
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "authorized_keys").write_text(key)
    shutil.copy("/etc/skel/.bashrc", home)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host.own / "host_key"], check=True)
    settings = {
        "ListenAddress": host.address,
        "HostKey": here / "host_key",
        "AuthorizedKeysFile": here / "home/.ssh/authorized_keys",
        "PasswordAuthentication": "no",
        "StrictModes": "no",  # the folders above belong to the user who runs the tests
        "PidFile": "none",
        "SetEnv": f"RAY_TMPDIR={here} RAY_USAGE_STATS_ENABLED=0",
    }
    (host.own / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    # sshd needs /run/sshd, which is private to the host.
    start = f"mkdir -p /run/sshd && setsid --fork {SSHD} -D -f {here}/sshd_config -E {here}/sshd.log"
    subprocess.run(host.command("sh", "-c", start), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    deadline = time.monotonic() + 10
    while subprocess.run(host.command("bash", "-c", f"</dev/tcp/{host.address}/22"), capture_output=True).returncode:
        assert time.monotonic() < deadline, (host.own / "sshd.log").read_text()
        time.sleep(0.1)


def install(host: netns.Host, here: Path) -> None:
    """Make what `make install-node` makes, from this process's packages, so that the launcher has nothing to install.

    The project's code itself comes from the launcher.
    """
    environment = host.own / "home" / INSTALLED / ".venv"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    ours = sysconfig.get_paths()["purelib"]
    (packages / "found.pth").write_text(f"{here}/home/{INSTALLED}\n{ours}\n")
    for command, module, function in (
        ("ray", "ray.scripts.scripts", "main"),
        ("tune-app", "tune_app.__main__", "main"),
    ):
        script = environment / "bin" / command
        python = here / "home" / INSTALLED / ".venv/bin/python"
        script.write_text(f"#!{python}\nfrom {module} import {function}\n{function}()\n")
        script.chmod(0o755)
    stamp = environment / ".installed-node"
    stamp.touch()
    os.utime(stamp, (time.time() + 10**6,) * 2)  # newer than the files that the launcher brings
