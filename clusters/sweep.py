"""What `ray submit` runs on the head: `tune-app run` with your arguments, on the head's own cluster.

ray submit cluster.yaml clusters/sweep.py search_spaces/cifar10_cnn.yaml --gpus 0.25 --store s3://bucket/results
"""

import os
import sys
from pathlib import Path

from tune_app.cli.main import main

# Ray copies only this file, to the user's home folder; the project is where `file_mounts` puts it.
os.chdir(Path.home() / "tune-app")
main(["run", *sys.argv[1:], "--address", "auto"])
