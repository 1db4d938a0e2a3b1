"""Options that several commands of `python -m export` share."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CHECKPOINT = Path("checkpoints/mobilebert-imdb")
DEFAULT_REPOSITORY = Path("model_repository")

CheckpointOption = Annotated[
    Path, typer.Option(help="Folder with config.json, model.safetensors, tokenizer.json.")
]
RepositoryOption = Annotated[Path, typer.Option(help="Triton model repository.")]
PrecisionOption = Annotated[
    list[str] | None, typer.Option(help="fp32, ...; repeat for several. Default: all.")
]
ServerOption = Annotated[
    str | None,
    typer.Option(help="gRPC address (127.0.0.1:8001) of a server in explicit mode that shall load it."),
]
AdminKeyOption = Annotated[
    str, typer.Option(envvar="ADMIN_KEY", help="The key that this server's --admin-key names.")
]
