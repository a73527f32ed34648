"""A user's training script, for tests: the score is `level` plus a little for every step; it dies once if asked to."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--level", type=float)
parser.add_argument("--kills", type=int, default=0)
parser.add_argument("--pace", type=float, default=0.0)
parser.add_argument("--resume", action="store_true")
given = parser.parse_args()
markers = Path(os.environ["FAULTY_MARKERS"])
subprocess.Popen(["sleep", f"{given.level + 600:.6f}"], start_new_session=True)  # like a data loader that outlives it
start = int((given.out / "step").read_text()) if given.resume else 0
for step in range(start, 61):
    if step % 10 == 0:
        print(f"step {step}: score {given.level + step / 1000}, here {step - start}")
        (given.out / "step").write_text(str(step))
        time.sleep(given.pace)
    if step == 45 and given.kills and not (markers / "own-script-killed").exists():
        (markers / "own-script-killed").touch()
        time.sleep(1.5)  # a worker saves after a second
        os.kill(given.kills, 9)
    if given.level > 0.85:
        print("no such level", file=sys.stderr)
        sys.exit(4)
