"""The knowledge graph: what goes with each of the eight classes and their subclasses, with a source each.

`knowledge.yaml` is the graph; `knowledge` reads it, `draw` draws facts of a lesion from it for notes, and the
functions here answer for the audit what it holds.
"""

from __future__ import annotations

from data_tools.notes.graph.draw import draw
from data_tools.notes.graph.knowledge import FACT_KINDS, KINDS, Edge, Knowledge, knowledge

__all__ = [
    "FACT_KINDS",
    "KINDS",
    "Edge",
    "Knowledge",
    "compatible",
    "draw",
    "facts_about",
    "findings_of",
    "knowledge",
    "names",
    "words",
]


def names(kind: str) -> list[str]:
    """All names of one of `KINDS`, in the order of the file. Raises `KeyError` for another kind."""
    return knowledge().names(kind)


def words(name: str) -> tuple[str, ...]:
    """The other words for exactly the same thing. Raises `KeyError` for a name that the graph lacks."""
    return knowledge().words(name)


def facts_about(disease: str, kind: str) -> list[str]:
    """What of `kind` goes with `disease` or with one of its subclasses, in the order of the file.

    Raises `KeyError` for a disease that the graph lacks.
    """
    graph = knowledge()
    below = (disease, *graph.subclasses_of(disease))
    return list(dict.fromkeys(edge.fact for one in below for edge in graph.edges(one, kind)))


def findings_of(disease: str) -> list[str]:
    """`facts_about` for findings."""
    return facts_about(disease, "finding")


def compatible(disease: str, fact: str) -> bool | None:
    """Whether the graph knows `fact` (or another word for it) of `disease` or of one of its subclasses.

    None where the graph does not hold the disease or the fact: it cannot tell.
    """
    graph = knowledge()
    name = graph.find(fact)
    if name is None or graph.find(disease) != disease or graph.kind_of(disease) != "disease":
        return None
    kind = graph.kind_of(name)
    return name in facts_about(disease, kind) if kind in FACT_KINDS else None
