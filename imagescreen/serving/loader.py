"""From the name of an index version to model, index and scores that fit together."""

from pathlib import Path

from imagescreen.calibration.scale import decode_scale
from imagescreen.embedding.batcher import Batcher
from imagescreen.embedding.encoder import Encoder, TrainedOnly, load_encoder
from imagescreen.embedding.manifest import require_maker
from imagescreen.matching import IndexSnapshot, nearest_rows, open_version, set_search_threads
from imagescreen.serving.state import Served
from imagescreen.settings import Settings


class Loader:
    """Loads what a version names: its model by name, checked by fingerprint."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        set_search_threads(settings.faiss_threads)

    @property
    def versions_dir(self) -> Path:
        return self._settings.index_dir / "versions"

    def encoder(self, name: str) -> Encoder:
        settings = self._settings
        return load_encoder(
            name,
            settings.weights_dir,
            dtype=settings.dtype,
            device=settings.device,
            threads=settings.torch_threads,
            trained=TrainedOnly.WAIVED if settings.random_weights else TrainedOnly.REQUIRED,
        )

    def batcher(self, encoder: Encoder) -> Batcher:
        return Batcher(encoder, max_batch=self._settings.max_batch, max_waiting=self._settings.max_waiting_pictures)

    def without_version(self) -> Served:
        """Before the first build: the model that settings name, and nothing to match yet."""
        encoder = self.encoder(self._settings.model)
        return Served(self.batcher(encoder), IndexSnapshot.empty(encoder.fingerprint, encoder.dimension))

    def version(self, name: str, *, running: Batcher | None = None) -> Served:
        """Opens a version. `running` is kept when its model is the version's.

        Raises BrokenIndex, what `require_maker` raises, or BrokenModel.
        """
        opened = open_version(self.versions_dir, name)
        manifest = opened.manifest
        scale = decode_scale(
            opened.attachments,
            fingerprint=manifest.fingerprint,
            dimension=manifest.dimension,
            nearest=nearest_rows,
        )
        batcher = running
        if batcher is None or batcher.encoder.fingerprint != manifest.fingerprint:
            require_maker(
                f"index version {name}",
                manifest.model,
                manifest.fingerprint,
                self._settings.weights_dir,
                preferred=self._settings.model,
            )
            batcher = self.batcher(self.encoder(manifest.model))
        return Served(batcher, IndexSnapshot.of_version(opened), scale)
