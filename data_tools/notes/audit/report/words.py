"""What the names on the page mean."""

from __future__ import annotations

from data_tools.config import AuditConfig
from data_tools.notes.audit.findings import SHORTFALLS

# Kinds of finding by what they are about; the page gives each group its own colour and line.
GROUPS = {
    "diagnosis": ("class", "subclass", "malignancy"),
    "attributes": ("age", "sex", "site", "skin_tone", "confirmation", "history", "judge"),
    "rules": ("option", "leak"),
    "form": ("length", "repetition", "near_duplicate", "empty", *SHORTFALLS),
}
GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
GROUP_WORDS = {
    "diagnosis": "contradicts the diagnosis",
    "attributes": "tells what was not given, or otherwise",
    "rules": "outside what its strategy may say",
    "form": "form",
}
KIND_WORDS = {
    "class": "Affirms another class than that of the lesion, or denies its own.",
    "subclass": "Affirms another subclass.",
    "malignancy": "Calls a malignant lesion benign, or the other way round.",
    "age": "Tells an age that was not given, or another.",
    "sex": "Tells a sex that was not given, or the other.",
    "site": "Tells a body site that was not given, or another.",
    "skin_tone": "Tells a skin tone that was not given, or another.",
    "confirmation": "Tells how the diagnosis was confirmed, though that was not given, or otherwise.",
    "history": "Tells of a course or history that was not given.",
    "option": "Answers outside the closed options of its strategy.",
    "leak": "Names the class, though its strategy must not.",
    "length": "Has fewer or more words than the recipe allows.",
    "repetition": "Says the same sequences of words again and again.",
    "near_duplicate": "Is all but the same as too many other notes of its name.",
    "empty": "Has no words.",
    "judge": "Is not supported by the given facts, as the language model finds that was asked to judge.",
    "recall": "Tells fewer of the given facts than the recipe asks for.",
    "precision": "Has fewer supported statements than the recipe asks for.",
    "similarity": "Is less similar to the given facts than the recipe asks for.",
}
SCORES = {
    "Refused": "Share of the notes that the recipe keeps out of the shards, with its 95% Wilson interval.",
    "Recall": "Share of the facts given for the lesion that its note tells, mean over notes.",
    "Precision": "Share of a note's checkable statements that the metadata or the knowledge graph support, "
    "mean over notes.",
    "Distinct-2": "Different pairs of neighbouring words among all pairs, over all notes of the name: low "
    "where notes are alike.",
    "Near-duplicates": "Share of the notes that are all but the same as another one of the name.",
}
OPTIONAL_SCORES = {
    "similarity": "Cosine of the mean-pooled embeddings of the note and of its given facts, mean over notes.",
    "bert_recall": "BERTScore recall: cosine of each token of the facts with the nearest one of the note.",
    "bert_precision": "BERTScore precision: cosine of each token of the note with the nearest of the facts.",
    "bert_f1": "Harmonic mean of the two. Without weights of words (idf) and without rescaling.",
    "supported": "Share of the judged notes that the judge, a language model, finds supported by the facts.",
}
STRATEGIES = {
    "M": "sentences from the metadata",
    "L1": "structured report, metadata given",
    "L2": "free characteristics, metadata given",
    "OL": "no metadata, closed list of classes",
    "S1": "features, then diagnosis, metadata given",
    "S2": "features without metadata",
    "D1": "caption, metadata given",
    "D2": "caption without metadata",
    "K": "facts drawn from the knowledge graph",
    "R": "another lesion's note, the control",
}
SUBGROUPS = {
    "class": "Class",
    "dataset": "Dataset",
    "sex": "Sex",
    "age": "Age in years",
    "skin_tone": "Skin tone",
    "site": "Body site",
}


def rules(cfg: AuditConfig) -> list[tuple[str, str]]:
    """What the recipe refuses, as setting and value."""
    listed = {
        "refuse": ", ".join(cfg.refuse),
        "exempt": ", ".join(cfg.exempt),
        "hidden": ", ".join(cfg.hidden),
        "encoder": cfg.encoder,
        "judge": cfg.judge,
    }
    numbers = (
        "min_recall",
        "min_precision",
        "min_words",
        "max_words",
        "max_repetition",
        "max_near_duplicates",
        "min_similarity",
    )
    return [
        *((f"audit.{key}", value or "none") for key, value in listed.items()),
        *((f"audit.{key}", f"{getattr(cfg, key):g}") for key in numbers),
    ]
