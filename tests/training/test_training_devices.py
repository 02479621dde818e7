import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tercet.testing.checkpoints import write_tercet
from tercet.training.loop.checkpoints import last_checkpoint

SCRIPT = Path(__file__).with_name("one_of_two_devices.py")


def start(model: Path, out: Path, *, rank: int, port: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, str(SCRIPT), str(model), str(out), "2"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def gradients_of_two(model: Path, out: Path) -> list[dict[str, torch.Tensor]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [start(model, out, rank=rank, port=port) for rank in range(2)]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return [load_file(f"{out}.{rank}") for rank in range(2)]


def test_two_devices_that_share_negatives_have_the_gradients_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tercet(tmp_path / "model", layers=1, positions=128)
    config = (model / "config.json").read_text()
    (model / "config.json").write_text(config.replace('_prob": 0.1', '_prob": 0.0'))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(model), str(tmp_path / "one"), "4"])
    runpy.run_path(str(SCRIPT))
    alone = load_file(tmp_path / "one.0")
    both = gradients_of_two(model, tmp_path / "two")
    assert len(alone) > 15
    for name, gradient in alone.items():
        for found in both:
            assert torch.allclose(gradient, found[name], atol=1e-6), name
    checkpoint = last_checkpoint(tmp_path / "two")
    assert checkpoint is not None
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in checkpoint.iterdir()}
