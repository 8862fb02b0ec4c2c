"""`python -m imagescreen.jobs.fold`: what a server starts to build a version of everything that changed.

Ends with 0, or with 1 and one sentence on standard error.
"""

import logging
import os
import sys

import structlog

from imagescreen.errors import Conflict, ImagescreenError
from imagescreen.jobs.prune import prune
from imagescreen.jobs.reindex import rebuild
from imagescreen.jobs.workbench import open_store
from imagescreen.matching import set_search_threads
from imagescreen.screening.policy import read_policy
from imagescreen.settings import read_settings

BUILT_BY = "server"
_NICE = 19


def main() -> int:
    os.nice(_NICE)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        settings = read_settings()
        set_search_threads(1)
        policy = read_policy(settings.policy_file)
        with open_store(settings) as store:
            try:
                rebuild(store, policy, built_by=BUILT_BY)
            except Conflict:
                # Somebody switched the model or calibrated meanwhile: what is current now is not what was folded.
                return 0
            prune(store, keep=settings.keep_versions, built_by=BUILT_BY)
    except ImagescreenError as error:
        sys.stderr.write(error.detail + "\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'a file'}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
