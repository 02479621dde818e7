"""The hash by which an index knows a document that it holds already."""

import hashlib
import json

from tercet.documents import Document

_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def content_hash(document: Document, document_id: str | None) -> bytes:
    """Hash of all that a document holds, and of what encoded it."""
    fields = [
        document_id,
        document.text,
        document.header,
        document.parent,
        dict(document.metadata),
        dict(document.private),
    ]
    return hashlib.sha256(_json(fields).encode()).digest()
