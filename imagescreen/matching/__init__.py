"""Unit vectors in, ranked matches out; is told of changes and knows no database."""

from imagescreen.matching.changes import PictureChange
from imagescreen.matching.draft import Draft, drafting, write_version
from imagescreen.matching.exact import nearest_rows
from imagescreen.matching.hashes import Copy, HashQuery, HashSnapshot, ReferenceHash
from imagescreen.matching.index_type import IndexType
from imagescreen.matching.manifest import FileRecord, VersionManifest
from imagescreen.matching.opened_files import FilesNow
from imagescreen.matching.search import Neighbour
from imagescreen.matching.shared_search import SharedSearch
from imagescreen.matching.snapshot import IndexSnapshot
from imagescreen.matching.threads import set_search_threads
from imagescreen.matching.versions import BrokenVersion, IndexVersion, delete_version, list_versions, open_version
from imagescreen.matching.words import NO_WORDS, DescribedReference, Fit, WordMatcher

__all__ = [
    "NO_WORDS",
    "BrokenVersion",
    "Copy",
    "DescribedReference",
    "Draft",
    "FileRecord",
    "FilesNow",
    "Fit",
    "HashQuery",
    "HashSnapshot",
    "IndexSnapshot",
    "IndexType",
    "IndexVersion",
    "Neighbour",
    "PictureChange",
    "ReferenceHash",
    "SharedSearch",
    "VersionManifest",
    "WordMatcher",
    "delete_version",
    "drafting",
    "list_versions",
    "nearest_rows",
    "open_version",
    "set_search_threads",
    "write_version",
]
