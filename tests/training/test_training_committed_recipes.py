import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tercet import Encoder
from tercet.cli.app import app
from tercet.testing.checkpoints import write_bge_m3
from tercet.training.recipes.recipe import read_recipe

RECIPES = Path(__file__).parents[2] / "cookbooks/recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_committed_recipe_is_well_formed(path: Path) -> None:
    assert read_recipe(path).stages


def test_the_tiny_recipe_trains_three_views_in_seconds(tmp_path: Path) -> None:
    for name in ("tiny.toml", "tiny.jsonl"):
        shutil.copy(RECIPES / name, tmp_path)
    write_bge_m3(tmp_path / "start", positions=258)
    command = ["train", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "tiny"), "--quiet"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    encoder = Encoder.from_pretrained(tmp_path / "tiny", device="cpu")
    assert encoder.representations == ("dense", "sparse", "multi_vector")
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "is not empty" in again.stderr) == (1, True)
