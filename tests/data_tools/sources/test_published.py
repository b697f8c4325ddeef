"""Data sets in the layout that their publishers describe, as small folders of made-up files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import openpyxl
import pytest

from data_tools.config import SourceConfig
from data_tools.sources import ADAPTERS, SourceResult, read_source
from mmfm.errors import DataError
from mmfm.taxonomy import CODES, UNKNOWN_LABEL


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def read(kind: str, folder: Path, **changes: object) -> SourceResult:
    return read_source(SourceConfig(kind=kind, **changes), folder)  # type: ignore[arg-type]


def labels(result: SourceResult) -> dict[str, str]:
    return {r.image_id: CODES[r.label] if r.label != UNKNOWN_LABEL else "" for r in result.known}


def reasons(result: SourceResult) -> dict[str, str]:
    return {reject.file: reject.reason for reject in result.rejects}


DERM7PT = """\
case_num,diagnosis,seven_point_score,pigment_network,streaks,location,sex,clinic,derm
1,basal cell carcinoma,0,absent,absent,abdomen,female,NEL/NEL025.JPG,NEL/Nel026.jpg
2,melanoma (in situ),5,atypical,irregular,back,male,NEL/NEL027.JPG,NEL/Nel028.jpg
3,melanosis,1,absent,absent,head neck,male,NEL/NEL029.JPG,NEL/Nel030.jpg
4,lentigo,1,absent,absent,head neck,male,,NEL/Nel032.jpg
"""


def test_derm7pt(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"images/NEL/{name}" for name in ("NEL025.JPG", "Nel026.jpg", "Nel028.jpg", "Nel032.jpg"))
    )
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "meta.csv").write_text(DERM7PT)
    for split, indexes in (("train", (0,)), ("valid", (1, 3)), ("test", (3,))):
        lines = "\n".join(map(str, ("indexes", *indexes)))
        (tmp_path / "meta" / f"{split}_indexes.csv").write_text(lines + "\n")
    result = read("derm7pt", tmp_path, images="images")
    dermoscopic, clinical, melanoma, lentigo = (item.record for item in result.records)
    assert (dermoscopic.image_id, dermoscopic.domain, clinical.image_id, clinical.domain) == (
        "Nel026", "dermoscopic", "NEL025", "clinical",
    )  # fmt: skip
    assert dermoscopic.lesion_id == clinical.lesion_id == "DERM7PT_1"
    assert (CODES[melanoma.label], melanoma.subclass, melanoma.site) == ("MEL", "melanoma in situ", "back")
    assert melanoma.extras["pigment_network"] == "atypical"
    assert [r.extras.get("split") for r in (dermoscopic, melanoma, lentigo)] == ["train", "val", "val+test"]
    assert set(reasons(result).values()) == {"image not found", "label 'melanosis' outside the eight classes"}
    assert lentigo.site == "head and neck"
    one = read("derm7pt", tmp_path, images="images", where={"picture": "derm"})
    assert [item.record.image_id for item in one.records] == ["Nel026", "Nel028", "Nel032"]
    (tmp_path / "meta" / "test_indexes.csv").write_text("indexes\nx\n")
    with pytest.raises(DataError, match=r"test_indexes\.csv: 'x' is no number of a row"):
        read("derm7pt", tmp_path, images="images")


def test_dermnet(tmp_path: Path) -> None:
    names = {
        "basal-cell-carcinoma-nose-3": "BCC",
        "seborrheic-keratoses-ruff-12": "BEK",
        "bowens-disease-20": "SCC",
        "malignant-melanoma-1": "MEL",
        "Lichen-Planus-Drug-4": None,
        "melanoma-mimic-3": None,
        "psoriasis-palms-1": None,
    }
    touch(tmp_path, *(f"train/Some Group of Lesions/{name}.jpg" for name in names))
    result = read("dermnet", tmp_path)
    assert labels(result) == {name: code for name, code in names.items() if code}
    assert len(result.rejects) == 3 and result.records[0].record.domain == "clinical"
    touch(tmp_path, "test/Some Group of Lesions/actinic-keratosis-5.jpg", "actinic-keratosis-6.jpg")
    splits = {r.image_id: r.extras.get("split") for r in read("dermnet", tmp_path).known}
    assert splits["malignant-melanoma-1"] == "train"
    assert (splits["actinic-keratosis-5"], splits["actinic-keratosis-6"]) == ("test", None)


def test_fluo_sc(tmp_path: Path) -> None:
    touch(tmp_path, "CLI_ACK_1.jpg", "CLI_CCE_2.jpg", "FLUO_CCE_2.jpg", "CLI_XYZ_1.jpg")
    result = read("fluo_sc", tmp_path)
    assert labels(result) == {"CLI_ACK_1": "ACK", "CLI_CCE_2": "SCC"}
    assert len(result.rejects) == 2


def test_sd198(tmp_path: Path) -> None:
    names = ("Actinic_solar_Damage(Actinic_Keratosis)/000493HB", "Bowen's_Disease/1", "Acne_Vulgaris/2")
    touch(tmp_path, *(f"images/{name}.png" for name in names))
    result = read("sd198", tmp_path, images="images")
    assert labels(result) == {"000493HB": "ACK", "1": "SCC"}
    assert reasons(result) == {
        "Acne_Vulgaris/2.png": "unknown label 'Acne Vulgaris'; diagnoses.yaml has the words that are known"
    }


def test_skinl2(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "SKINL2_v1/Dermatoscopic/Nevus/0102_Dermatoscopic.png",
        "SKINL2_v2/0101/Melanoma/Dermatoscopic/0101_1_Dermatoscopic.png",
        "SKINL2_v2/0101/Melanoma/Dermatoscopic/0101_2_Dermatoscopic.png",
        "SKINL2_v2/0101/Melanoma/Light Field/0101_view_3.png",
    )
    result = read("skinl2", tmp_path)
    assert labels(result) == {
        "0102_Dermatoscopic": "NEV",
        "0101_1_Dermatoscopic": "MEL",
        "0101_2_Dermatoscopic": "MEL",
    }
    assert [item.record.lesion_id for item in result.records] == ["SKINL2_0102", "SKINL2_0101", "SKINL2_0101"]
    assert len(result.rejects) == 1


def test_a_plain_folder(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "photos/melanoma/a.jpg",
        "photos/melanoma/b/a.jpg",
        "photos/Blue nevus/a.jpg",
        "photos/c.jpg",
    )
    result = read("folder", tmp_path, root="photos", domain="clinical")
    assert labels(result) == {"melanoma_a": "MEL", "melanoma_b_a": "", "Blue nevus_a": "NEV", "c": ""}
    assert {item.record.image_id: item.record.native_class for item in result.records} == {
        "melanoma_a": "", "melanoma_b_a": "b", "Blue nevus_a": "blue nevus", "c": "",
    }  # fmt: skip
    assert {item.record.dataset for item in result.records} == {"photos"}
    with pytest.raises(DataError, match="no images below"):
        read("folder", tmp_path, root="photos", images="nowhere", domain="clinical")


FITZPATRICK17K = """\
md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url
abc,3,3,superficial spreading melanoma ssm,malignant melanoma,malignant,,https://atlas.example/1.jpg
def,-1,2,lichen planus,inflammatory,non-neoplastic,,https://atlas.example/2.jpg
012,-1,2,naevus,benign melanocyte,benign,1 Diagnostic,https://atlas.example/3.jpg
"""


def test_fitzpatrick17k(tmp_path: Path) -> None:
    (tmp_path / "fitzpatrick17k.csv").write_text(FITZPATRICK17K)
    touch(tmp_path, "images/abc.jpg", "images/def.jpg", "images/012.jpg")
    result = read("fitzpatrick17k", tmp_path, images="images")
    melanoma, nevus = (item.record for item in result.records)
    assert (CODES[melanoma.label], melanoma.subclass, melanoma.skin_tone) == (
        "MEL", "superficial spreading melanoma", "3",
    )  # fmt: skip
    assert (CODES[nevus.label], nevus.skin_tone, nevus.extras["qc"]) == ("NEV", "", "1 Diagnostic")
    assert reasons(result) == {"def": "label 'lichen planus' outside the eight classes"}


MIDAS = """\
|midas_record_id|midas_file_name|midas_iscontrol|midas_distance|midas_path|midas_pathreport|midas_gender|midas_age\
|midas_fitzpatrick|clinical_impression_1|length_(mm)
0|7|s-prd-1.jpg|no|dscope|malignant- bcc|basal cell carcinoma|male|71|ii fair|7-malignant-bcc|6.5
1|7|s-prd-2.jpeg|no|6in|malignant- bcc|basal cell carcinoma|male|71|ii fair|7-malignant-bcc|6.5
2|8|s-prd-3.jpg|no|1ft|malignant- ak||female|60||10-malignant-ak|
3|9|s-prd-4.jpg|yes|1ft|benign-melanocytic nevus||female|60|||
4|9|s-prd-5.jpg|no|1ft|||female|60||1-benign-melanocytic nevus|
5|9|s-prd-6.jpg|no|1ft|other- melanocytic lesion with possible re-excision (severe/spitz nevus, aimp)||||||
6|9|s-prd-7.jpg|no|1ft|6-benign-other||||||
"""


def test_mra_midas(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for line in MIDAS.splitlines():  # numbers as Excel keeps them, empty cells as None
        book.active.append([float(cell) if cell.isdigit() else cell or None for cell in line.split("|")])
    book.save(tmp_path / "release_midas.xlsx")
    touch(tmp_path, *(f"images/s-prd-{number}.jpg" for number in range(1, 8)))
    result = read("mra_midas", tmp_path, images="images")
    close, wide, keratosis, nevus, lesion = (item.record for item in result.records)
    assert (close.domain, wide.domain) == ("dermoscopic", "clinical")
    assert close.lesion_id == wide.lesion_id == "MIDAS_7"
    assert (CODES[close.label], close.age, close.sex, close.skin_tone) == ("BCC", 71.0, "male", "2")
    assert (close.description, close.extras["length_mm"]) == ("", "6.5")
    assert (CODES[keratosis.label], keratosis.malignancy) == ("ACK", "pre-cancerous")  # not its heading's
    assert (CODES[nevus.label], nevus.confirmation) == ("NEV", "clinical assessment")
    assert (CODES[lesion.label], lesion.malignancy) == ("NEV", "")
    assert set(reasons(result).values()) == {
        "control picture of healthy skin",
        "label 'benign other' outside the eight classes",
    }


def test_an_excel_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "release_midas.xlsx").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"cannot read .*release_midas\.xlsx"):
        read("mra_midas", tmp_path)


def test_derm12345(tmp_path: Path) -> None:
    for part, rows in (("train", "D_1,cd,P1,7\nD_2,ks,P1,\n"), ("test", "D_3,isl,P2,9\nD_4,dfsp,P3,9\n")):
        (tmp_path / f"derm12345_metadata_{part}.csv").write_text(
            "image_id,label,patient_id,lesion_id\n" + rows
        )
    touch(tmp_path, *(f"images/D_{number}.jpg" for number in range(1, 5)))
    result = read("derm12345", tmp_path)
    assert labels(result) == {"D_1": "NEV", "D_2": "VASC", "D_3": "BEK"}
    assert [item.record.extras["split"] for item in result.records] == ["train", "train", "test"]
    assert [item.record.patient_id for item in result.records] == [
        "DERM12345_P1",
        "DERM12345_P1",
        "DERM12345_P2",
    ]
    assert [item.record.lesion_id for item in result.records] == ["DERM12345_7", "", "DERM12345_9"]
    assert [reject.place for reject in result.rejects] == ["derm12345_metadata_test.csv:3"]
    assert result.records[1].record.malignancy == "malignant"
    (tmp_path / "derm12345_supplemental.csv").write_text("isic_id,label,split\nD_1,mel,test\n")
    assert labels(read("derm12345", tmp_path)) == {"D_1": "MEL"}


def test_bcn20000(tmp_path: Path) -> None:
    (tmp_path / "bcn20000_metadata.csv").write_text(
        "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split\n"
        "BCN_1.jpg,55.0,anterior torso,MEL,BCN_0003884,2012-05-16,male,train\n"
        "BCN_2.jpg,55.0,anterior torso,,BCN_0003885,2012-05-16,male,test\n"
    )
    touch(tmp_path, "images/BCN_1.jpg", "images/BCN_2.jpg")
    result = read("bcn20000", tmp_path)
    assert labels(result) == {"BCN_1": "MEL"}
    record = result.records[0].record
    assert (record.lesion_id, record.site, record.extras["split"]) == (
        "BCN_0003884",
        "anterior torso",
        "train",
    )
    assert reasons(result) == {"BCN_2.jpg": "no diagnosis"}


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    for name in ("mole", "nevus"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jpg").write_bytes(b"x")
    (tmp_path / "mole" / "all").symlink_to(tmp_path)
    (tmp_path / "nevus" / "aside").symlink_to(tmp_path / "mole")  # another folder is read
    result = read_source(SourceConfig(kind="folder", dataset="some", domain="clinical"), tmp_path)
    assert sorted(item.record.image_id for item in result.records) == [
        "mole_mole",
        "nevus_aside_mole",
        "nevus_nevus",
    ]


def test_every_kind_of_the_recipe_has_an_adapter() -> None:
    spec = next(spec for spec in fields(SourceConfig) if spec.name == "kind")
    assert set(spec.metadata["choices"]) == set(ADAPTERS)
