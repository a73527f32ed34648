"""Optimizers without torch's overhead, and training steps with them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from tune_app.tasks.optimization import OPTIMIZERS, Optimization, build_optimizer

PLAIN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9, weight_decay=0.01),
}
SCRIPT = """
import sys
from tune_app.datasets import load_dataset
from tune_app.tasks import load_task
from tune_app.training.trial import Training
task = load_task("image_cnn")
config = {v.name: v.default for v in task.variables} | {"gradient_clip": 1.0, "optimizer": sys.argv[1]}
training = Training(task, config, load_dataset("digits").head(64), epochs=1, seed=0, threads=1)
training.run_epoch()
training.save(sys.argv[2])
training.restore(sys.argv[2])
print("torch._dynamo" in sys.modules)
"""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_steps_match_torchs(name: str) -> None:
    ours, theirs = network(), network()
    rows = torch.randn(16, 4)
    first = build_optimizer(name, ours.parameters(), learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    second = PLAIN[name](theirs.parameters())
    assert type(first).__mro__[1] is type(second)
    steps = Optimization(first, 0.1, "constant", total_steps=9, warmup=0, gradient_clip=0)
    for number in range(6):
        steps.advance()
        steps.follow(ours(rows).square().mean())
        second.zero_grad()
        theirs(rows).square().mean().backward()
        second.step()
        if number == 2:  # a restored optimizer continues as torch's own does
            saved = steps.state_dict()
            fresh = build_optimizer(name, ours.parameters(), learning_rate=0.1, momentum=0.9, weight_decay=0.01)
            steps = Optimization(fresh, 0.1, "constant", total_steps=9, warmup=0, gradient_clip=0)
            steps.load_state_dict(saved)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_does_not_import_the_compiler(tmp_path: pytest.TempPathFactory) -> None:
    command = [sys.executable, "-c", SCRIPT, "adamw", f"{tmp_path}/checkpoint.pt"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"
