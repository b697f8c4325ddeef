"""The adapters of public data sets, on small tables in their official form and on the real data."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_tools.config import ShardsConfig, SourceConfig
from data_tools.sources import SourceRecord, SourceResult, read_source
from mmfm.config import load
from mmfm.errors import DataError
from mmfm.taxonomy import CODES

ROOT = Path(__file__).parents[3]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def codes(records: list[SourceRecord]) -> dict[str, str]:
    return {item.record.image_id: CODES[item.record.label] for item in records}


@pytest.mark.parametrize(
    ("name", "comma"),
    [("HAM10000_metadata.csv", ","), ("HAM10000_metadata", ","), ("HAM10000_metadata.tab", "\t")],
)
def test_ham10000(tmp_path: Path, name: str, comma: str) -> None:
    table = """lesion_id,image_id,dx,dx_type,age,sex,localization
HAM_1,ISIC_1,nv,follow_up,45.0,male,lower extremity
HAM_1,ISIC_2,nv,follow_up,45.0,male,lower extremity
HAM_2,ISIC_3,akiec,histo,0.0,unknown,unknown
HAM_3,ISIC_4,bkl,consensus,,female,acral
HAM_4,ISIC_5,xyz,histo,50,female,back
"""
    (tmp_path / name).write_text(table.replace(",", comma))
    for number, part in enumerate((1, 1, 2, 2, 2), start=1):
        picture(tmp_path / f"HAM10000_images_part_{part}" / f"ISIC_{number}.jpg")
    result = read_source(SourceConfig(kind="ham10000"), tmp_path)
    assert codes(result.records) == {"ISIC_1": "NEV", "ISIC_2": "NEV", "ISIC_3": "ACK", "ISIC_4": "BEK"}
    first, _, third, fourth = (item.record for item in result.records)
    assert (first.dataset, first.domain, first.lesion_id, first.confirmation) == (
        "ham10000", "dermoscopic", "HAM_1", "follow-up",
    )  # fmt: skip
    assert (third.malignancy, third.age, third.sex, third.site) == ("pre-cancerous", None, "", "")
    assert (fourth.site, fourth.subclass) == ("acral skin", "")
    assert [(r.native_class, r.matched_subclass) for r in (first, third, fourth)] == [
        ("", "benign melanocytic nevus"),  # its words are the taxonomy's
        ("actinic keratosis or intraepithelial carcinoma", ""),
        ("benign keratosis-like lesion", ""),
    ]
    assert [(reject.row, reject.reason.split(";")[0]) for reject in result.rejects] == [
        (6, "unknown label 'xyz'")
    ]


def milk(folder: Path) -> Path:
    classes = ["AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC"]
    lesions = {"IL_1": "NV", "IL_2": "AKIEC", "IL_3": "INF"}
    diagnoses = {
        "IL_1": "Nevus, NOS, Compound",
        "IL_2": "Squamous cell carcinoma in situ, Bowens disease",
        "IL_3": "x",
    }
    truth = [["lesion_id", *classes]] + [
        [i, *(f"{float(c == n)}" for c in classes)] for i, n in lesions.items()
    ]
    table = [
        [
            "lesion_id",
            "image_type",
            "isic_id",
            "copyright_license",
            "age_approx",
            "sex",
            "skin_tone_class",
            "site",
        ]
    ]
    more = [["isic_id", "diagnosis_full", "diagnosis_confirm_type", "invasion_thickness_interval"]]
    for lesion in lesions:
        for kind in ("clinical: close-up", "dermoscopic"):
            image = f"ISIC_{lesion[-1]}{kind[0]}"
            table.append([lesion, kind, image, "CC-BY-NC", "70", "male", "3", "head_neck_face"])
            more.append([image, diagnoses[lesion], "histopathology", ""])
            picture(folder / "images" / f"{image}.webp")
    for name, rows in (("Metadata", table), ("GroundTruth", truth), ("Supplement", more)):
        with (folder / f"MILK10k_Training_{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def test_milk10k(tmp_path: Path) -> None:
    result = read_source(SourceConfig(kind="milk10k"), milk(tmp_path))
    assert codes(result.records) == {"ISIC_1c": "NEV", "ISIC_1d": "NEV", "ISIC_2c": "ACK", "ISIC_2d": "ACK"}
    clinical, dermoscopic, bowen, _ = (item.record for item in result.records)
    assert (clinical.dataset, clinical.domain) == ("milk10k_clinic", "clinical")
    assert (dermoscopic.dataset, dermoscopic.domain) == ("milk10k_dermo", "dermoscopic")
    assert clinical.lesion_id == dermoscopic.lesion_id == "IL_1"
    assert (clinical.subclass, clinical.site, clinical.skin_tone) == (
        "compound nevus",
        "head and neck",
        "class 3",
    )
    assert (bowen.subclass, bowen.malignancy) == ("squamous cell carcinoma in situ", "malignant")
    assert (bowen.matched_subclass, clinical.matched_subclass) == (
        "Bowen disease",
        "benign melanocytic nevus",
    )
    assert clinical.native_class == "nevus, nos, compound"
    assert {(reject.dataset, reject.reason) for reject in result.rejects} == {
        (name, "label 'INF' outside the eight classes") for name in ("milk10k_clinic", "milk10k_dermo")
    }


def test_milk10k_a_ground_truth_that_is_no_number_refuses_its_lesion(tmp_path: Path) -> None:
    path = milk(tmp_path) / "MILK10k_Training_GroundTruth.csv"
    given = path.read_text()
    path.write_text(given.replace("IL_1,0.0", "IL_1,1.0"))
    result = read_source(SourceConfig(kind="milk10k", where={"image_type": "dermoscopic"}), tmp_path)
    assert result.rejects[0].reason.startswith("lesion 'IL_1' has AKIEC and NV in")
    path.write_text(given.replace("IL_2,1.0", "IL_2,yes").replace("IL_3", "IL_4"))
    result = read_source(SourceConfig(kind="milk10k", where={"image_type": "dermoscopic"}), tmp_path)
    assert list(codes(result.records)) == ["ISIC_1d"]
    assert [(reject.file, reject.reason) for reject in result.rejects] == [
        ("ISIC_2d", "lesion 'IL_2' has AKIEC='yes' in MILK10k_Training_GroundTruth.csv"),
        ("ISIC_3d", "lesion 'IL_3' has no class in MILK10k_Training_GroundTruth.csv"),
    ]


def test_milk10k_one_image_type(tmp_path: Path) -> None:
    result = read_source(SourceConfig(kind="milk10k", where={"image_type": "dermoscopic"}), milk(tmp_path))
    assert {item.record.dataset for item in result.records} == {"milk10k_dermo"}


@pytest.mark.parametrize("table", ["Metadata", "GroundTruth", "Supplement"])
def test_milk10k_missing_table(tmp_path: Path, table: str) -> None:
    (milk(tmp_path) / f"MILK10k_Training_{table}.csv").unlink()
    with pytest.raises(DataError, match=f"MILK10k_Training_{table}"):
        read_source(SourceConfig(kind="milk10k"), tmp_path)


def test_pad_ufes20(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "patient_id,lesion_id,age,gender,fitspatrick,region,diagnostic,itch,elevation,img_id,biopsed\n"
        "PAT_1,10,8,,,ARM,NEV,False,UNK,PAT_1_10_1.png,False\n"
        "PAT_2,11,55,FEMALE,3.0,NECK,SEK,TRUE,False,PAT_2_11_2.png,TRUE\n"
        "PAT_3,12,55,MALE,2.0,NECK,BCC,True,True,PAT_3_12_3.png,True\n"
    )
    for name in ("PAT_1_10_1", "PAT_2_11_2"):
        picture(tmp_path / "imgs_part_1" / f"{name}.jpg")
    result = read_source(SourceConfig(kind="pad_ufes20"), tmp_path)
    mole, keratosis = (item.record for item in result.records)
    assert (mole.image_id, mole.patient_id, mole.lesion_id) == ("PAT_1_10_1", "PAT_1", "PAD_10")
    assert (mole.sex, mole.skin_tone, mole.confirmation) == ("", "", "clinical assessment")
    assert mole.extras == {"itch": False}  # "UNK" is not known
    assert keratosis.extras == {"itch": True, "elevation": False}  # a spreadsheet writes TRUE
    assert (CODES[keratosis.label], keratosis.subclass, keratosis.skin_tone) == (
        "BEK",
        "seborrheic keratosis",
        "3",
    )
    assert (mole.native_class, mole.matched_subclass) == ("", "benign melanocytic nevus")
    assert (keratosis.native_class, keratosis.matched_subclass) == ("seborrheic keratosis",) * 2
    assert (keratosis.domain, keratosis.site, keratosis.confirmation) == (
        "smartphone",
        "neck",
        "histopathology",
    )
    assert [(r.row, r.file, r.reason) for r in result.rejects] == [(4, "PAT_3_12_3.png", "image not found")]


def test_recipes_load() -> None:
    for recipe in sorted((ROOT / "configs" / "data").glob("*.yaml")):
        assert load(ShardsConfig, recipe).sources, recipe


@pytest.mark.realdata
def test_real_data_agrees_with_its_manifest(real_data: Path, official: list[SourceResult]) -> None:
    with (real_data / "manifest.csv").open(newline="") as file:
        expected = {row["image_id"]: row for row in csv.DictReader(file)}
    records = [item.record for result in official for item in result.records]
    assert Counter(record.dataset for record in records) == {
        "ham10000": 10015, "milk10k_dermo": 5137, "milk10k_clinic": 5137, "pad_ufes20": 869,
    }  # fmt: skip
    assert {r.image_id: str(r.label) for r in records} == {
        name: row["label8"] for name, row in expected.items() if row["label8"]
    }
    for record in records:
        word = expected[record.image_id]["malignancy"].lower().replace("indeterminate", "pre-cancerous")
        assert word.startswith(record.malignancy), record
    refused = Counter(reject.missing_image for result in official for reject in result.rejects)
    assert refused == {False: 206, True: 1429}
