"""A fabricated pipeline folder: small shards, a pretraining and a fine-tuning run, and their evaluations."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mmfm.config import dump
from mmfm.config.schema import DataConfig, FinetuneConfig, PretrainConfig, RunConfig
from mmfm.data.index import build_index, write_index
from mmfm.data.manifest import DomainCounts, Manifest, ShardInfo, SplitInfo
from mmfm.evaluation.results import Confusion, Example, Hit, Item, Outcome, Result, Slice
from mmfm.evaluation.suitefile import write_suite
from mmfm.evaluation.thumbnail import thumbnail
from mmfm.records import Note, Record
from mmfm.taxonomy import CLASSES, CODES

HAM = Slice("ham10000", "dermoscopic", False)
MILK = Slice("milk10k", "dermoscopic", False)
BOTH = Slice("all", "all", False)
CLINIC = Slice("milk10k", "clinical", True)
PAD = Slice("pad_ufes20", "smartphone", True)
SLICES = (BOTH, HAM, MILK, CLINIC, PAD)
CHOSEN = ("BEK", "NEV", "ACK", "BCC", "MEL", "SCC")


@pytest.fixture(scope="session")
def fabricated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, shared: tests that change something take a copy (`pipeline_folder`)."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    draw = np.random.default_rng(3)
    records = _write_shards(folder / "shards", draw)
    data = DataConfig(shards="first/shards", image_size=96)  # found beside the runs, wherever they lie
    _write_run(folder / "pretrain", PretrainConfig(run=RunConfig(name="pretrain"), data=data), 400, 4.6, draw)
    tuned = FinetuneConfig(run=RunConfig(name="finetune"), data=data, init="pretrain")
    _write_run(folder / "finetune", tuned, 120, 1.9, draw)
    zero = Outcome(_classified(0.46, draw), _confused(0.46, draw), skipped={"truncated": 2})
    _write_suite(folder / "pretrain", "zeroshot", 400, zero)
    _write_suite(folder / "pretrain", "zeroshot", 200, Outcome(_classified(0.17, draw)))  # an older step
    _write_suite(folder / "pretrain", "retrieval", 400, Outcome(_retrieved(draw), gallery=_gallery(records)))
    _write_suite(folder / "pretrain", "probe", 400, Outcome(_classified(0.53, draw)))
    _write_suite(
        folder / "finetune", "classify", 120, Outcome(_classified(0.62, draw), _confused(0.62, draw))
    )
    return folder


@pytest.fixture
def pipeline_folder(fabricated: Path, tmp_path: Path) -> Path:
    """A copy of the fabricated folder that a test may change."""
    return Path(shutil.copytree(fabricated, tmp_path / "first"))


def _lesion(code: str, draw: np.random.Generator, side: int = 160) -> bytes:
    """A blotch on skin, with a colour of its class, as JPEG bytes."""
    shade = CODES.index(code) * 9
    image = Image.new("RGB", (side, side), (226 - shade // 3, 184 - shade // 2, 160 - shade // 2))
    pen = ImageDraw.Draw(image)
    radius, angles = side * (0.2 + 0.03 * (shade % 5)), np.linspace(0, 2 * math.pi, 24, endpoint=False)
    reach = radius * (1 + 0.28 * draw.standard_normal(len(angles)).cumsum() / 5)
    outline = [
        (side / 2 + r * math.cos(a), side / 2 + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)
    ]
    pen.polygon(outline, fill=(130 - shade, 78 - shade // 2, 56 + shade // 2))
    for x, y in draw.normal(side / 2, radius / 2.4, (12, 2)):
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(78, 42, 34))
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(2)).save(out, "JPEG", quality=85)
    return out.getvalue()


def _record(number: int, code: str, part: Slice) -> Record:
    lesion, site = CLASSES[CODES.index(code)], ("back", "lower extremity", "face")[number % 3]
    seen = f"{part.domain.capitalize()} image of the {site}, age {40 + number}."
    text = f"{seen} Diagnosis: {lesion.name} <{code}>."
    return Record(
        dataset=part.dataset,
        image_id=f"IMG_{number:05d}",
        domain=part.domain,
        label=CODES.index(code),
        subclass=lesion.name,
        malignancy=lesion.malignancy,
        age=40.0 + number,
        sex=("female", "male")[number % 2],
        site=site,
        confirmation="histopathology",
        license="CC BY-NC 4.0",
        notes={"M": Note("M", text, {"backend": "template"})},
    )


def _write_shards(folder: Path, draw: np.random.Generator) -> list[tuple[Record, bytes]]:
    written: list[tuple[Record, bytes]] = []
    splits = {}
    for name, parts in (("train", (HAM, MILK)), ("test", (HAM, MILK, CLINIC, PAD))):
        info = SplitInfo()
        for part in parts:
            pairs = [
                (_record(len(written) + i, code, part), _lesion(code, draw)) for i, code in enumerate(CHOSEN)
            ]
            place = f"{name}/{part.dataset}-{len(info.shards):06d}"
            info.shards.append(_write_shard(folder, place, pairs))
            labels = Counter(CODES[record.label] for record, _ in pairs)
            scaled = {code: n * (37 + 90 * (i % 4)) for i, (code, n) in enumerate(labels.items())}
            info.by_dataset.setdefault(part.dataset, {})[part.domain] = DomainCounts(
                sum(scaled.values()), scaled
            )
            written += pairs
        info.samples = sum(c.samples for domains in info.by_dataset.values() for c in domains.values())
        splits[name] = info
    sources = [
        {
            "dataset": part.dataset,
            "kind": part.dataset,
            "records": 2000,
            "rejected": 3 * (part is PAD),
            "heldout": part is PAD,
            "left_out": 12,
        }
        for part in (HAM, MILK, PAD)
    ]
    Manifest("mmfm 0.1.0", "0" * 12, ["M"], list(CODES), splits, sources, dedup={"pairs": 41}).write(folder)
    rejected = "".join(f"pad_ufes20,{row},img_{row}.png,image file is missing\n" for row in (4, 9, 12))
    (folder / "rejects.csv").write_text("dataset,row,file,reason\n" + rejected)
    return written


def _write_shard(folder: Path, place: str, pairs: list[tuple[Record, bytes]]) -> ShardInfo:
    path = folder / f"{place}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for record, image in pairs:
            for suffix, data in (("jpg", image), ("json", json.dumps(record.to_json()).encode())):
                member = tarfile.TarInfo(f"{record.key}.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    write_index(folder / f"{place}.idx.parquet", build_index(path))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return ShardInfo(f"{place}.tar", len(pairs), path.stat().st_size, checksum, f"{place}.idx.parquet", "")


def _write_run(
    folder: Path, config: PretrainConfig, steps: int, loss: float, draw: np.random.Generator
) -> None:
    config.train.steps = steps
    dump(config, folder / "config.yaml")
    packages = {"torch": "2.13.0", "deepspeed": "0.18.2", "timm": "1.0.31"}
    env = {
        "mmfm": "0.1.0",
        "python": "3.11.2",
        "packages": packages,
        "git": "3f6c0d1",
        "host": "node1",
        "cpus": 2,
    }
    (folder / "env.json").write_text(json.dumps(env))
    lines = []
    for step in range(5, steps + 1, 5):
        done = step / steps
        line = {
            "step": step,
            "samples": step * 256,
            "epoch": step * 256 / 8012,
            "loss": loss * math.exp(-1.4 * done) + 0.5 + 0.09 * draw.standard_normal(),
            "scale": 14.3 + 9 * done,
            "lr": 5e-4 * min(step / 40, 0.5 * (1 + math.cos(math.pi * done))),
            "grad_norm": 1.2 + abs(draw.standard_normal()) * (1.3 - done),
            "samples_per_s": 212 + 14 * draw.standard_normal(),
            "data_wait_share": 0.03 + 0.02 * draw.random(),
            "memory_mb": 1834.0,
            "time": 1.7e9 + step,
        }
        lines.append(json.dumps(line) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))


def _write_suite(run: Path, suite: str, step: int, outcome: Outcome) -> None:
    head = {
        "suite": suite,
        "protocol": "clean",
        "checkpoint": f"{run}/checkpoints/step_{step:08d}",
        "step": step,
        "created_by": "mmfm 0.1.0",
        "config": {},
    }
    write_suite(run / "evals" / f"step_{step:08d}" / f"{suite}.json", head, outcome)


def _result(
    metric: str, label: str, part: Slice, value: float, chance: float, spread: float, **more: object
) -> Result:
    count = {BOTH: 3025, HAM: 2003, MILK: 1022, CLINIC: 1040, PAD: 2298}[part]
    ends = (value - spread, value + spread)
    return Result(metric, label, part, count, count // 2, 6, value, *ends, chance, **more)  # type: ignore[arg-type]


def _classified(level: float, draw: np.random.Generator) -> list[Result]:
    kinds = [("balanced_accuracy", "Balanced accuracy"), ("accuracy", "Accuracy"), ("macro_f1", "Macro F1")]
    kinds += [(f"recall_{code}", f"Recall, {code}") for code in CHOSEN]
    results = []
    for part in SLICES:
        for metric, label in kinds:
            value = level * (0.62 if part.shift else 1.0) + 0.02 * draw.standard_normal()
            results.append(_result(metric, label, part, value, 1 / 6, 0.031))
    return results


def _retrieved(draw: np.random.Generator) -> list[Result]:
    results = []
    for direction in ("image to note", "note to image"):
        for part in SLICES:
            more = {"direction": direction, "pool": 1204}
            for k in (1, 5, 10):
                value = 0.05 * k**0.8 * (0.5 if part.shift else 1.0) + 0.01 * draw.random()
                results.append(_result(f"recall_at_{k}", f"R@{k}", part, value, k / 1204, 0.012, **more))
            results.append(_result("median_rank", "Median rank", part, 84.0, 602.5, 9.0, **more))
            results.append(_result("map", "mAP, class", part, 0.41, 0.22, 0.02, **more))
    return results


def _confused(level: float, draw: np.random.Generator) -> list[Confusion]:
    found = []
    for part in (BOTH, PAD):
        right = level * (0.62 if part.shift else 1.0)
        shares = np.full((6, 6), (1 - right) / 5) * draw.uniform(0.2, 1.8, (6, 6))
        np.fill_diagonal(shares, right)
        counts = (
            shares / shares.sum(1, keepdims=True) * np.array([[300], [900], [130], [210], [240], [41]])
        ).astype(int)
        found.append(Confusion(part, list(CHOSEN), counts.tolist()))
    return found


def _gallery(records: list[tuple[Record, bytes]]) -> list[Example]:
    items = [
        Item(r.key, CODES[r.label], r.notes["M"].text, thumbnail(image, 128)) for r, image in records[12:]
    ]
    examples = []
    for direction in ("image to note", "note to image"):
        for number, query in enumerate(items[:4]):
            others = [items[(number + step) % len(items)] for step in (6, 1, 3, 4, 9)]
            pool = [query, *others[:4]] if number < 2 else others
            hits = [
                Hit(rank + 1, item, 0.81 - 0.04 * rank, item.class_code == query.class_code, item is query)
                for rank, item in enumerate(pool)
            ]
            examples.append(Example(direction, HAM, query, hits))
    return examples
