"""How long everything is measured: the default fits 25 minutes on 2 cores, --quick is a first look."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Settings:
    """Sizes of all sections. Times in seconds."""

    name: str = "default"
    window: float = 3.0
    # Clients to rounds: the levels that targets are read from are measured most often.
    rounds: dict[int, int] = field(default_factory=lambda: {1: 4, 2: 1, 4: 1, 8: 1, 16: 4, 32: 1})
    shipped_rounds: dict[int, int] = field(default_factory=lambda: {1: 2, 4: 1, 16: 2})
    texts: int = 256
    table_rounds: int = 50
    table_blocks: int = 5
    multiple_queries: int = 16
    all_queries: int = 64
    perf_concurrency: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    perf_load_shares: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0)
    perf_window: float = 1.0
    length_concurrency: int = 8
    bulk_sizes: tuple[int, ...] = (1, 10, 100, 1000, 25_000)
    bulk_sizes_deep: tuple[int, ...] = (1, 10, 100)
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    batch_rounds: int = 2
    in_process_texts: int = 16
    in_process_rounds: int = 2
    tune_flask: bool = True
    one_core: bool = True
    peak_seconds: float = 1.0
    # Servers that people choose instead: their environments take gigabytes.
    rivals: bool = False


DEFAULT = Settings()
FULL = replace(DEFAULT, name="full", bulk_sizes_deep=(1, 10, 100, 1000))
QUICK = replace(
    DEFAULT,
    name="quick",
    window=1.5,
    rounds={1: 1, 16: 1},
    shipped_rounds={1: 1, 16: 1},
    texts=64,
    table_rounds=5,
    table_blocks=1,
    multiple_queries=4,
    all_queries=8,
    perf_concurrency=(1, 16),
    perf_load_shares=(0.5,),
    perf_window=1.0,
    bulk_sizes=(1, 100),
    bulk_sizes_deep=(1, 10),
    batch_sizes=(1, 8),
    batch_rounds=1,
    in_process_texts=8,
    in_process_rounds=1,
    tune_flask=False,
    one_core=False,
    peak_seconds=0.2,
)
