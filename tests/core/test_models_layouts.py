"""Each published layout is recognised by its content, and bad ones are told what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from tercet.embeddings import Representation
from tercet.encoding.checkpoint_files import FolderFiles
from tercet.errors import CheckpointError, MissingTensorError, UnknownLayoutError
from tercet.models.layouts import detect
from tercet.models.registry import PUBLISHED
from tercet.models.spec import Expansion, ModelSpec, TextSide
from tercet.testing.checkpoints import (
    drop_tensor,
    write_bge_m3,
    write_colbert_v2,
    write_colbert_xlm_roberta,
    write_dense,
    write_jacolbert,
    write_jina_colbert,
    write_multi_vector,
    write_pylate,
    write_tercet,
)


def read(folder: Path) -> ModelSpec:
    return detect(FolderFiles(folder))


def change_json(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


class TestTercet:
    def test_its_own_layout_gives_three_views(self, tmp_path: Path) -> None:
        spec = read(write_tercet(tmp_path, dim=16, max_tokens=100))
        assert spec.layout == "tercet"
        assert spec.representations == tuple(Representation)
        assert (spec.dense_dim, spec.max_tokens, spec.license) == (32, 100, "mit")
        assert spec.dense is not None
        assert spec.dense.pooling == ("mean",)
        assert spec.multi_vector is not None
        assert (spec.multi_vector.dim, spec.multi_vector.reduction) == (16, "mean")
        assert spec.multi_vector.layers[0].bias is False
        assert spec.hybrid_weights == {"dense": 1.0, "sparse": 0.25, "multi_vector": 0.5}

    def test_views_that_the_settings_leave_out_are_none(self, tmp_path: Path) -> None:
        spec = read(write_tercet(tmp_path, views=("dense",)))
        assert spec.representations == (Representation.DENSE,)

    def test_a_newer_format_is_refused(self, tmp_path: Path) -> None:
        write_tercet(tmp_path, settings={"format": 2})
        with pytest.raises(UnknownLayoutError, match=r"format 2, this version reads 1"):
            read(tmp_path)

    @pytest.mark.parametrize("settings", [{"pooling": None}, {"hybrid_weights": {"x": 1}}])
    def test_damaged_settings_are_named(self, tmp_path: Path, settings: dict[str, Any]) -> None:
        write_tercet(tmp_path, settings=settings)
        if settings == {"pooling": None}:
            change_json(tmp_path / "tercet.json", pooling=...)
        with pytest.raises(CheckpointError, match=r"tercet\.json of .* is damaged"):
            read(tmp_path)

    def test_a_head_of_another_size_than_the_settings_say_is_refused(self, tmp_path: Path) -> None:
        write_tercet(tmp_path, settings={"multi_vector": {"dim": 99}})
        with pytest.raises(CheckpointError, match="16 dimensions, not 99"):
            read(tmp_path)

    def test_missing_heads_are_named(self, tmp_path: Path) -> None:
        write_tercet(tmp_path)
        drop_tensor(tmp_path / "heads.safetensors", "sparse_linear.weight")
        with pytest.raises(MissingTensorError, match=r"'sparse_linear\.weight'.*colbert_linear"):
            read(tmp_path)
        (tmp_path / "heads.safetensors").unlink()
        with pytest.raises(MissingTensorError, match=r"heads\.safetensors is not in"):
            read(tmp_path)


class TestBgeM3:
    def test_its_heads_give_three_views(self, tmp_path: Path) -> None:
        spec = read(write_bge_m3(tmp_path, multi_vector_dim=24))
        assert spec.layout == "bge-m3"
        assert spec.max_tokens == 8192
        assert spec.dense is not None
        assert spec.dense.pooling == ("cls",)
        assert spec.multi_vector is not None
        assert (spec.multi_vector.dim, spec.multi_vector.reduction) == (24, "mean")
        assert spec.multi_vector.keep_first is False
        assert spec.multi_vector.expansion is None
        assert spec.hybrid_weights == {"dense": 1.0, "sparse": 0.3, "multi_vector": 1.0}

    def test_a_copy_in_safetensors_is_the_same_model(self, tmp_path: Path) -> None:
        spec = read(write_bge_m3(tmp_path, weights_file="model.safetensors"))
        assert spec.weights == ("model.safetensors",)
        assert spec.representations == tuple(Representation)

    def test_without_heads_it_is_a_dense_model(self, tmp_path: Path) -> None:
        write_bge_m3(tmp_path)
        (tmp_path / "sparse_linear.pt").unlink()
        (tmp_path / "colbert_linear.pt").unlink()
        spec = read(tmp_path)
        assert spec.representations == (Representation.DENSE,)
        assert spec.layout == "sentence-transformers"

    def test_one_head_alone_is_an_error(self, tmp_path: Path) -> None:
        write_bge_m3(tmp_path)
        (tmp_path / "sparse_linear.pt").unlink()
        with pytest.raises(MissingTensorError, match=r"sparse_linear\.pt is not in"):
            read(tmp_path)


class TestStanford:
    def test_metadata_without_marker_ids_means_the_librarys_defaults(self, tmp_path: Path) -> None:
        spec = read(write_colbert_v2(tmp_path, document_tokens=180))
        assert spec.representations == (Representation.MULTI_VECTOR,)
        assert (spec.query.marker, spec.query.tokens) == ("[unused0]", 32)
        assert (spec.document.marker, spec.document.tokens) == ("[unused1]", 180)
        assert spec.prefix == "bert."
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion == Expansion(length=32, attended=False)
        assert spec.multi_vector.reduction == "sum"

    def test_stale_modules_do_not_hide_the_projection(self, tmp_path: Path) -> None:
        spec = read(write_colbert_v2(tmp_path, stale_modules=True))
        assert spec.layout == "stanford"

    def test_metadata_alone_tells_the_layout(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path)
        change_json(tmp_path / "config.json", architectures=["BertModel"])
        assert read(tmp_path).layout == "stanford"
        drop_tensor(tmp_path / "model.safetensors", "linear.weight")
        assert read(tmp_path).layout == "transformer"

    def test_pickled_weights_are_read(self, tmp_path: Path) -> None:
        spec = read(write_colbert_v2(tmp_path, weights_file="pytorch_model.bin"))
        assert spec.weights == ("pytorch_model.bin",)

    def test_another_backbone_keeps_its_architecture(self, tmp_path: Path) -> None:
        spec = read(write_colbert_xlm_roberta(tmp_path))
        assert (spec.architecture, spec.prefix) == ("xlm-roberta", "roberta.")

    def test_a_backbone_without_a_prefix_is_read(self, tmp_path: Path) -> None:
        path = write_colbert_v2(tmp_path) / "model.safetensors"
        save_file({k.removeprefix("bert."): v for k, v in load_file(path).items()}, path)
        assert read(tmp_path).prefix == ""

    def test_the_similarity_l2_is_refused(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path, similarity="l2")
        with pytest.raises(CheckpointError, match="similarity 'l2'; only cosine"):
            read(tmp_path)

    def test_a_missing_projection_is_an_error(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path)
        drop_tensor(tmp_path / "model.safetensors", "linear.weight")
        with pytest.raises(MissingTensorError, match=r"linear\.weight is not among"):
            read(tmp_path)

    def test_punctuation_is_kept_where_the_metadata_says_so(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path)
        change_json(tmp_path / "artifact.metadata", mask_punctuation=False)
        spec = read(tmp_path)
        assert spec.multi_vector is not None
        assert spec.multi_vector.skiplist is not None
        assert spec.multi_vector.skiplist.words == ()


class TestJinaColbert:
    @pytest.mark.parametrize("model_type", [None, "xlm-roberta"])
    def test_tensors_tell_it_whatever_the_configuration_says(
        self, tmp_path: Path, model_type: str | None
    ) -> None:
        spec = read(write_jina_colbert(tmp_path, model_type=model_type, dim=12))
        assert spec.architecture == "jina_embeddings_v3"
        assert spec.config["rope_parameters"]["rope_theta"] == 10_000.0
        assert "auto_map" not in spec.config
        assert spec.max_tokens == 8192
        assert spec.query == TextSide(marker="[QueryMarker]", tokens=32)
        assert spec.document == TextSide(marker="[DocumentMarker]", tokens=300)
        assert spec.multi_vector is not None
        assert spec.multi_vector.dim == 12
        assert spec.multi_vector.expansion == Expansion(length=32, attended=True)

    def test_the_vocabulary_is_that_of_the_tensor(self, tmp_path: Path) -> None:
        write_jina_colbert(tmp_path)
        change_json(tmp_path / "config.json", vocab_size=7)
        spec = read(tmp_path)
        assert spec.config["vocab_size"] == spec.vocabulary > 7


class TestJacolbert:
    def test_mecab_means_the_dynamic_query_length(self, tmp_path: Path) -> None:
        spec = read(write_jacolbert(tmp_path))
        assert spec.name == "jacolbert-v2.5"
        assert spec.max_tokens == 512
        assert spec.tokenizer.fast is False
        assert spec.query.marker == "[unused0]"
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion == Expansion(length=32, rule="dynamic")


class TestPylate:
    def test_its_settings_are_read(self, tmp_path: Path) -> None:
        spec = read(write_pylate(tmp_path, query_tokens=48, document_tokens=300))
        assert spec.layout == "pylate"
        assert (spec.query.marker, spec.query.tokens) == ("[Q] ", 48)
        assert (spec.document.marker, spec.document.tokens) == ("[D] ", 300)
        assert spec.max_tokens == 512
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion == Expansion(length=48)
        assert spec.tokenizer.strip

    def test_expansion_may_be_off(self, tmp_path: Path) -> None:
        spec = read(write_pylate(tmp_path, expand_queries=False))
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion is None

    def test_settings_that_are_missing_are_the_librarys(self, tmp_path: Path) -> None:
        write_pylate(tmp_path)
        settings = tmp_path / "config_sentence_transformers.json"
        gone = ("query_prefix", "query_length", "document_length", "skiplist_words", "model_type")
        change_json(settings, **dict.fromkeys(gone, ...))
        spec = read(tmp_path)
        assert (spec.query.marker, spec.query.tokens, spec.document.tokens) == ("[Q] ", 32, 180)
        assert spec.multi_vector is not None
        assert spec.multi_vector.skiplist is not None
        assert len(spec.multi_vector.skiplist.words) == 32

    def test_several_dense_modules_with_residuals_are_kept_in_order(self, tmp_path: Path) -> None:
        spec = read(write_pylate(tmp_path, dims=(24, 24, 16), residual=True, bias=True))
        assert spec.multi_vector is not None
        layers = spec.multi_vector.layers
        assert [(layer.inputs, layer.outputs) for layer in layers] == [(32, 24), (24, 24), (24, 16)]
        assert [layer.residual for layer in layers] == ["linear", "identity", "linear"]
        assert [layer.file.split("/")[0] for layer in layers] == ["1_Dense", "2_Dense", "3_Dense"]
        assert spec.multi_vector.dim == 16

    def test_the_transformer_may_stand_in_its_own_folder(self, tmp_path: Path) -> None:
        spec = read(write_pylate(tmp_path, transformer_folder="0_Transformer"))
        assert spec.weights == ("0_Transformer/model.safetensors",)
        assert spec.tokenizer.folder == "0_Transformer"

    @pytest.mark.parametrize("dense_type", ["pylate.models.Dense", "pylate.models.Dense.Dense"])
    def test_both_names_of_its_dense_module_are_known(
        self, tmp_path: Path, dense_type: str
    ) -> None:
        assert read(write_pylate(tmp_path, dense_type=dense_type)).layout == "pylate"

    def test_lower_casing_beside_the_tokenizer_is_read(self, tmp_path: Path) -> None:
        assert read(write_pylate(tmp_path, lowercase_texts=True)).tokenizer.lowercase == "text"

    def test_a_missing_residual_or_bias_is_named(self, tmp_path: Path) -> None:
        write_pylate(tmp_path, residual=True, bias=True)
        drop_tensor(tmp_path / "1_Dense/model.safetensors", "residual.weight")
        with pytest.raises(MissingTensorError, match=r"'residual\.weight'"):
            read(tmp_path)
        drop_tensor(tmp_path / "1_Dense/model.safetensors", "linear.bias")
        with pytest.raises(MissingTensorError, match=r"'linear\.bias'"):
            read(tmp_path)

    def test_an_activation_from_elsewhere_is_refused(self, tmp_path: Path) -> None:
        write_pylate(tmp_path)
        change_json(tmp_path / "1_Dense/config.json", activation_function="mine.Evil")
        with pytest.raises(CheckpointError, match=r"'mine\.Evil'.*never run"):
            read(tmp_path)


class TestSentenceTransformersMultiVector:
    def test_prompts_expansion_and_skiplist_are_read(self, tmp_path: Path) -> None:
        spec = read(write_multi_vector(tmp_path, expansion_tokens=40, attend_to_expansion=True))
        assert spec.layout == "sentence-transformers-multi-vector"
        assert spec.query == TextSide(prompt="[unused0] ", tokens=40)
        assert spec.document == TextSide(prompt="[unused1] ", tokens=180)
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion == Expansion(length=40, attended=True)
        assert spec.multi_vector.skiplist is not None
        assert spec.multi_vector.skiplist.unknown is False
        assert not spec.multi_vector.skiplist.queries

    def test_the_minimal_expansion_keeps_the_query_length_as_ceiling(self, tmp_path: Path) -> None:
        spec = read(write_multi_vector(tmp_path, expansion="min", query_tokens=64))
        assert spec.query.tokens == 64
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion == Expansion(length=32, rule="at_least")

    def test_no_expansion_and_an_empty_skiplist_are_none(self, tmp_path: Path) -> None:
        spec = read(write_multi_vector(tmp_path, expansion=None, skiplist_words=()))
        assert spec.multi_vector is not None
        assert spec.multi_vector.expansion is None
        assert spec.multi_vector.skiplist is None

    def test_an_unknown_expansion_is_refused(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        change_json(tmp_path / "sentence_bert_config.json", query_expansion={"strategy": "max"})
        with pytest.raises(UnknownLayoutError, match="'max'; read are 'fixed' and 'min'"):
            read(tmp_path)

    def test_a_model_of_images_is_refused(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        change_json(tmp_path / "2_MultiVectorMask/config.json", keep_only_token_ids=[5])
        with pytest.raises(CheckpointError, match="image tokens only"):
            read(tmp_path)

    def test_the_mean_similarity_is_a_mean_reduction(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        change_json(tmp_path / "config_sentence_transformers.json", similarity_fn_name="meanmaxsim")
        spec = read(tmp_path)
        assert spec.multi_vector is not None
        assert spec.multi_vector.reduction == "mean"

    def test_modules_without_a_mask_have_no_skiplist(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        rows = json.loads((tmp_path / "modules.json").read_text())
        (tmp_path / "modules.json").write_text(json.dumps(rows[:2]))
        spec = read(tmp_path)
        assert spec.multi_vector is not None
        assert spec.multi_vector.skiplist is None

    def test_an_unknown_module_is_refused(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        rows = json.loads((tmp_path / "modules.json").read_text())
        rows[3]["type"] = "sentence_transformers.models.LSTM"
        (tmp_path / "modules.json").write_text(json.dumps(rows))
        with pytest.raises(UnknownLayoutError, match="LSTM"):
            read(tmp_path)


class TestDense:
    def test_pooling_and_length_are_those_of_its_modules(self, tmp_path: Path) -> None:
        spec = read(write_dense(tmp_path, pooling="mean", max_tokens=128))
        assert spec.dense is not None
        assert spec.dense.pooling == ("mean",)
        assert spec.dense.normalise
        assert (spec.max_tokens, spec.dense_dim) == (128, 32)

    def test_a_dense_module_gives_the_dimension(self, tmp_path: Path) -> None:
        spec = read(write_dense(tmp_path, dense_dim=8))
        assert spec.dense_dim == 8
        assert spec.dense is not None
        assert spec.dense.layers[0].activation == "torch.nn.modules.activation.Tanh"

    def test_prompts_go_to_their_sides(self, tmp_path: Path) -> None:
        spec = read(write_dense(tmp_path, prompts={"query": "q: ", "passage": "p: "}))
        assert (spec.query.prompt, spec.document.prompt) == ("q: ", "p: ")

    def test_the_default_prompt_goes_to_both_sides(self, tmp_path: Path) -> None:
        spec = read(write_dense(tmp_path, prompts={"x": "x: "}, default_prompt_name="x"))
        assert (spec.query.prompt, spec.document.prompt) == ("x: ", "x: ")

    @pytest.mark.parametrize(
        ("mode", "pooling"),
        [("cls", ("cls",)), (["mean", "max"], ("mean", "max")), ("lasttoken", ("last",))],
    )
    def test_the_new_form_of_pooling_is_read(
        self, tmp_path: Path, mode: object, pooling: tuple[str, ...]
    ) -> None:
        write_dense(tmp_path)
        config = {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": False}
        (tmp_path / "1_Pooling/config.json").write_text(json.dumps(config))
        spec = read(tmp_path)
        assert spec.dense is not None
        assert spec.dense.pooling == pooling
        assert spec.dense_dim == 32 * len(pooling)
        assert not spec.dense.include_prompt

    def test_settings_of_older_versions_are_found_and_none_are_needed(self, tmp_path: Path) -> None:
        write_dense(tmp_path, max_tokens=99)
        settings = tmp_path / "sentence_bert_config.json"
        settings.rename(tmp_path / "sentence_roberta_config.json")
        assert read(tmp_path).max_tokens == 99
        (tmp_path / "sentence_roberta_config.json").unlink()
        assert read(tmp_path).max_tokens == 512

    def test_an_unknown_pooling_is_refused(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode": "median"}')
        with pytest.raises(UnknownLayoutError, match="median"):
            read(tmp_path)

    @pytest.mark.parametrize(("similarity", "normalise"), [("dot", False), ("cosine", True)])
    def test_only_models_of_the_dot_product_stay_unnormalised(
        self, tmp_path: Path, *, similarity: str, normalise: bool
    ) -> None:
        write_dense(tmp_path, normalize=False)
        change_json(tmp_path / "config_sentence_transformers.json", similarity_fn_name=similarity)
        spec = read(tmp_path)
        assert spec.dense is not None
        assert spec.dense.normalise is normalise

    def test_other_similarities_are_refused(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        change_json(tmp_path / "config_sentence_transformers.json", similarity_fn_name="manhattan")
        with pytest.raises(CheckpointError, match="manhattan"):
            read(tmp_path)

    def test_a_bare_transformer_is_pooled_by_the_mean(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        for path in tmp_path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name == "modules.json" or "sentence" in path.name:
                path.unlink()
        spec = read(tmp_path)
        assert spec.layout == "transformer"
        assert spec.dense is not None
        assert spec.dense.pooling == ("mean",)

    def test_the_licence_is_that_of_the_model_card(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        assert read(tmp_path).license == ""
        (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: CC-BY-NC-4.0\n---\n# hi\n")
        spec = read(tmp_path)
        assert spec.license == "cc-by-nc-4.0"
        assert spec.forbids_commercial_use


class TestBadCheckpoints:
    def test_an_unknown_layout_says_what_there_is_and_what_was_found(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("hi")
        with pytest.raises(UnknownLayoutError, match=r"found notes\.txt; .*PyLate.*BGE-M3"):
            read(tmp_path)

    def test_a_configuration_without_an_architecture_is_refused(self, tmp_path: Path) -> None:
        write_colbert_v2(tmp_path)
        change_json(tmp_path / "config.json", model_type=...)
        with pytest.raises(UnknownLayoutError, match="names no model_type"):
            read(tmp_path)

    def test_modules_must_start_with_a_transformer(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        rows = json.loads((tmp_path / "modules.json").read_text())
        (tmp_path / "modules.json").write_text(json.dumps(rows[::-1]))
        with pytest.raises(UnknownLayoutError, match=r"'Transformer'\]; read are a Transformer"):
            read(tmp_path)

    def test_an_index_without_shards_is_an_error(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        (tmp_path / "model.safetensors.index.json").write_text("{}")
        with pytest.raises(CheckpointError, match="names weights that are not there: nothing"):
            read(tmp_path)

    def test_missing_weights_are_named(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"no weights in .*model\.safetensors"):
            read(tmp_path)

    def test_a_missing_embedding_table_is_named(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        drop_tensor(tmp_path / "model.safetensors", "embeddings.word_embeddings.weight")
        with pytest.raises(MissingTensorError, match="table of token embeddings"):
            read(tmp_path)

    def test_missing_shards_are_named(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        weights = tmp_path / "model.safetensors"
        index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        weights.rename(tmp_path / "part-1.safetensors")
        with pytest.raises(CheckpointError, match=r"part-2\.safetensors; the checkpoint is incom"):
            read(tmp_path)
        index["weight_map"].pop("b")
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        assert read(tmp_path).weights == ("part-1.safetensors",)

    @pytest.mark.parametrize(
        ("limit", "tokens"), [(77, 77), (10**30, 512), (None, 512)], ids=["said", "huge", "unsaid"]
    )
    def test_without_positions_the_tokenizer_sets_the_length(
        self, tmp_path: Path, limit: int | None, tokens: int
    ) -> None:
        write_dense(tmp_path, positions=1024)
        change_json(tmp_path / "config.json", max_position_embeddings=...)
        change_json(tmp_path / "tokenizer_config.json", model_max_length=limit)
        change_json(tmp_path / "sentence_bert_config.json", max_seq_length=None)
        assert read(tmp_path).max_tokens == tokens


class TestIncompleteCheckpoints:
    @pytest.mark.parametrize(
        ("write", "remains"),
        [
            (write_dense, "1_Pooling/config.json, config_sentence_transformers.json"),
            (write_multi_vector, "1_Dense/config.json, .*2_MultiVectorMask/config.json"),
            (write_pylate, "1_Dense/config.json, 1_Dense/model.safetensors, config_sentence"),
        ],
    )
    @pytest.mark.parametrize("left", [None, "[]"], ids=["gone", "empty"])
    def test_modules_without_their_list_are_no_plain_transformer(
        self, tmp_path: Path, write: Callable[[Path], Path], remains: str, left: str | None
    ) -> None:
        modules = write(tmp_path) / "modules.json"
        modules.unlink()
        if left is not None:
            modules.write_text(left)
        with pytest.raises(CheckpointError, match=rf"modules\.json of .* is missing .*{remains}"):
            read(tmp_path)

    @pytest.mark.parametrize("remains", ["1_Dense", "config_sentence_transformers.json"])
    def test_each_remain_alone_tells_of_the_list(self, tmp_path: Path, remains: str) -> None:
        write_pylate(tmp_path)
        (tmp_path / "modules.json").unlink()
        if remains == "1_Dense":
            (tmp_path / "config_sentence_transformers.json").unlink()
        else:
            shutil.rmtree(tmp_path / "1_Dense")
        with pytest.raises(CheckpointError, match=rf"modules\.json of .* is missing .*{remains}"):
            read(tmp_path)

    def test_a_transformer_in_its_own_folder_tells_of_the_list(self, tmp_path: Path) -> None:
        write_pylate(tmp_path, transformer_folder="0_Transformer")
        (tmp_path / "modules.json").unlink()
        with pytest.raises(
            CheckpointError, match=r"modules\.json of .* is missing .*0_Transformer"
        ):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("write", "path"),
        [
            (write_dense, "1_Pooling/config.json"),
            (write_multi_vector, "1_Dense/config.json"),
            (write_multi_vector, "2_MultiVectorMask/config.json"),
            (write_pylate, "1_Dense/config.json"),
        ],
    )
    def test_a_module_without_its_configuration_is_named(
        self, tmp_path: Path, write: Callable[[Path], Path], path: str
    ) -> None:
        (write(tmp_path) / path).unlink()
        with pytest.raises(CheckpointError, match=rf"{path} is not in .* lists a .*; found .*conf"):
            read(tmp_path)

    def test_a_normalisation_needs_no_configuration(self, tmp_path: Path) -> None:
        write_multi_vector(tmp_path)
        shutil.rmtree(tmp_path / "3_Normalize")
        assert read(tmp_path).layout == "sentence-transformers-multi-vector"

    def test_heads_without_tercets_settings_are_no_plain_transformer(self, tmp_path: Path) -> None:
        write_tercet(tmp_path)
        (tmp_path / "tercet.json").unlink()
        with pytest.raises(CheckpointError, match=r"tercet\.json is not in .*though heads\.safet"):
            read(tmp_path)

    @pytest.mark.parametrize("write", [write_bge_m3, write_colbert_v2])
    def test_layouts_with_other_marks_need_no_modules(
        self, tmp_path: Path, write: Callable[[Path], Path]
    ) -> None:
        write(tmp_path)
        (tmp_path / "modules.json").unlink(missing_ok=True)
        (tmp_path / "config_sentence_transformers.json").write_text("{}")
        assert read(tmp_path).multi_vector is not None


def test_published_families_say_views_and_licence() -> None:
    for spec in PUBLISHED:
        assert spec.source
        assert spec.license
        assert spec.representations
    licences = {spec.name: spec.forbids_commercial_use for spec in PUBLISHED}
    assert licences["jina-colbert-v2"]
    assert sum(licences.values()) == 1


def test_a_spec_without_a_dense_view_has_no_dense_dimension(tmp_path: Path) -> None:
    assert read(write_colbert_v2(tmp_path)).dense_dim is None
