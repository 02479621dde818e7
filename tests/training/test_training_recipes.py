import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tercet import Encoder
from tercet.cli.app import app
from tercet.errors import RecipeError
from tercet.testing.checkpoints import write_bge_m3, write_dense
from tercet.training.recipes.recipe import read_recipe

STAGE = """
[[stages]]
kind = "m3"
train = "{train}"
{more}
[stages.batching]
documents = 2
groups = [{{ tokens = 16, batch = 4 }}, {{ tokens = 64, batch = 2 }}]
[stages.optimisation]
steps = {steps}
learning_rate = 1e-3
save_every = 1
"""

RECIPE = """
seed = 7
[model]
source = "start"
sparse = true
multi_vector = 16
[data]
examples = ["examples.jsonl"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bge_m3(tmp_path / "start", positions=130)
    examples = [
        {
            "query": f"where is place {n}",
            "pos": [f"place {n} is behind the hill " * (1 + n % 3)],
            "neg": [f"nobody knows the place {n + 1}", "something else"],
        }
        for n in range(12)
    ]
    lines = "\n".join(json.dumps(example) for example in examples)
    (tmp_path / "examples.jsonl").write_text(lines)
    return tmp_path


def run(folder: Path, recipe: str, *options: str) -> tuple[int, str]:
    (folder / "recipe.toml").write_text(recipe)
    done = CliRunner().invoke(
        app, ["train", str(folder / "recipe.toml"), "--out", str(folder / "out"), *options]
    )
    return done.exit_code, done.stderr


def test_a_recipe_leaves_a_model_that_makes_three_views(folder: Path) -> None:
    stages = STAGE.format(train="heads", steps=1, more="") + STAGE.format(
        train="lora", steps=1, more="sub_batch_tokens = 64"
    )
    code, said = run(folder, RECIPE + stages)
    assert (code, "the model is in" in said) == (0, True), said
    encoder = Encoder.from_pretrained(folder / "out", device="cpu")
    assert encoder.representations == ("dense", "sparse", "multi_vector")


def test_a_dense_model_is_given_the_heads_that_a_recipe_asks_for(folder: Path) -> None:
    write_dense(folder / "dense")
    recipe = RECIPE.replace('"start"', '"dense"') + STAGE.format(train="heads", steps=1, more="")
    code, said = run(folder, recipe, "--quiet")
    assert code == 0, said
    assert Encoder.from_pretrained(folder / "out").spec.multi_vector_dim == 16


def test_an_interrupted_command_says_how_to_go_on_and_goes_on(folder: Path) -> None:
    recipe = RECIPE + "".join(
        STAGE.format(train="heads", steps=steps, more="") for steps in (1, 30)
    )
    begun = folder / "out.training/2-m3/checkpoint-1"

    def press() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press, daemon=True)
    pressing.start()
    code, said = run(folder, recipe)
    pressing.join()
    assert code == 130
    assert "interrupted: stopped behind step" in said
    assert "go on with: tercet train" in said
    assert not (folder / "out").exists()
    code, said = run(folder, recipe)
    assert (code, "go on with --resume, or remove it" in said) == (1, True)
    code, said = run(folder, recipe.replace("seed = 7", "seed = 8"), "--resume")
    assert (code, "not the one that the stopped run followed" in said) == (1, True)
    code, said = run(folder, recipe, "--resume")
    assert code == 0, said
    assert Encoder.from_pretrained(folder / "out").spec.multi_vector_dim == 32


def test_there_must_be_a_run_to_go_on_with(folder: Path) -> None:
    code, said = run(folder, RECIPE + STAGE.format(train="all", steps=1, more=""), "--resume")
    assert (code, "no run to go on with" in said) == (1, True)


def test_an_unknown_key_is_named_with_the_nearest_one(folder: Path) -> None:
    code, said = run(folder, RECIPE + STAGE.format(train="all", steps=1, more="temprature = 0.1"))
    assert code == 1
    assert "[stages[0]] has no key 'temprature'; did you mean 'temperature'?" in said


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("stages = [", "no TOML"),
        ("[modell]\n", "no table or key 'modell'; did you mean 'model'?"),
        ("[model]\n", "[model] lacks 'source'"),
        ("model = 3", "model is 3; a table belongs there"),
        ('[model]\nsource = "x"\n', "at least one [[stages]]"),
        ('seed = -1\n[model]\nsource = "x"\n', "seed is -1"),
        ('[model]\nsource = "x"\n[[stages]]\n', "lacks its kind"),
        ('[model]\nsource = "x"\n[[stages]]\nkind = "m4"\n', "no kind of stage 'm4'"),
        ('[model]\nsource = "x"\n[[stages]]\nkind = "m3"\ntrain = "al"\n', "did you mean 'all'?"),
        (
            '[model]\nsource = "x"\n[[stages]]\nkind = "m3"\ntemperature = true\n',
            "stages[0].temperature is True; float belongs there",
        ),
        (
            '[model]\nsource = "x"\n[[stages]]\nkind = "m3"\nbatching = {groups = 3}\n',
            "stages[0].batching.groups is 3; a list belongs there",
        ),
        (
            '[model]\nsource = "x"\n[[stages]]\nkind = "m3"\nbatching = 3\n',
            "stages[0].batching is 3; a table belongs there",
        ),
        (
            '[model]\nsource = "x"\n[[stages]]\nkind = "m3"\noptimisation = {keep = 0}\n',
            "keep is 0; at least 1",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, recipe: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    with pytest.raises(RecipeError) as error:
        read_recipe(path)
    assert message in str(error.value)
