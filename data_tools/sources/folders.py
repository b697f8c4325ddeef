"""Sources without a table: what is known of an image stands in the names of its file and folder.

`folder` is any folder of images, the class being the name of the folder that holds them (or nothing at all).
The others are data sets published so, by their publishers' descriptions. DermNet and FLUO-SC were checked on
the file names in the reference system's tables; the folders of SD-198 and SKINL2 on no real copy.
"""

from __future__ import annotations

import re
from operator import itemgetter

from data_tools.config import SourceConfig
from data_tools.sources.adapter import Adapter, Draft, image_rows
from data_tools.sources.base import BadRowError, Row
from data_tools.sources.diagnosis import Diagnosis, diagnosis_of, longest_diagnosis
from data_tools.splits import PUBLISHED
from mmfm.data.index import TEST, TRAIN

FLUO_SC = {  # CCE: carcinoma de células escamosas
    "ACK": "actinic keratosis",
    "BCC": "basal cell carcinoma",
    "CCE": "squamous cell carcinoma",
    "MEL": "melanoma",
    "NEV": "melanocytic nevus",
    "SEK": "seborrheic keratosis",
}
SPLITS = {"train": TRAIN, "test": TEST}  # folders of DermNet
SKINL2_VIEW = re.compile(r"^(?P<lesion>\d+)(_\d+)?_Dermatoscopic$")


def folder(cfg: SourceConfig) -> Adapter:
    """Any folder of images. A folder whose name is no diagnosis leaves its images without a label."""
    return Adapter(rows=image_rows, draft=_of_folder, file_of=itemgetter("file"))


def dermnet(cfg: SourceConfig) -> Adapter:
    """DermNet: train/ and test/ with a folder per group of diseases; file names begin with the disease."""
    return Adapter(rows=image_rows, draft=_dermnet, file_of=itemgetter("file"), domain="clinical")


def fluo_sc(cfg: SourceConfig) -> Adapter:
    """FLUO-SC: CLI_CLASS_number, taken in white light; pictures of fluorescence (FLUO_...) are refused."""
    return Adapter(rows=image_rows, draft=_fluo_sc, file_of=itemgetter("file"), domain="clinical")


def sd198(cfg: SourceConfig) -> Adapter:
    """SD-198: a folder per class, in words joined by underscores."""
    return Adapter(rows=image_rows, draft=_sd198, file_of=itemgetter("file"), domain="clinical")


def skinl2(cfg: SourceConfig) -> Adapter:
    """SKINL2: NUMBER[_VIEW]_Dermatoscopic in Dermatoscopic/CLASS/ (v1) or NUMBER/CLASS/Dermatoscopic/.

    Pictures of the light fields (other names) are refused.
    """
    return Adapter(rows=image_rows, draft=_skinl2, file_of=itemgetter("file"), domain="dermoscopic")


def _of_folder(row: Row) -> Draft:
    words = row["folder"].replace("_", " ")
    try:
        diagnosis = diagnosis_of(words)
    except BadRowError:
        diagnosis = Diagnosis(native=words if len(row["file"].split("/")) > 1 else "")
    image_id = row["file"].rpartition(".")[0].replace("/", "_")
    return Draft(image_id=image_id, diagnosis=diagnosis)


def _dermnet(row: Row) -> Draft:
    split = next((SPLITS[name] for name in row["file"].lower().split("/")[:-1] if name in SPLITS), "")
    return Draft(
        image_id=row["stem"],
        diagnosis=longest_diagnosis(re.sub(r"-?\d+$", "", row["stem"])),
        extras={PUBLISHED: split} if split else {},
    )


def _fluo_sc(row: Row) -> Draft:
    view, _, rest = row["stem"].partition("_")
    code = rest.partition("_")[0]
    if view != "CLI" or code not in FLUO_SC:
        raise BadRowError(f"file name is not CLI_CLASS_number with one of {', '.join(FLUO_SC)}")
    return Draft(image_id=row["stem"], diagnosis=diagnosis_of(FLUO_SC[code]))


def _sd198(row: Row) -> Draft:
    return Draft(image_id=row["stem"], diagnosis=diagnosis_of(row["folder"].replace("_", " ")))


def _skinl2(row: Row) -> Draft:
    name = SKINL2_VIEW.match(row["stem"])
    if name is None:
        raise BadRowError("file name is not NUMBER_Dermatoscopic: no picture of the dermatoscope")
    folders = [name for name in row["file"].split("/")[:-1] if name.lower() != "dermatoscopic"]
    return Draft(
        image_id=row["stem"],
        diagnosis=diagnosis_of(folders[-1].replace("_", " ") if folders else ""),
        lesion_id=f"SKINL2_{name['lesion']}",
    )
