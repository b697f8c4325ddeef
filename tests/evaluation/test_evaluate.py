"""Whole evaluations of small random models on small shards."""

import json

import numpy as np
import pytest
import torch

from mmfm.config import load
from mmfm.config.schema import EvaluateConfig
from mmfm.data.decode import decode_into
from mmfm.data.index import Split
from mmfm.errors import CheckpointError, ConfigError, DataError
from mmfm.evaluation import evaluate
from mmfm.evaluation.subject import EMBEDDING, LOGITS, Subject
from mmfm.models.build import load_model
from mmfm.training import checkpoint as checkpoints


def config_of(tmp_path, model, shards, *overrides):
    fixed = [f"run.root={tmp_path}", "run.name=r", f"checkpoint={model}", f"shards={shards}", "batch=7"]
    return load(EvaluateConfig, None, [*fixed, "workers=1", "bootstrap=50", *overrides])


def damage(shards, dataset, sample):
    """Alter one byte of an image of the test split; returns its key."""
    split = Split.open(shards, "test")
    row = int(np.flatnonzero(split.dataset == dataset)[sample])
    path = split.shard_paths[split.shard[row]]
    data = bytearray(path.read_bytes())
    data[int(split.image_offset[row]) + 100] ^= 0xFF
    path.write_bytes(bytes(data))
    return split.keys[row]


def test_suites_of_a_two_tower_model(tmp_path, dual_folder, small_shards):
    written = evaluate(config_of(tmp_path, dual_folder, small_shards))
    folder = tmp_path / "r" / "evals" / "step_00000000"
    assert written == [folder / f"{suite}.json" for suite in ("zeroshot", "retrieval", "probe")]
    zeroshot, retrieval, probe = (json.loads(path.read_text()) for path in written)
    balanced = [r for r in zeroshot["results"] if r["metric"] == "balanced_accuracy"]
    found = {(r["slice"]["dataset"], r["slice"]["shift"]): (r["classes"], r["chance"]) for r in balanced}
    assert found == {
        ("all", False): (7, pytest.approx(1 / 7)),
        ("a", False): (4, 0.25),
        ("b", False): (3, pytest.approx(1 / 3)),
        ("c", True): (2, 0.5),
    }
    assert zeroshot["skipped"] == {"unknown class": 8}
    assert {r["groups"] for r in balanced if r["slice"]["dataset"] == "a"} == {12}  # two images to a lesion
    for part in zeroshot["confusion"]:
        assert sum(map(sum, part["counts"])) == (48 if part["slice"]["dataset"] == "all" else part_size(part))
    # one slice has 16 numbered notes and as many shared ones as it has classes
    assert retrieval["details"]["distinct_notes"]["a, dermoscopic"] == 16 + 4
    assert {e["direction"] for e in retrieval["gallery"]} == {"image to note", "note to image"}
    assert all(e["query"]["image"].startswith("data:image/jpeg;base64,/9j/") for e in retrieval["gallery"])
    for result in (*zeroshot["results"], *retrieval["results"], *probe["results"]):
        assert result["low"] <= result["high"]
    # the classes are colours: any random tower separates them linearly
    linear = {
        r["slice"]["dataset"]: r["value"] for r in probe["results"] if r["metric"] == "balanced_accuracy"
    }
    assert linear["all"] > 0.6


def part_size(part):
    return 16 if part["slice"]["dataset"] == "c" else 24


def test_classifier_suite_equals_scikit_learn(tmp_path, classifier_folder, small_shards):
    config = config_of(tmp_path, classifier_folder, small_shards, "suites=[classify]")
    (path,) = evaluate(config)
    data = json.loads(path.read_text())
    features = Subject(config, load_model(classifier_folder)).classified("test")
    rows = np.array([r.dataset == "b" for r in features.records])
    predicted = features.values[LOGITS].argmax(dim=1).numpy()[rows]
    values = {r["metric"]: r["value"] for r in data["results"] if r["slice"]["dataset"] == "b"}
    assert values["balanced_accuracy"] == pytest.approx(
        np.mean([(predicted[features.labels[rows] == k] == k).mean() for k in (4, 5, 6)])
    )
    assert {m for m in values if m.startswith("recall_")} == {"recall_ACK", "recall_BCC", "recall_MEL"}
    assert "auroc" in values


