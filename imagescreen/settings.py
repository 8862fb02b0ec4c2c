"""Every setting: its name, default and one sentence; read once, frozen."""

import os
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagescreen.errors import WrongUse

ENV_PREFIX = "IMAGESCREEN_"
MIB = 1 << 20

BUILT_IN_MODEL = "mini-5"
"""The model that is committed under `weights/`. One that replaces it gets another name: an index knows what made it."""


class DType(StrEnum):
    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class KeepPictures(StrEnum):
    FLAGGED = "flagged"
    ALL = "all"
    NONE = "none"


class IndexChoice(StrEnum):
    AUTO = "auto"
    EXACT = "exact"
    SQ8 = "sq8"
    IVF_SQ8 = "ivf_sq8"


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Count = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """Read from the environment (`IMAGESCREEN_<NAME>`); paths are relative to the working directory."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; any but loopback needs `allow_unauthenticated`.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=256, description="Server processes on that port; cores are shared among them.")
    allow_unauthenticated: bool = Field(
        False, description="Serve on an address that others can reach, although there are no accounts yet."
    )
    data_dir: Path = Field(Path("data"), description="Folder of the database and the stored pictures: the truth.")
    database_url: str = Field(
        "", description="SQLAlchemy URL of the database; empty is SQLite in `data_dir`.", repr=False
    )
    index_dir: Path = Field(Path("index"), description="Folder of the index versions; derived, can be rebuilt.")
    weights_dir: Path = Field(Path("weights"), description="Folder of `models.toml` and the models' files.")
    policy_file: Path | None = Field(None, description="The operator's policy (TOML); unset is the built-in one.")

    model: str = Field(BUILT_IN_MODEL, description="Model of the first index version; later ones name their own.")
    random_weights: bool = Field(
        False, description="Serve a model that was never trained: for `scripts/benchmark.py`, never to screen."
    )
    device: Device = Field(Device.AUTO, description="`auto` takes CUDA when it is there.")
    dtype: DType = Field(DType.AUTO, description="`auto` is bfloat16 where the processor has it in hardware.")
    torch_threads: int = Field(0, ge=0, le=1024, description="Threads of the encoder; 0 is one per core.")
    faiss_threads: int = Field(0, ge=0, le=1024, description="Threads of the search; 0 is one per core.")
    decode_threads: int = Field(0, ge=0, le=1024, description="Pictures decoded at the same time; 0 is one per core.")
    max_batch: Count = Field(32, le=4096, description="Most pictures that the encoder takes at once.")
    cached_pictures: Count = Field(
        50_000, le=10_000_000, description="Pictures whose vectors are remembered, so that none is embedded twice."
    )
    cache_in_database: bool = Field(
        False, description="Look vectors up in earlier screenings too, e.g. after a restart, before embedding."
    )
    max_waiting_pictures: int = Field(
        512, ge=64, description="Pictures that may wait for the encoder (at least 64 and `max_pictures`); past it, 503."
    )
    max_concurrent_requests: Count = Field(
        64, le=4096, description="Requests worked on at the same time; further ones wait."
    )
    max_waiting_requests: Count = Field(256, description="Requests that may wait; past it, 503 at once.")
    request_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="Seconds for a package or matches to be answered, without its body's arrival; past it, 503.",
    )
    body_timeout_s: float = Field(
        60, gt=0, le=3600, description="Seconds for a request's body to arrive; past it, 408."
    )

    max_request_bytes: Count = Field(64 * MIB, description="Largest request body.")
    max_pictures: Count = Field(16, le=1000, description="Most pictures in one package or on one reference.")
    max_picture_bytes: Count = Field(20 * MIB, description="Largest picture file.")
    max_picture_pixels: Count = Field(64_000_000, description="Most pixels of one picture, read from its header.")
    max_package_pixels: Count = Field(100_000_000, description="Most pixels of all pictures of one package.")
    max_decoding_pixels: Count = Field(
        128_000_000, description="Pixels in decoding at the same time in the whole process; further ones wait."
    )
    min_picture_side: Count = Field(32, description="Smallest width and height of a picture.")

    matches_limit: int = Field(5, ge=1, le=50, description="Nearest references listed for each picture.")
    near_duplicate_similarity: float = Field(
        0.95, gt=0, le=1, description="Similarity from which adding a picture warns of a near-duplicate."
    )
    keep_pictures: KeepPictures = Field(
        KeepPictures.FLAGGED, description="Which screened pictures are stored: `flagged`, `all` or `none`."
    )
    retention_days: int = Field(
        0, ge=0, description="Age at which `scripts/purge.py` deletes screenings and their pictures; 0 keeps them."
    )

    index_type: IndexChoice = Field(
        IndexChoice.AUTO, description="Structure of new index versions: `exact`, `sq8`, `ivf_sq8`; `auto` goes by size."
    )
    fold_changes: int = Field(
        20_000, ge=0, description="Pictures changed since the version at which a server builds a new one; 0 is never."
    )
    keep_versions: Count = Field(
        3, le=10_000, description="How many of the versions that servers built they keep; others they never delete."
    )
    feed_poll_s: float = Field(0.5, gt=0, le=3, description="Seconds between two looks at the change feed.")
    ready_check_s: float = Field(5.0, gt=0, le=60, description="Least seconds between two self-tests of readiness.")
    shutdown_grace_s: int = Field(30, ge=1, le=3600, description="Seconds for accepted requests to finish at the end.")
    log_level: LogLevel = Field(LogLevel.INFO, description="`debug`, `info`, `warning` or `error`.")
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="`json`, one object a line, or `console`; `auto` is that on a terminal only."
    )

    @model_validator(mode="after")
    def _only_loopback_without_accounts(self) -> Self:
        if not is_loopback(self.host) and not self.allow_unauthenticated:
            raise ValueError(
                f"host {self.host!r} can be reached by others and there are no accounts yet: "
                f"set {ENV_PREFIX}ALLOW_UNAUTHENTICATED=true if something in front of the service checks who calls"
            )
        return self

    @model_validator(mode="after")
    def _room_for_one_package(self) -> Self:
        if self.max_waiting_pictures < self.max_pictures:
            raise ValueError("max_waiting_pictures must be at least max_pictures, or no such package could be screened")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'imagescreen.sqlite3'}"


def _is_misspelt(name: str) -> bool:
    """A setting that nothing reads would leave a default in force that the operator believes is changed."""
    setting = name.upper().removeprefix(ENV_PREFIX).lower()
    ours = name.upper().startswith(ENV_PREFIX) and not name.upper().startswith(f"{ENV_PREFIX}TEST_")
    return ours and setting not in Settings.model_fields


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment, with `overrides` from a command line on top.

    Raises WrongUse that names each wrong setting.
    """
    unknown = [name for name in os.environ if _is_misspelt(name)]
    if unknown:
        raise WrongUse(f"{unknown[0]} is no setting; the README lists all of them")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        told = [
            (f"{ENV_PREFIX}{'_'.join(map(str, e['loc'])).upper()}: " if e["loc"] else "")
            + e["msg"].removeprefix("Value error, ")
            for e in error.errors(include_input=False)
        ]
        raise WrongUse("; ".join(told)) from None
