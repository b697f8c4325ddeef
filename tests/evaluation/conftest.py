"""A small folder of shards and a small model with random weights."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmfm.config.schema import ImageTowerConfig, ModelConfig, TextTowerConfig
from mmfm.data.index import build_index, write_index
from mmfm.data.manifest import DomainCounts, Manifest, ShardInfo, SplitInfo
from mmfm.data.tokenizer import fit_tokenizer
from mmfm.models.build import build_dual_encoder, save_model
from mmfm.models.classifier import Classifier
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, CODES

COLOURS = np.random.default_rng(0).integers(0, 256, (len(CLASSES), 3))
SIDE = 32


def record(split, dataset, domain, number, label):
    """Every third sample shares its note with others of its class; two images to a lesion."""
    told = "typical" if number % 3 == 0 else f"number {number}"
    text = f"A {told} {CLASSES[label].name if label >= 0 else 'lesion'} ({domain})."
    made = Record(dataset, f"{split}{number}.x", domain, lesion_id=f"{split}{number // 2}", label=label)
    made.notes = {"M": Note("M", text)}
    return made


def picture(label, number):
    """A noisy square in the colour of the class."""
    noise = np.random.default_rng(number).normal(0, 20, (SIDE, SIDE, 3))
    pixels = np.clip(COLOURS[label] + noise, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG")
    return encoded.getvalue()


def write_split(folder, split, records):
    """One shard for each dataset; returns what the manifest says of it."""
    import json

    info = SplitInfo(len(records))
    (folder / split).mkdir(parents=True)
    for dataset in sorted({r.dataset for r in records}):
        rows = [r for r in records if r.dataset == dataset]
        path = folder / split / f"{dataset}-000000.tar"
        with tarfile.open(path, "w") as tar:
            for number, row in enumerate(rows):
                text = json.dumps(row.to_json(), sort_keys=True).encode()
                for extension, data in (("jpg", picture(row.label, number)), ("json", text)):
                    member = tarfile.TarInfo(f"{row.key}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        index = path.with_suffix(".idx.parquet")
        write_index(index, build_index(path))
        names = [str(p.relative_to(folder)) for p in (path, index)]
        info.shards.append(ShardInfo(names[0], len(rows), path.stat().st_size, "", names[1], ""))
        for row in rows:
            domains = info.by_dataset.setdefault(dataset, {})
            domains[row.domain] = DomainCounts(domains.get(row.domain, DomainCounts(0)).samples + 1)
    return info


@pytest.fixture
def small_shards(tmp_path):
    """train and val of two sets; test with a third set under shift. Classes by set: a 4, b 3, c 2."""
    folder = tmp_path / "shards"
    manifest = Manifest(created_by="test", notes=["M"], classes=list(CODES))
    for split, count in (("train", 24), ("val", 12), ("test", 24)):
        rows = [record(split, "a", "dermoscopic", n, n % 4) for n in range(count)]
        rows += [record(split, "b", "clinical", n, 4 + n % 3) for n in range(count)]
        if split == "test":
            rows += [record(split, "c", "smartphone", n, (0, 5, -1)[n % 3]) for n in range(count)]
        manifest.splits[split] = write_split(folder, split, rows)
    manifest.write(folder)
    return folder


def small_encoder():
    torch.manual_seed(0)
    tokenizer = fit_tokenizer([f"A typical number {lesion.name} lesion" for lesion in CLASSES], 200)
    config = ModelConfig(
        image=ImageTowerConfig(
            "vit_tiny_patch16_224", options={"patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
        ),
        text=TextTowerConfig(
            config={
                "model_type": "bert",
                "hidden_size": 24,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 32,
            },
            tokenizer="fit",
        ),
        embed_dim=16,
    )
    return build_dual_encoder(config, SIDE, tokenizer, max_tokens=32)


@pytest.fixture
def dual_folder(tmp_path):
    """Model folder of a two-tower model."""
    save_model(tmp_path / "dual", small_encoder())
    return tmp_path / "dual"


@pytest.fixture(params=["image", "note", "both"])
def classifier_folder(tmp_path, request):
    """Model folder of a classifier that looks at one or both modalities."""
    save_model(tmp_path / request.param, Classifier(small_encoder(), request.param))
    return tmp_path / request.param
