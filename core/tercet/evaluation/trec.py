"""Judgements and runs as the tools of TREC read and write them.

qrels     query_id, anything, doc_id, relevance        or, as BEIR has it, without the second
run       query_id Q0 doc_id rank score tag
"""

from pathlib import Path

from tercet.errors import SourceError
from tercet.ranking import Qrels, Run
from tercet.sources.jsonl import decoded, read_lines

HEADERS = ("query-id", "query_id", "qid", "query")
"""First fields of a header line, in lower case."""


def read_qrels(path: Path) -> Qrels:
    """Judgements from a file of BEIR, with or without its header, or of TREC.

    Raises:
        SourceError: A line does not hold three or four fields, the last a whole number.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        place = f"{path}, line {number}"
        fields = _fields(decoded(line, place=place))
        if not fields or (number == 1 and fields[0].lower() in HEADERS):
            continue
        if len(fields) not in (3, 4) or not fields[-1].removeprefix("-").isdecimal():
            raise SourceError(
                f"{place}: {' '.join(fields)[:60]!r}; query-id, corpus-id and a whole number "
                "belong there, with tabs between"
            )
        qrels.setdefault(fields[0], {})[fields[-2]] = int(fields[-1])
    if not qrels:
        raise SourceError(f"{path} holds no judgement")
    return qrels


def write_run(run: Run, path: Path, *, tag: str) -> None:
    """Write a run, best documents first.

    Args:
        run: Scores by query and document.
        path: The file to write.
        tag: Name of the system, the last field of each line.

    Raises:
        ValueError: An id has blanks, which the format cannot hold.
    """
    with path.open("w", encoding="utf-8") as file:
        for query_id, scores in run.items():
            best = sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
            for rank, (doc_id, score) in enumerate(best, start=1):
                fields = [query_id, "Q0", doc_id, str(rank), f"{score:.9g}", tag]
                if any(len(field.split()) != 1 for field in fields):
                    raise ValueError(f"{doc_id!r} for {query_id!r}: a run has no ids with blanks")
                file.write(" ".join(fields) + "\n")


def read_run(path: Path) -> Run:
    """The scores that a system gave.

    Raises:
        SourceError: A line does not hold the six fields of a run.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        place = f"{path}, line {number}"
        fields = decoded(line, place=place).split()
        if not fields:
            continue
        try:
            query_id, _, doc_id, _, score, _ = fields
            run.setdefault(query_id, {})[doc_id] = float(score)
        except ValueError as error:
            raise SourceError(f"{place}: {' '.join(fields)[:60]!r} is no line of a run") from error
    return run


def _fields(line: str) -> list[str]:
    """The fields of a line: ids may hold blanks where tabs stand between."""
    return line.strip().split("\t") if "\t" in line else line.split()
