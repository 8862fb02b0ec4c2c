"""Unit vectors in, ranked matches out; is told of changes and knows no database."""

from imagescreen.matching.changes import PictureChange
from imagescreen.matching.manifest import FileRecord, VersionManifest
from imagescreen.matching.search import Neighbour
from imagescreen.matching.snapshot import IndexSnapshot
from imagescreen.matching.structure import IndexType
from imagescreen.matching.threads import set_search_threads
from imagescreen.matching.versions import BrokenVersion, IndexVersion, list_versions, open_version, write_version

__all__ = [
    "BrokenVersion",
    "FileRecord",
    "IndexSnapshot",
    "IndexType",
    "IndexVersion",
    "Neighbour",
    "PictureChange",
    "VersionManifest",
    "list_versions",
    "open_version",
    "set_search_threads",
    "write_version",
]
