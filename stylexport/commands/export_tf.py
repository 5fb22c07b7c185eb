"""`stylexport export-tf`."""

from __future__ import annotations

from pathlib import Path

import click

from stylexport.common.errors import BadInput
from stylexport.console import importing_tensorflow, json_option, print_json, say, verbose_option


@click.command("export-tf")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", "out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--data-format",
    type=click.Choice(["NCHW", "NHWC"]),
    default="NCHW",
    show_default=True,
    help="NCHW is the original's graph; NHWC has transposes around each convolution and runs on a CPU.",
)
@json_option
@verbose_option
def command(folder: Path, out: Path, data_format: str, as_json: bool) -> None:
    """Write the converted FOLDER back as TensorFlow SavedModels.

    They have the released variable names and members, and tf_keras.models.load_model opens them. Needs the extra [tensorflow].
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; name one that `stylexport convert` wrote")
    with importing_tensorflow("export-tf"):
        from stylexport.reference_tf.release.export import export_folder
    written = export_folder(folder, out, data_format)
    if as_json:
        print_json({"output": str(out), "networks": {name: str(path) for name, path in written.items()}})
        return
    for name, path in written.items():
        say(f"{name}: {path}")
