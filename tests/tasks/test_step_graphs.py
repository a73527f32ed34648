"""Steps as CUDA graphs: which ones are recorded, what happens if none can be, and a fake of CUDA's part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tune_app.datasets import load_dataset
from tune_app.spaces.variable import Config
from tune_app.tasks import load_task, replica, step_graphs
from tune_app.tasks.optimization import Optimization, build_optimizer
from tune_app.tasks.step_graphs import MOST_GRAPHS, WARM_UPS, StepGraphs
from tune_app.tasks.text_lstm import GPU_WIDTHS, Texts
from tune_app.training.trial import Training, prepared

CUDA = torch.device("cuda")
DATA = {"image_cnn": "digits", "text_lstm": "stdlib_docs", "small_gpt": "python_reference"}
SMALL: dict[str, Config] = {
    "image_cnn": {"batch_size": 300, "filters": 4, "dropout": 0.2, "shift": 0.1, "noise": 0.1},
    "text_lstm": {"units": 4, "max_length": 8, "batch_size": 128, "word_dropout": 0.1},
    "small_gpt": {"iterations": 5, "n_layer": 1, "n_embd": 16, "dropout": 0.1, "validation_fraction": 0.01},
}


class FakeStream:
    """A stream to wait for; on the CPU there is nothing to wait for."""

    def wait_stream(self, other: FakeStream) -> None:
        pass


class FakeCUDA:
    """A GPU that can record graphs; they do nothing, but their replays are counted."""

    def __init__(self) -> None:
        self.streams = [FakeStream()]
        self.recording = False
        self.replays = 0
        self.pools = 0
        self.ended: list[tuple[int, int]] = []
        self.used_pools: list[tuple[int, int]] = []

    def Stream(self, device: torch.device) -> FakeStream:  # noqa: N802
        return FakeStream()

    def CUDAGraph(self) -> Any:  # noqa: N802
        cuda = self

        class Graph:
            def replay(self) -> None:
                cuda.replays += 1

        return Graph()

    def graph_pool_handle(self) -> tuple[int, int]:
        self.pools += 1
        return (0, self.pools)

    def current_device(self) -> int:
        return 0

    def current_stream(self, device: torch.device) -> FakeStream:
        return self.streams[-1]

    def set_stream(self, stream: FakeStream) -> None:
        self.streams = [stream]

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.streams.append(stream)
        yield
        self.streams.pop()

    @contextmanager
    def graph(
        self, graph: Any, pool: tuple[int, int], stream: FakeStream, *, capture_error_mode: str
    ) -> Iterator[None]:
        self.used_pools.append(pool)
        self.streams.append(stream)
        self.recording = True
        try:
            yield
        except Exception:
            raise RuntimeError("the end of the capture failed too")  # noqa: B904  # its stream stays set, as in torch
        finally:
            self.recording = False
        self.streams.pop()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCUDA]:
    fake = FakeCUDA()
    for name in [name for name in dir(FakeCUDA) if not name.startswith("_")]:
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    monkeypatch.setattr(
        torch._C, "_cuda_endAllocateToPool", lambda device, pool: fake.ended.append(pool), raising=False
    )
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *sizes, device=None, **more: zeros(*sizes, **more))
    step_graphs._stream.cache_clear()
    yield fake
    step_graphs._stream.cache_clear()


def training(name: str) -> Training:
    """A small training of two epochs whose steps draw random numbers."""
    task = load_task(name)
    config = {v.name: v.default for v in task.variables} | SMALL[name]
    return Training(task, config, prepared(task, config, load_dataset(DATA[name])), epochs=2, seed=0)


@pytest.mark.parametrize("name", DATA)
def test_on_a_cpu_every_step_runs_directly(name: str) -> None:
    state: Any = training(name).state
    assert state.graphs.why_not == "CUDA graphs need a CUDA GPU, but this training runs on `cpu`"
    assert state.optimization.rate is None


@pytest.mark.parametrize("name", DATA)
def test_replaying_a_recorded_step_trains_the_same_way(
    cuda: FakeCUDA, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Steps differ only in their rows: here, replaying a recorded step calls it again with the rows in its buffer."""

    def keep(device: torch.device, graph: Any, pool: Any, step: Callable[[], Tensor]) -> Tensor:
        loss = torch.empty(())
        graph.replay = lambda: loss.copy_(step())
        return loss

    usual, ours = training(name), training(name)
    state: Any = ours.state
    state.graphs = StepGraphs(CUDA)
    monkeypatch.setattr(step_graphs, "_recorded", keep)
    for epoch in (1, 2):
        assert ours.run_epoch().metrics == usual.run_epoch().metrics
        assert state.graphs.recorded >= 1
        if epoch == 1:
            ours.save(tmp_path / "checkpoint.pt")
    ours.restore(tmp_path / "checkpoint.pt")
    assert state.graphs.recorded == 0
    assert ours.run_epoch().metrics == usual.history[-1].metrics


