"""Copies: all documents of an index into another one, of any engine, without encoding again."""

from tercet.documents import AddReport
from tercet.indexes.base import Index
from tercet.progress import Progress


def copy_index(source: Index, target: Index, bar: Progress) -> AddReport:
    """Write all documents of an index with their stored views to another one.

    What the target holds already, unchanged, is skipped: after an interruption the same call goes
    on where it stopped. What the target holds beside stays.

    Args:
        source: Is only read.
        target: Of the same model and document options.
        bar: Is told how far the copy has come.

    Raises:
        ModelMismatchError: The target holds another model's vectors.
    """
    report = AddReport()
    for documents, embeddings in source.scan():
        report += target.add(documents, embeddings)
        bar.advance(len(documents))
    return report
