"""Another model, in steps: embed and build beside what serves, let somebody look, then make it current."""

from imagescreen.database.index_versions import current_version
from imagescreen.jobs.activation import activate_built, record
from imagescreen.jobs.build import Built, Space, build_version
from imagescreen.jobs.current_model import has_current_maker
from imagescreen.jobs.progress import Progress, silent
from imagescreen.jobs.reembed import reembed
from imagescreen.jobs.tidy import tidy
from imagescreen.jobs.workbench import Workbench


class ModelChange:
    """One change to `model`. Interrupted anywhere and begun again, it embeds nothing twice.

    `changes_space` is false when the current version was made with the very same model; `can_go_back` is false when its
    model is not installed (any more): there is nothing to compare with then, and nothing to choose.
    Raises BrokenInstallation for a model that is not installed or not sound.
    """

    def __init__(self, bench: Workbench, model: str, *, built_by: str, progress: Progress = silent) -> None:
        self._bench = bench
        self._built_by = built_by
        self._progress = progress
        running = bench.follower.serving.current().batcher.encoder
        self.encoder = running if running.name == model else bench.loader.encoder(model)
        with bench.database.read() as session:
            self._seen = current_version(session)
        self.changes_space = self._seen is not None and self._seen.fingerprint != self.encoder.fingerprint
        self.can_go_back = self._seen is None or has_current_maker(self._seen, bench.settings)

    def build(self) -> Built:
        """Embeds what lacks a vector and builds a version, which is not current yet.

        Raises BrokenInstallation that names a stored picture which cannot be embedded, and what `build_version` raises.
        """
        reembed(self._bench, self.encoder, self._progress)
        space = Space(self.encoder.name, self.encoder.fingerprint, self.encoder.dimension)
        built = build_version(self._bench, self._bench.policy, space, built_by=self._built_by, progress=self._progress)
        with self._bench.database.write() as session:
            record(session, built.manifest)
        return built

    def activate(self, built: Built) -> None:
        """Makes it current. References that were added with the old model meanwhile are embedded first: servers find
        them in the change feed after the version. Raises Conflict when another process switched the model.
        """
        while not activate_built(self._bench, built, seen=self._seen, actor=self._built_by):
            reembed(self._bench, self.encoder, self._progress)
        tidy(self._bench, self._progress)