def test_several_devices_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "in_group", lambda: True)
    assert "several devices" in str(StepGraphs(CUDA).why_not)


def test_a_shape_is_recorded_after_its_warm_up(cuda: FakeCUDA) -> None:
    called: list[tuple[list[int], tuple[int, ...], bool]] = []

    def step(rows: Tensor, *sizes: int) -> Tensor:
        called.append((rows.tolist(), sizes, cuda.recording))
        return rows.sum()

    graphs = StepGraphs(CUDA)
    for number in range(WARM_UPS):
        assert graphs.run(step, torch.tensor([number, 1]), 5) == number + 1
    assert graphs.recorded == 0
    first = graphs.run(step, torch.tensor([8, 8]), 5)
    assert called[-1] == ([8, 8], (5,), True)
    assert (graphs.recorded, cuda.replays) == (1, 1)
    assert graphs.run(step, torch.tensor([9, 9]), 5) is first  # the tensor that the graph writes
    assert len(called) == WARM_UPS + 1
    (recording,) = graphs._recordings.values()
    assert recording.rows.tolist() == [9, 9]  # the buffer that the graph reads
    graphs.run(step, torch.tensor([1]), 5)
    graphs.run(step, torch.tensor([9, 9]), 6)
    assert (graphs.recorded, cuda.replays) == (1, 2)
    graphs.forget()
    graphs.run(step, torch.tensor([9, 9]), 5)
    assert (graphs.recorded, cuda.replays) == (0, 2)
    assert len(cuda.streams) == 1


def test_the_number_of_recorded_shapes_is_limited(cuda: FakeCUDA) -> None:
    graphs = StepGraphs(CUDA)
    for width in range(MOST_GRAPHS + 2):
        for _ in range(WARM_UPS + 1):
            graphs.run(lambda rows, width: rows.sum(), torch.ones(2), width)
    assert graphs.recorded == MOST_GRAPHS
    assert graphs.why_not is None
    assert len(set(cuda.used_pools)) == 1


def test_a_step_that_cannot_be_recorded_still_trains(cuda: FakeCUDA, caplog: pytest.LogCaptureFixture) -> None:
    before = cuda.streams[0]

    def step(rows: Tensor) -> Tensor:
        if cuda.recording:
            raise ValueError("the step waits for the GPU")
        return rows.sum()

    graphs = StepGraphs(CUDA)
    losses = [graphs.run(step, torch.tensor([number])).item() for number in range(WARM_UPS + 3)]
    assert losses == list(range(WARM_UPS + 3))
    assert graphs.why_not == "capturing the step failed: ValueError: the step waits for the GPU"
    assert [record.getMessage().count("the step waits for the GPU") for record in caplog.records] == [1]
    assert cuda.streams == [before]
    assert cuda.ended == cuda.used_pools[:1]
    assert cuda.replays == 0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_checkpoint_from_a_gpu_continues_on_a_cpu(name: str) -> None:
    def steps() -> tuple[nn.Linear, Optimization]:
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = build_optimizer(name, model.parameters(), learning_rate=0.1, momentum=0.9, weight_decay=0.01)
        return model, Optimization(optimizer, 0.1, "cosine", total_steps=9, warmup=0, gradient_clip=1.0)

    def train(model: nn.Linear, optimization: Optimization) -> None:
        optimization.advance()
        optimization.follow(model(torch.ones(2, 3)).square().sum())

    model, optimization = steps()
    train(model, optimization)
    saved = copy.deepcopy(optimization.state_dict())
    for group in saved["optimizer"]["param_groups"]:  # as saved on a GPU
        group["lr"] = torch.tensor(0.05)
        if "capturable" in group:
            group["capturable"] = True
    other, restored = steps()
    other.load_state_dict(model.state_dict())
    restored.load_state_dict(saved)
    for pair in ((model, optimization), (other, restored)):
        train(*pair)
    assert torch.equal(model.weight, other.weight)


def test_texts_on_a_gpu_have_few_widths() -> None:
    lengths = torch.tensor([3, 31, 33, 40, 70, 1])
    texts = Texts(torch.ones(6, 70), lengths, lengths, lengths)
    rows = torch.arange(6)
    assert [width for _, width in texts.parts(rows, 6)] == lengths.tolist()
    assert [width for _, width in texts.parts(rows, 6, GPU_WIDTHS)] == [32, 32, 64, 64, 70, 32]
