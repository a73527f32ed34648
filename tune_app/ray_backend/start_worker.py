"""The worker program of a local node: Ray's own program, tied to its raylet from the first moment.

Normally a worker only notices the death of its raylet once it is connected. A worker that is still starting would try
to reach the dead node for 25 s, and import torch, on the cores that the next sweep needs.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run a Ray worker until the raylet ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ["RAY_RAYLET_PID"]):  # it died before the call
            sys.exit(1)
    sys.path.pop(0)  # this folder: its modules are imported from their package
    from tune_app.process import run_and_leave

    run_and_leave(_work)


def _work() -> int:
    """Run Ray's program, which exits itself."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "_private" / "workers" / "default_worker.py"
    sys.path.insert(0, str(program.parent))
    sys.argv[0] = str(program)
    runpy.run_path(str(program), run_name="__main__")
    return 0


if __name__ == "__main__":
    main()
