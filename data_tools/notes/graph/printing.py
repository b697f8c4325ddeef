"""The knowledge graph in words: an overview, or all that is known of one disease, with the sources."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator

from data_tools.notes.graph.knowledge import FACT_KINDS, RELATIONS, Edge, Knowledge, knowledge
from mmfm.errors import ConfigError
from mmfm.taxonomy import NAMES, label_of, subclass_of

WIDTH = 110


def describe(words: str = "") -> Iterator[str]:
    """Lines about the disease that `words` name (class, subclass or code), without any about the graph.

    Raises `ConfigError` for a disease that the graph lacks.
    """
    graph = knowledge()
    if not words:
        yield from _overview(graph)
        return
    disease = find_disease(words)
    family = (disease, *graph.subclasses_of(disease))
    for one in family:
        yield from _disease(graph, one)
        yield ""
    used = {source for one in family for source in _sources(graph, one)}
    yield "sources"
    for key in graph.sources:
        if key in used:
            yield from _citation(key, graph.sources[key])


def find_disease(words: str) -> str:
    """The disease of the graph that a class, its code or a subclass means. Raises `ConfigError`."""
    graph = knowledge()
    subclass = subclass_of(words)
    try:
        return NAMES[label_of(words)]
    except KeyError:
        if subclass is not None:
            return subclass.name
    known = {name.lower(): name for name in graph.names("disease")}
    close = difflib.get_close_matches(words.lower(), known, n=1, cutoff=0.5)
    hint = f" Did you mean {known[close[0]]}?" if close else ""
    raise ConfigError(f"the knowledge graph has no {words!r}; it has {', '.join(known.values())}.{hint}")


def _overview(graph: Knowledge) -> Iterator[str]:
    diseases = graph.names("disease")
    wide = max(map(len, diseases)) + 4
    yield f"{'':{wide}}{'ICD-10':8}" + "".join(f"{kind + 's':>14}" for kind in FACT_KINDS)
    for name in NAMES:
        for disease in (name, *graph.subclasses_of(name)):
            counts = "".join(f"{len(graph.edges(disease, kind)):14}" for kind in FACT_KINDS)
            label = disease if disease == name else f"  {disease}"
            yield f"{label:{wide}}{graph.icd10_of(disease):8}{counts}"
    yield f"{graph.graph.number_of_edges()} edges, each with one of {len(graph.sources)} sources"


def _disease(graph: Knowledge, disease: str) -> Iterator[str]:
    parent = graph.parent_of(disease)
    yield f"{disease}{f', a {parent}' if parent else ''}; ICD-10 {graph.icd10_of(disease)}"
    own = graph.statements(disease)
    wide = max((len(edge.fact) for edge in own), default=0) + 2
    for relation, kind in RELATIONS.items():
        for number, edge in enumerate(edge for edge in own if edge.relation == relation):
            heading = relation if not number else ""
            yield f"  {heading:14}{edge.fact:{wide}}{edge.grade:12}{edge.source}{_conditions(edge)}"
        if parent and kind not in graph.own_kinds(disease) and graph.edges(disease, kind):
            yield f"  {relation:14}as {parent}"


def _conditions(edge: Edge) -> str:
    parts = []
    if edge.age:
        parts.append(f"aged {edge.age[0]:g} to {edge.age[1]:g}")
    parts += [edge.sex] if edge.sex else []
    parts += [f"at {', '.join(edge.sites)}"] if edge.sites else []
    parts += [f"of {', '.join(edge.of)}"] if edge.of else []
    return f"  ({'; '.join(parts)})" if parts else ""


def _sources(graph: Knowledge, disease: str) -> set[str]:
    """Keys of the sources of what the file says of a disease."""
    return {source for _, _, source in graph.graph.out_edges(disease, data="source")}


def _citation(key: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, WIDTH - 18)
    yield f"  {key:16}{lines[0]}"
    for line in lines[1:]:
        yield f"{'':18}{line}"
