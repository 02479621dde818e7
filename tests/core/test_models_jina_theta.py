"""The base of rotary positions comes from the checkpoint."""

import json
from pathlib import Path

import pytest

from tercet.encoding.checkpoint import Checkpoint
from tercet.testing.checkpoints import write_jina_colbert


@pytest.mark.parametrize(("named", "theta"), [(None, 10_000.0), (20_000.0, 20_000.0)])
def test_the_rotary_base_is_the_named_one_or_that_of_the_paper(
    tmp_path: Path, named: float | None, theta: float
) -> None:
    write_jina_colbert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rotary_emb_base"]
    if named is not None:
        config["rotary_emb_base"] = named
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = Checkpoint.open(tmp_path).spec
    assert spec.config["rope_parameters"]["rope_theta"] == theta