def test_rows_keep_their_records_when_a_sample_is_damaged(tmp_path, dual_folder, small_shards):
    """Features in one order and labels in another is how scores go silently wrong."""
    damaged = damage(small_shards, "a", 5)
    config = config_of(tmp_path, dual_folder, small_shards, "suites=[zeroshot]")
    subject = Subject(config, load_model(dual_folder))
    features = subject.encoded("test")
    split = Split.open(small_shards, "test")
    assert damaged not in [r.key for r in features.records] and len(features) == len(split) - 1
    row_of = {key: row for row, key in enumerate(split.keys)}
    pixels = torch.empty(len(features), 32, 32, 3, dtype=torch.uint8)
    for record, image in zip(features.records, pixels, strict=True):
        decode_into(split.read_image(row_of[record.key]), image.numpy())
    with torch.inference_mode():
        alone = subject.loaded.model.encode_image(pixels.permute(0, 3, 1, 2).to(subject.device)).cpu()
    assert torch.allclose(features.values[EMBEDDING], alone, atol=1e-5)
    (path,) = evaluate(config)
    assert json.loads(path.read_text())["skipped"] == {"altered": 1, "unknown class": 8}


def test_keys_that_contain_each_other_are_different_samples(tmp_path, dual_folder, small_shards):
    """ "test1" is part of "test10" to "test19": each keeps its own label."""
    features = Subject(config_of(tmp_path, dual_folder, small_shards), load_model(dual_folder)).encoded(
        "test"
    )
    for record, label in zip(features.records, features.labels, strict=True):
        number = int(record.image_id.removeprefix("test").removesuffix(".x"))
        expected = {"a": number % 4, "b": 4 + number % 3, "c": (0, 5, -1)[number % 3]}[record.dataset]
        assert label == expected


def test_max_samples_bounds_each_dataset_and_domain(tmp_path, dual_folder, small_shards):
    config = config_of(tmp_path, dual_folder, small_shards, "suites=[retrieval]", "max_samples=10")
    (path,) = evaluate(config)
    counts = {
        r["slice"]["dataset"]: r["n"]
        for r in json.loads(path.read_text())["results"]
        if r["metric"] == "recall_at_1"
    }
    assert counts == {"all": 20, "a": 10, "b": 10, "c": 10}


def test_evaluating_twice_gives_the_same_file(tmp_path, dual_folder, small_shards):
    config = config_of(tmp_path, dual_folder, small_shards)
    first = [path.read_bytes() for path in evaluate(config)]
    assert [path.read_bytes() for path in evaluate(config)] == first


def test_step_comes_from_the_newest_checkpoint(tmp_path, dual_folder, small_shards):
    draft = checkpoints.begin(tmp_path / "r" / "checkpoints", 40)
    dual_folder.rename(draft / "model")
    saved = checkpoints.commit(draft, checkpoints.Position(40, 400, 1, 0))
    (path,) = evaluate(config_of(tmp_path, tmp_path / "r", small_shards, "suites=[zeroshot]"))
    assert path == tmp_path / "r" / "evals" / "step_00000040" / "zeroshot.json"
    assert json.loads(path.read_text())["checkpoint"] == str(saved)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["suites=[zero-shot]"], ConfigError, "Did you mean zeroshot"),
        (["suites=[]"], ConfigError, "suites is empty"),
        (["suites=[classify]"], ConfigError, "'classify' measures a model of kind 'classifier'.*'dual'"),
        (["probe_split=test"], ConfigError, "probe_split and split"),
        (["bootstrap=0"], ConfigError, "bootstrap=0"),
        (["batch=0"], ConfigError, "batch=0"),
        (["seed=-1"], ConfigError, "seed=-1"),
        (["suites=[retrieval]", "note=L9"], DataError, "note 'L9'.*M"),
        (["split=holdout"], DataError, "'holdout'.*no samples"),
        (["checkpoint=nowhere"], CheckpointError, "nowhere"),
        (["shards=nowhere"], DataError, "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path, dual_folder, small_shards, overrides, error, message):
    with pytest.raises(error, match=message):
        evaluate(config_of(tmp_path, dual_folder, small_shards, *overrides))
