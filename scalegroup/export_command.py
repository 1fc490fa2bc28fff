"""`python -m scalegroup export WEIGHTS --size 112 --onnx PATH`: a trained network as a file for other runtimes."""

import argparse
from pathlib import Path

HELP = "write a trained network as an ONNX or a torch.export file"

_DESCRIPTION = (
    "Writes a trained network for images of one size, and of any number, as a file that needs nothing of this package. "
    "It takes `images` [batch, channel, height, width], float32, and gives `scores` [batch, classes], `sigma0` "
    "[batch], σ₀ of the winning scale channel in pixels, and `channel_scores` [batch, classes, scale]. The file says "
    "what classes, range and scale channels it is for; the docstring of scalegroup.models.export tells how to read "
    "that."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, "Exit status: 0 written, 2 could not be written."
    parser.add_argument("weights", help="a name that comes with the package, or the path of a safetensors file")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        required=True,
        metavar="PIXELS",
        help="height and width of the images, or one number for both; other sizes take other files",
    )
    parser.add_argument("--onnx", type=Path, metavar="PATH", help="write NAME.onnx there (needs onnx and onnxscript)")
    parser.add_argument("--pt2", type=Path, metavar="PATH", help="write NAME.pt2 there, for torch.export.load")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="their names (default: as the weights' file says)")
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOWEST", "HIGHEST"),
        help="values of the images (default: as the weights' file says)",
    )


def run(options: argparse.Namespace) -> list[str]:
    """Read, export, write; a line for each file. Raises `ScaleGroupError` for what cannot be read or exported."""
    from scalegroup.errors import ScaleGroupError
    from scalegroup.models import export, find_trained, gaussian_derivative_net

    paths = [path for path in (options.onnx, options.pt2) if path is not None]
    if not paths:
        raise ScaleGroupError("nothing to write", expected="a path", mend="pass --onnx PATH, --pt2 PATH or both")
    trained, net = find_trained(options.weights), gaussian_derivative_net(weights=options.weights)
    typed = {"classes": options.classes, "range": options.range}
    about = trained.about | {name: value for name, value in typed.items() if value is not None}
    size = options.size[0] if len(options.size) == 1 else tuple(options.size)
    lines = []
    for path in paths:
        said = export(net, size, path, about=about)
        shape = "×".join(map(str, (said["channels"], *said["size"])))
        lines.append(f"wrote {path}: {len(said['classes'])} classes, images of {shape}, {net.window!r}")
    return lines
