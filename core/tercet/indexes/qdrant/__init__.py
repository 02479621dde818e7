"""A collection on a Qdrant server or cluster; the one folder that names that library."""

from tercet.errors import require

require("qdrant_client", extra="qdrant")
