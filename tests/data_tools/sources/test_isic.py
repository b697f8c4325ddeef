"""Exports of the ISIC archive, with newer and older columns, and a real one."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from data_tools.config import SourceConfig
from data_tools.sources import SourceResult, read_source
from mmfm.errors import ConfigError
from mmfm.records import Record
from mmfm.taxonomy import CODES

NEWER = """\
isic_id,attribution,copyright_license,age_approx,anatom_site_general,anatom_site_special,diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_4,diagnosis_confirm_type,image_type,lesion_id,patient_id,sex,fitzpatrick_skin_type
ISIC_1,Clinic,CC-BY-NC,85.0,head/neck,,Benign,Benign melanocytic proliferations,Nevus,"Nevus, NOS, Compound",histopathology,dermoscopic,IL_1,IP_1,male,III
ISIC_2,Clinic,CC-0,45,lower extremity,acral palms or soles,Malignant,Malignant epidermal proliferations,Squamous cell carcinoma in situ,"Squamous cell carcinoma in situ, Bowens disease",histopathology,clinical: close-up,IL_2,IP_2,female,
ISIC_3,Clinic,CC-BY,45,,,Indeterminate,Indeterminate epidermal proliferations,Solar or actinic keratosis,,single image expert consensus,dermoscopic,,,,
ISIC_4,Clinic,CC-BY,45,,,Benign,Inflammatory or infectious diseases,,,histopathology,dermoscopic,,,,
ISIC_5,Clinic,CC-BY,45,,,Benign,Benign melanocytic proliferations,Nevus,"Nevus, Of some new kind",histopathology,dermoscopic,,,,
ISIC_6,Clinic,CC-BY,45,,,Indeterminate,Indeterminate melanocytic proliferations,Atypical proliferative nodules in congenital melanocytic nevus,,histopathology,dermoscopic,,,,
"""  # noqa: E501
OLDER = """\
name,age_approx,anatom_site_general,benign_malignant,diagnosis,diagnosis_confirm_type,dermoscopic_type,sex
ISIC_1,50,posterior torso,benign,seborrheic keratosis,histopathology,contact polarized,female
ISIC_2,50,posterior torso,malignant,melanoma,histopathology,,female
ISIC_3,50,posterior torso,indeterminate,nevus,histopathology,,female
ISIC_4,50,posterior torso,indeterminate/malignant,actinic keratosis,histopathology,,female
"""


def export(folder: Path, text: str, name: str = "metadata.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    for number in range(1, 7):
        (folder / f"ISIC_{number}.JPG").write_bytes(b"x")
    return folder


def read(folder: Path, **changes: object) -> SourceResult:
    return read_source(SourceConfig(kind="isic", **changes), folder)  # type: ignore[arg-type]


def test_newer_columns(tmp_path: Path) -> None:
    result = read(export(tmp_path, NEWER), collection="hiba")
    nevus, bowen, keratosis, unheard, atypical = (item.record for item in result.records)
    assert (nevus.dataset, nevus.domain, nevus.license) == ("hiba", "dermoscopic", "CC-BY-NC-4.0")
    assert (nevus.lesion_id, nevus.patient_id, nevus.skin_tone, nevus.age) == ("IL_1", "IP_1", "3", 85.0)
    assert (CODES[nevus.label], nevus.subclass, nevus.native_class) == (
        "NEV",
        "compound nevus",
        "nevus, nos, compound",
    )
    assert nevus.site == "head and neck" and nevus.extras["attribution"] == "Clinic"
    assert (CODES[bowen.label], bowen.matched_subclass, bowen.malignancy) == (
        "SCC",
        "Bowen disease",
        "malignant",
    )
    assert (bowen.domain, bowen.site, bowen.license) == ("clinical", "palm or sole", "CC0-1.0")
    assert (keratosis.malignancy, keratosis.confirmation) == ("pre-cancerous", "expert consensus")
    assert (CODES[unheard.label], unheard.subclass) == ("NEV", "melanocytic nevus")  # the coarser term
    assert (CODES[atypical.label], atypical.malignancy) == ("NEV", "")
    assert [(reject.file, reject.reason) for reject in result.rejects] == [
        ("ISIC_4", "label 'Inflammatory or infectious diseases' outside the eight classes")
    ]


def test_older_columns(tmp_path: Path) -> None:
    result = read(export(tmp_path, OLDER), domain="dermoscopic")
    keratosis, melanoma, nevus, actinic = (item.record for item in result.records)
    assert (nevus.malignancy, actinic.malignancy) == ("", "pre-cancerous")  # nobody says that of a nevus
    assert (keratosis.dataset, CODES[keratosis.label], keratosis.domain) == ("isic", "BEK", "dermoscopic")
    assert keratosis.extras["dermoscopic_type"] == "contact polarized"
    assert (CODES[melanoma.label], melanoma.site) == ("MEL", "posterior torso")


def test_pairs_become_two_data_sets_and_phones_take_photos(tmp_path: Path) -> None:
    export(tmp_path, NEWER)
    names = [item.record.dataset for item in read(tmp_path, collection="milk10k").records]
    assert names == ["milk10k_dermo", "milk10k_clinic", "milk10k_dermo", "milk10k_dermo", "milk10k_dermo"]
    assert read(tmp_path, collection="pad_ufes20").records[1].record.domain == "smartphone"


def test_collections_in_folders_are_read_together(tmp_path: Path) -> None:
    export(tmp_path / "289", OLDER)
    export(tmp_path / "290", OLDER.replace("ISIC_", "ISIC_9"))
    for number in range(1, 5):
        (tmp_path / "290" / f"ISIC_9{number}.JPG").write_bytes(b"x")
    result = read(tmp_path, collection="msk")
    assert [item.record.image_id for item in result.records] == [
        f"ISIC_{number}" for number in (1, 2, 3, 4, 91, 92, 93, 94)
    ]
    assert {item.record.license for item in result.records} == {"CC0-1.0"}
    (tmp_path / "290" / "ISIC_93.JPG").unlink()
    export(tmp_path / "291", OLDER)
    rejects = read(tmp_path, collection="msk").rejects
    assert [(one.place, one.reason) for one in rejects][:2] == [
        ("290/metadata.csv:4", "image not found"),
        ("291/metadata.csv:2", "duplicate id 'ISIC_1', first in row 289/metadata.csv:2"),
    ]


def test_columns_of_one_export_alone_and_words_that_are_not_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path / "1", OLDER.replace(",benign,", ",harmless,"))
    export(tmp_path / "2", NEWER.replace("ISIC_", "ISIC_8"))
    for number in range(1, 7):
        (tmp_path / "2" / f"ISIC_8{number}.JPG").write_bytes(b"x")
    result = read(tmp_path, where={"dermoscopic_type": "contact polarized"}, domain="dermoscopic")
    assert [(item.record.image_id, item.record.malignancy) for item in result.records] == [("ISIC_1", "")]
    assert "malignancy not understood in 1 rows, taken as not known: 'harmless'" in capsys.readouterr().err


def test_unknown_collection(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'hibu' is not one of bcn20000"):
        read(export(tmp_path, NEWER), collection="hibu")


@pytest.mark.realdata
def test_a_real_export_agrees_with_the_ground_truth_and_the_official_tables(
    real_data: Path, official: list[SourceResult], with_patches: Callable[[list[Record]], list[Record]]
) -> None:
    cfg = SourceConfig(
        kind="isic", collection="milk10k", root="milk10k", metadata="milk10k_train.csv", images="none",
        allow_missing=True,
    )  # fmt: skip
    result = read_source(cfg, real_data)
    with (real_data / "milk10k" / "MILK10k_Training_GroundTruth.csv").open(newline="") as file:
        truth = {
            row["lesion_id"]: next(k for k, v in row.items() if v == "1.0") for row in csv.DictReader(file)
        }
    pairs = Counter((truth[record.lesion_id], CODES[record.label]) for record in result.known)
    assert pairs == {
        ("BKL", "BEK"): 1088, ("DF", "DF"): 104, ("NV", "NEV"): 1492, ("VASC", "VASC"): 94,
        ("BCC", "BCC"): 5044, ("MEL", "MEL"): 900, ("SCCKA", "SCC"): 946,
        ("AKIEC", "ACK"): 246, ("AKIEC", "SCC"): 360,  # told apart here
    }  # fmt: skip
    milk = [r for source in official for r in source.known if r.dataset.startswith("milk10k")]
    here, there = (
        {
            r.key: (
                r.label,
                r.subclass,
                r.matched_subclass,
                r.malignancy,
                r.domain,
                r.age,
                r.sex,
                r.lesion_id,
            )
            for r in records
        }
        for records in (result.known, with_patches(milk))
    )
    assert here == there
