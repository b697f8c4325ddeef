"""Strategy K: a note primed by facts that are drawn from the knowledge graph.

The facts are typical of the diagnosis, not seen in the picture, and the notes word them so. They are written
by template here, or by a language model that is given the same facts and no picture. The facts stand in the
provenance, by kind, so that the audit can check that all of them are told.
"""

from __future__ import annotations

from typing import Any

from data_tools.notes.facts import facts_of, given
from data_tools.notes.graph import draw, knowledge
from data_tools.notes.prompts import listed
from data_tools.notes.strategies.asked import AskedStrategy, blanks
from data_tools.notes.strategies.metadata import DIAGNOSIS
from data_tools.notes.strategies.wordings import Sentences, Wordings, compose, hash_of
from data_tools.notes.strategy import Label, Settings
from mmfm.records import Note, Record

# Facts of the graph have no articles, so they stand after a colon or in brackets, not within a sentence.
FINDINGS: Wordings = (
    (
        ("findings",),
        (
            "Among the typical findings: {findings}.",
            "Typical findings: {findings}.",
            "Findings in keeping with this diagnosis: {findings}.",
            "What is typically seen: {findings}.",
        ),
    ),
)
COURSE: Wordings = (
    (
        ("symptoms", "risks"),
        (
            "Typical complaints: {symptoms}; known risk factors: {risks}.",
            "Such lesions have typical complaints ({symptoms}) and risk factors ({risks}).",
            "Known symptoms: {symptoms}; risk factors: {risks}.",
        ),
    ),
    (("symptoms",), ("Typical complaints: {symptoms}.", "Possible symptoms: {symptoms}.")),
    (("risks",), ("Known risk factors: {risks}.", "Risk factors: {risks}.")),
    # Nothing of the kind was drawn, nor is the patient known: there would be less than three sentences.
    (("code",), ("Coded in ICD-10 as {code}.", "Its code in ICD-10 is {code}.")),
)
DRUGS: Wordings = (
    (("drugs",), ("Drugs in use for it include {drugs}.", "Drugs used for it: {drugs}, among others.")),
)
CASE: Wordings = (
    (
        ("patient", "place"),
        (
            "Here the lesion lies {place} of {patient}.",
            "{Patient} has this lesion {place}.",
            "Found here {place} of {patient}.",
        ),
    ),
    (("patient",), ("Seen here in {patient}.", "{Patient} has this lesion.")),
    (("place",), ("Here the lesion lies {place}.", "It is found here {place}.")),
)
BACKGROUND: Wordings = (
    (
        ("tone", "confirmation"),
        (
            "The skin is of {tone}, and the diagnosis rests on {confirmation}.",
            "On skin of {tone}; confirmed by {confirmation}.",
        ),
    ),
    (("tone",), ("The skin is of {tone}.", "On skin of {tone}.")),
    (("confirmation",), ("Confirmed by {confirmation}.", "The diagnosis rests on {confirmation}.")),
)
SENTENCES: Sentences = (
    ("primed diagnosis", DIAGNOSIS),
    ("findings", FINDINGS),
    ("course", COURSE),
    ("drugs", DRUGS),
    ("case", CASE),
    ("primed background", BACKGROUND),
)
TEMPLATE_HASH = hash_of(SENTENCES)
# What is told of the record. The names and the description of the source say more than the diagnosis, and
# that is all that the drawn facts know of.
TOLD = ("class", "subclass", "malignancy", "age", "sex", "site", "skin_tone", "confirmation")
PHRASES = {"finding": "findings", "symptom": "symptoms", "risk factor": "risks", "drug": "drugs"}


class PrimedNote(AskedStrategy):
    """Strategy K. Without a writer `write` makes it; with one, `prompt` and `read` do."""

    name = "K"
    wording = "2"  # version of the templates here; `version` is that of the prompt
    label: Label = "given"
    needs_model = False
    told = True
    image = False

    def write(self, record: Record, settings: Settings) -> Note:
        """The note of `record` by templates; a pure function of it and of `settings.graph`."""
        facts = self.facts(record, settings)
        phrases = facts_of(record)
        phrases |= {PHRASES[kind]: listed(facts[kind]) for kind in PHRASES if kind in facts}
        if not {"patient", "place", "tone", "confirmation"} & set(phrases):
            phrases |= _code(record)
        text, choices = compose(SENTENCES, phrases, record.key)
        provenance = {
            "backend": "template",
            "version": self.wording,
            "template": choices,
            "template_hash": TEMPLATE_HASH,
            "temperature": settings.graph.temperature,
            "seed": settings.graph.seed,
            "facts": facts,
        }
        return Note(self.name, text, provenance)

    def facts(self, record: Record, settings: Settings) -> dict[str, Any]:
        """What is given, by name, and what is drawn, a list for each kind."""
        told = {name: value for name, value in given(record).items() if name in TOLD}
        return {**told, **draw(record, settings.graph)}

    def context(self, record: Record, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts that are given, the drawn ones apart from them, and the examples of style."""
        return {
            "known": blanks(facts),
            "typical": {kind: facts[kind] for kind in PHRASES if kind in facts},
            "examples": settings.examples,
        }


def _code(record: Record) -> dict[str, str]:
    """The ICD-10 code, unless a subclass is told that the graph does not hold: it may have another code."""
    disease = knowledge().disease_of(record)
    if disease is None or knowledge().find(given(record).get("subclass", disease)) != disease:
        return {}
    return {"code": knowledge().icd10_of(disease)}
