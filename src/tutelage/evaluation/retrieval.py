"""Whether a search finds what people judged to be right: nDCG@10, MAP, R@100, P@30 and Hits@k.

Queries, as TSV or JSON lines (BEIR), and judgements, in TREC's four columns or BEIR's three with a header:

    1 <tab> 0-dimensional biomaterials show inductive properties.        {"_id": "1", "text": "0-dimensional ..."}
    1 0 31715818 1                                                       query-id <tab> corpus-id <tab> score

The measures are those of trec_eval, through ir_measures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tutelage.errors import CorpusError, all_problems
from tutelage.retrieval.corpus.lines import Line, read_lines
from tutelage.retrieval.corpus.report import Report
from tutelage.types import Hit

MEASURES: Mapping[str, str] = {
    "nDCG@10": "nDCG@10",
    "MAP": "AP",
    "R@100": "R@100",
    "P@30": "P@30",
    "Hits@1": "Success@1",
    "Hits@3": "Success@3",
    "Hits@5": "Success@5",
    "Hits@10": "Success@10",
}
"""What is measured, by the name it has in ir_measures. Hits@k: queries with a right passage among the first k."""

Qrels = Mapping[str, Mapping[str, int]]
"""For each query how relevant passages are; 0 and less is not."""


class RetrievalScore(NamedTuple):
    """How well a search found what was judged relevant."""

    means: dict[str, float]
    """Of each measure, over the judged queries; one for which nothing was found counts 0."""
    per_query: dict[str, dict[str, float]]
    """Of each judged query."""
    n: int
    """Judged queries: those with at least one relevant passage."""
    unjudged: int
    """Queries that were asked and have no relevant passage in the judgements; they count nowhere."""


def score_retrieval(qrels: Qrels, found: Mapping[str, Sequence[Hit]]) -> RetrievalScore:
    """Score what was found for each query by the judgements of that query. Raises CorpusError where none fits."""
    import ir_measures

    judged = {q: dict(qrels[q]) for q in found if any(grade > 0 for grade in qrels.get(q, {}).values())}
    if not judged:
        raise CorpusError(
            f"none of the {len(found)} queries has a relevant passage in the judgements. "
            "Do the files belong together, and do they use the same query ids?"
        )
    measures = {ir_measures.parse_measure(measure): name for name, measure in MEASURES.items()}
    # By rank, since trec_eval breaks ties by its own rule and reads scores as float32.
    run = {q: {hit.passage_id: float(-hit.rank) for hit in found[q]} for q in judged}
    per_query: dict[str, dict[str, float]] = {q: {} for q in judged}
    for metric in ir_measures.iter_calc(list(measures), judged, run):
        per_query[metric.query_id][measures[metric.measure]] = float(metric.value)
    means = {name: sum(row[name] for row in per_query.values()) / len(judged) for name in MEASURES}
    return RetrievalScore(means, per_query, len(judged), len(found) - len(judged))


def read_queries(path: Path) -> dict[str, str]:
    """Queries by id. Raises CorpusError with every bad line."""
    queries: dict[str, str] = {}
    with_json = ".jsonl" in path.suffixes
    expected = '{"_id": ..., "text": ...}' if with_json else "id, a tab, and the text"
    report = Report()
    for line in _lines(path, report):
        id, text = _json_query(line.text) if with_json else _tsv_query(line.text)
        if not id or not text or id in queries:
            report.problem(f"{line.where}: {'query ' + id + ' again' if id in queries else 'expected ' + expected}")
        queries[id] = text
    return _checked(queries, report, "queries")


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements by query and passage. Raises CorpusError with every bad line."""
    qrels: dict[str, dict[str, int]] = {}
    report = Report()
    for number, line in enumerate(_lines(path, report)):
        cells = line.text.split("\t") if "\t" in line.text else line.text.split()
        query, passage, grade = (cells[0], cells[-2], cells[-1].strip()) if len(cells) in (3, 4) else ("", "", "")
        if _is_whole(grade):
            qrels.setdefault(query, {})[passage] = int(grade)
        elif number or len(cells) not in (3, 4):  # the first line may be a header
            report.problem(f"{line.where}: expected `query 0 passage grade` or `query <tab> passage <tab> grade`")
    return _checked(qrels, report, "judgements")


def _lines(path: Path, report: Report) -> Iterator[Line]:
    if not path.is_file():
        raise CorpusError(f"no file {str(path)!r}")
    return (line for line in read_lines(path, path.name, report) if line.text.strip())


def _checked(read: Any, report: Report, what: str) -> Any:
    if report.bad or not read:
        raise CorpusError(all_problems(f"{report.bad} lines of the {what} cannot be read:", report.problems))
    return read


def _tsv_query(text: str) -> tuple[str, str]:
    id, _, query = text.partition("\t")
    return id.strip(), query.strip()


def _json_query(text: str) -> tuple[str, str]:
    try:
        row: Any = json.loads(text)
    except ValueError:
        return "", ""
    if not isinstance(row, dict):
        return "", ""
    return str(row.get("_id", row.get("id", ""))).strip(), str(row.get("text", "")).strip()


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
