"""The demo set: lesion-like pictures drawn from parameters, with a metadata table that tells them."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2

from data_tools.demo.draw import CLINICAL, DERMOSCOPIC, draw_image
from data_tools.demo.lesion import Lesion, draw_lesion
from data_tools.workers import each
from mmfm.errors import DataError
from mmfm.taxonomy import CLASSES, label_of

__all__ = ["COLUMNS", "draw_demo_set"]

DATASETS = {DERMOSCOPIC: "demo", CLINICAL: "demo_clinical"}
CLINICAL_EVERY = 7  # one lesion in so many is photographed clinically
COLUMNS = (
    "image_id", "file", "dataset", "domain", "lesion_id", "class", "subclass", "malignancy", "age", "sex",
    "site", "skin_tone", "asymmetry", "border", "colours", "structures", "size_mm", "description",
)  # fmt: skip
CHUNK = 200  # images drawn by a process at a time; fewer do not pay for starting one
JPEG_QUALITY = 92


def draw_demo_set(folder: Path, images: int, seed: int = 0, side: int = 96) -> Path:
    """Draw `images` pictures of `side` pixels into folder/images and write folder/metadata.csv.

    Lesions alternate between one and two pictures; one lesion in seven is drawn in the clinical style, as
    dataset "demo_clinical". The same arguments give the same bytes. Returns the metadata file.
    Raises `DataError` where an image cannot be written.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    plan = _plan(images, seed)
    jobs = [
        (lesion, domain, view, side, folder / "images" / f"{image_id}.jpg")
        for image_id, _, lesion, domain, view in plan
    ]
    for _ in each(_write_image, jobs, "drawing", chunk=CHUNK):
        pass
    path = folder / "metadata.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for image_id, lesion_id, lesion, domain, _ in plan:
            writer.writerow(_row(image_id, lesion_id, lesion, domain))
    return path


def _plan(images: int, seed: int) -> list[tuple[str, str, Lesion, str, int]]:
    """(image id, lesion id, lesion, domain, view) of every picture, in order."""
    plan: list[tuple[str, str, Lesion, str, int]] = []
    number = 0
    while len(plan) < images:
        lesion = draw_lesion(seed * 1_000_003 + number)
        domain = CLINICAL if number % CLINICAL_EVERY == CLINICAL_EVERY - 1 else DERMOSCOPIC
        for view in range(min(1 + number % 2, images - len(plan))):
            plan.append((f"D{len(plan):06d}", f"L{number:06d}", lesion, domain, view))
        number += 1
    return plan


def _write_image(job: tuple[Lesion, str, int, int, Path]) -> None:
    lesion, domain, view, side, path = job
    cv2.setNumThreads(1)
    picture = draw_image(lesion, domain, view, side)
    if not cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise DataError(f"cannot write {path}: is the disk full, or the folder not yours?")


def _row(image_id: str, lesion_id: str, lesion: Lesion, domain: str) -> tuple[object, ...]:
    return (
        image_id, f"{image_id}.jpg", DATASETS[domain], domain, lesion_id, lesion.code, lesion.subclass,
        CLASSES[label_of(lesion.code)].malignancy, lesion.age, lesion.sex, lesion.site, lesion.skin_tone,
        lesion.asymmetry, lesion.border, "; ".join(lesion.colours), "; ".join(lesion.structures),
        lesion.size_mm, lesion.describe(),
    )  # fmt: skip
