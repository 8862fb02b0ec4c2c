"""Builds an index version from the database and makes it current."""

from collections.abc import Callable

from imagescreen.database.calibration_succession import Succession
from imagescreen.database.index_versions import current_version
from imagescreen.database.tables import IndexVersionRow
from imagescreen.errors import Conflict
from imagescreen.jobs.activation import activate_built
from imagescreen.jobs.build import UNCHANGED, Built, Space, build_version, installed_space
from imagescreen.jobs.change_model import ModelChange
from imagescreen.jobs.current_model import require_current_maker
from imagescreen.jobs.measure import Measured
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.tidy import tidy
from imagescreen.jobs.workbench import Store, Workbench
from imagescreen.screening.policy import Policy


def rebuild(
    store: Store,
    policy: Policy,
    *,
    built_by: str,
    progress: Progress = silent,
) -> Built:
    """`build_current`, and tidies up."""
    built = build_current(store, policy, built_by=built_by, progress=progress)
    tidy(store, progress)
    return built


def build_current(
    store: Store,
    policy: Policy,
    *,
    built_by: str,
    succession: Succession = UNCHANGED,
    check: Callable[[Measured], None] = lambda _: None,
    settled: Callable[[], None] = lambda: None,
    progress: Progress = silent,
) -> Built:
    """Builds from stored vectors and activates; running servers follow by the feed. Loads no model.

    `check` may refuse what was measured by raising, and then nothing is built. For `succession` and `settled` see
    `build_version` and `activate_built`.

    Raises BrokenIndex when a picture lacks a vector or has one that cannot be indexed, FingerprintMismatch when the
    current version's model is not the installed one, and Conflict when another process switched the model or changed
    the calibration packages meanwhile. The current version stays then.
    """
    with store.database.read() as session:
        current = current_version(session)
    space = current_space(store, current)
    name = space.model
    built = build_version(
        store, policy, space, built_by=built_by, succession=succession, check=check, progress=progress
    )
    if not activate_built(store, built, seen=current, actor=built_by, succession=succession, settled=settled):
        raise Conflict(f"references were added with another model than {name!r} meanwhile: run the command again")
    return built


def current_space(store: Store, current: IndexVersionRow | None) -> Space:
    """That of the current version, or of the model that settings name before the first.

    Raises FingerprintMismatch or BrokenInstallation when the model is not the one installed.
    """
    if current is None:
        return installed_space(store.settings.model, store.settings)
    require_current_maker(current, store.settings)
    return installed_space(current.model, store.settings)


def reindex(
    bench: Workbench,
    *,
    model: str | None = None,
    built_by: str,
    progress: Progress = silent,
) -> Built:
    """`rebuild`, or `ModelChange` with `model`, without asking; this process serves the new version when it returns."""
    if model is None:
        built = rebuild(bench, bench.policy, built_by=built_by, progress=progress)
    else:
        change = ModelChange(bench, model, built_by=built_by, progress=progress)
        built = change.build()
        change.activate(built)
    bench.follower.poll()
    return built
