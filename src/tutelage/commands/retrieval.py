"""`tutelage index`, `search` and `search-eval`: a corpus, what it answers, and how well."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.errors import CorpusError

if TYPE_CHECKING:
    from tutelage.retrieval.bm25 import Bm25
    from tutelage.retrieval.bm25.changing import Changes
    from tutelage.retrieval.corpus import Fields, Report
    from tutelage.types import Passage

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="Folder of an index made by `tutelage index`.")]
K1 = Annotated[float, typer.Option(help="How soon repeated terms stop counting more.", min=0)]
B = Annotated[float, typer.Option(help="How much long passages are held back.", min=0, max=1)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]


@app.command()
def index(
    corpus: Annotated[
        str, typer.Argument(help="JSONL, JSONL.gz or Parquet file, folder of documents, or hub data set.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the index.")],
    words: Annotated[int, typer.Option(help="Most words of a passage cut from a document.", min=1)] = 100,
    overlap: Annotated[int, typer.Option(help="Words that a passage repeats of the one before.", min=0)] = 0,
    fields: Annotated[
        str, typer.Option(help="Names of a row's fields where they are unusual: id=pmid,title=name,text=abstract.")
    ] = "",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read, and tell of it.")
    ] = False,
    keep_repeated: Annotated[
        bool, typer.Option("--keep-repeated", help="Keep passages that say the same as an earlier one.")
    ] = False,
    add: Annotated[bool, typer.Option("--add", help="Add to the index that is there.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --add: replace passages whose id is there with another text.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes that index. Default: cores.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Make an index of passages to search.

    What was there before counts until the new index is whole, so that it may be interrupted at any time.
    """
    from tutelage.retrieval.bm25 import Bm25
    from tutelage.retrieval.corpus import Report, read_corpus

    if replace and not add:
        raise typer.BadParameter("only with --add; without it the whole index is made anew", param_hint="--replace")
    report, start = Report(), time.monotonic()
    passages = read_corpus(
        corpus,
        words=words,
        overlap=overlap,
        skip_bad=skip_bad,
        keep_repeated=keep_repeated,
        fields=_fields(fields),
        report=report,
    )
    changes: Changes | None = None
    with _counting(passages, report) as counted:
        if add:
            made = Bm25.open(out)
            changes = made.update(counted) if replace else made.add(counted)
        else:
            made = Bm25.build(counted, out, workers=workers)
    _tell(made, out, report, changes, time.monotonic() - start, as_json=as_json)


@app.command()
def search(
    folder: Folder,
    query: Annotated[str, typer.Argument(help="What to search for, in quotes.")],
    k: Annotated[int, typer.Option("-k", help="How many passages.", min=1)] = 10,
    k1: K1 = 0.9,
    b: B = 0.4,
    as_json: AsJson = False,
) -> None:
    """Search an index; the best passage first."""
    from tutelage.retrieval.bm25 import Bm25

    opened = Bm25.open(folder, k1=k1, b=b)
    [hits] = opened.search([query], k)
    rows = list(zip(hits, opened.passages([hit.passage_id for hit in hits]), strict=True))
    if as_json:
        found = [{"rank": h.rank, "id": p.id, "score": h.score, "title": p.title, "text": p.text} for h, p in rows]
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for hit, passage in rows:
        title = f"  {passage.title}" if passage.title else ""
        typer.echo(f"{hit.rank + 1:>3}  {hit.score:8.4f}  {passage.id}{title}\n     {passage.text}")
    if not rows:
        typer.echo("nothing found: no passage shares a term with the query", err=True)


@app.command("search-eval")
def search_eval(
    folder: Folder,
    queries: Annotated[Path, typer.Option(help="TSV with id and text, or JSON lines with `_id` and `text`.")],
    qrels: Annotated[Path, typer.Option(help="Judgements: `query 0 passage grade`, or BEIR's three columns.")],
    depth: Annotated[int, typer.Option(help="Passages fetched for each query; MAP sees all of them.", min=1)] = 1000,
    k1: K1 = 0.9,
    b: B = 0.4,
    as_json: AsJson = False,
) -> None:
    """Score a search by judgements: nDCG@10, MAP, R@100, P@30 and Hits@k."""
    from tutelage.evaluation.retrieval import read_qrels, read_queries, score_retrieval
    from tutelage.retrieval.bm25 import Bm25

    asked, judged = read_queries(queries), read_qrels(qrels)
    opened = Bm25.open(folder, k1=k1, b=b)
    score = score_retrieval(judged, dict(zip(asked, opened.search(list(asked.values()), depth), strict=True)))
    if as_json:
        figures = {**score.means, "n": score.n, "unjudged": score.unjudged, "k1": k1, "b": b, "depth": depth}
        typer.echo(json.dumps({**figures, "index": opened.fingerprint, "per_query": score.per_query}))
        return
    for name, mean in score.means.items():
        typer.echo(f"{name:<8}  {mean:.4f}")
    typer.echo(
        f"{score.n} judged queries" + (f"; {score.unjudged} without a judgement left out" * bool(score.unjudged))
    )


def _fields(text: str) -> Fields:
    from tutelage.retrieval.corpus import Fields

    pairs = [piece.partition("=") for piece in text.split(",") if piece.strip()]
    wrong = [name for name, _, value in pairs if name.strip() not in Fields._fields or not value.strip()]
    if wrong:
        raise CorpusError(f"--fields {text!r}: expected id=NAME, title=NAME or text=NAME, joined by commas.")
    return Fields(**{name.strip(): value.strip() for name, _, value in pairs})


@contextmanager
def _counting(passages: Iterable[Passage], report: Report) -> Generator[Iterator[Passage]]:
    """The passages, with a line on the terminal that counts them."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} passages{task.fields[bad]}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None, bad="")

        def counted() -> Iterator[Passage]:
            for passage in passages:
                if report.passages % 1000 == 0:
                    progress.update(task, completed=report.passages, bad=f", {report.bad} bad" if report.bad else "")
                yield passage

        yield counted()


def _tell(made: Bm25, out: Path, report: Report, changes: Changes | None, seconds: float, *, as_json: bool) -> None:
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    figures = {
        "passages": len(made),
        **(changes._asdict() if changes else {}),
        "repeated": report.repeated,
        "bad": report.bad,
        "megabytes": round(size / 1e6, 1),
        "seconds": round(seconds, 1),
    }
    if as_json:
        typer.echo(json.dumps({**figures, "fingerprint": made.fingerprint, "problems": report.problems}))
        return
    for name, value in figures.items():
        typer.echo(f"{name:<10} {value:,}")
    typer.echo(f"{'index':<10} {out}")
    for problem in report.problems:
        typer.echo(f"left out   {problem}", err=True)
    if report.bad > len(report.problems):
        typer.echo(f"left out   ... and {report.bad - len(report.problems)} more", err=True)
