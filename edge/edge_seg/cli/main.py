"""`edge-seg`: parse, dispatch, and turn errors into one line and an exit code. Verbs are loaded when called."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress

import click

from edge_seg.cli.secrets import arguments_of_process
from edge_seg.errors import DeviceError, EdgeSegError
from edge_seg.version import __version__

VERBS = {
    "run": ("edge_seg.cli.run:run", "Segment films from files, folders or a camera."),
    "correct": ("edge_seg.cli.correct:correct", "Put outlines right in a browser, and keep them to learn from."),
    "models": ("edge_seg.cli.models:models", "List the models that ship, with size, time and Dice."),
    "inspect": ("edge_seg.cli.inspect:inspect", "Show what a model is and whether it is int8 all through."),
    "doctor": ("edge_seg.cli.doctor:doctor", "Say what this machine has, what is missing, and the fix."),
    "archive": ("edge_seg.cli.archive:archive", "Segment archives of millions of films, by one machine or many."),
    "adapt": ("edge_seg.cli.adapt:adapt", "Let a model learn from corrected outlines, on the device."),
    "check": ("edge_seg_data.command:check", "Say what a data set holds and what is wrong with it."),
    "train": ("edge_seg_train.command:train", "Train a network on your own films."),
    "quantize": ("edge_seg_quantize.command:quantize", "Make an int8 model of a training run."),
    "benchmark": ("edge_seg_benchmarks.command:benchmark", "Report latency against Dice for models."),
    "export": ("edge_seg_benchmarks.export:export", "Write a model's network for ONNX runtimes."),
}
"""Each verb's module and description; help shows the descriptions without loading any module."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells: 128 plus the signal number."""

_EXTRAS_OF_MODULES = {
    "pynetdicom": "clinic",
    "highdicom": "clinic",
    "pyarrow": "archive",
    "distributed": "archive",
    "tensorflow": "train",
    "tf_keras": "train",
    "keras": "train",
    "onnx": "peers",
}
_EXTRAS = {"check": "data", "train": "train", "quantize": "train", "benchmark": "report", "export": "peers"}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            from difflib import get_close_matches

            like = get_close_matches(cmd_name, VERBS, 1)
            hint = f"did you mean `edge-seg {like[0]}`?" if like else f"choose from {', '.join(VERBS)}"
            raise click.UsageError(f"there is no command `{cmd_name}`: {hint}", ctx)
        module, _, name = VERBS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.command(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: edge-seg run chest.png --out results",
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="edge-seg")
@click.option("--debug", is_flag=True, help="Show tracebacks; before or after the command.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> int:
    """Segmentation of X-ray films on small devices; research use only, not for diagnosis."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        return 2
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    run_command(cli, arguments_of_process() if arguments is None else arguments, "edge-seg")


def run_command(command: click.Command, arguments: list[str] | None = None, name: str | None = None) -> None:
    """Run a command as `edge-seg` runs its own: errors become one line and an exit code, or tracebacks (`--debug`)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        code = command.main(arguments, prog_name=name, standalone_mode=False, terminal_width=_width_of_help())
    except EdgeSegError as error:
        if debug:
            raise
        complain(str(error))
        code = error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else name or "edge-seg"
        text = _no_option(error) if isinstance(error, click.NoSuchOption) else error.format_message().rstrip(".")
        complain(f"{text} (see `{path} --help`)")
        code = error.exit_code
    except click.ClickException as error:
        complain(error.format_message())
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("stopped")
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        verb = next((word for word in arguments if word in VERBS), "")
        extra = _EXTRAS_OF_MODULES.get(error.name or "") or _EXTRAS.get(verb)
        if debug or (error.name or "").startswith("edge_seg"):
            raise
        from edge_seg.install import install_command

        complain(f"{error.name} is not installed: {install_command(extra or '', anew=not extra)}")
        code = DeviceError.exit_code
    _give_up_standard_error()
    _forget_interrupt()
    sys.exit(code if isinstance(code, int) else 0)


def _no_option(error: click.NoSuchOption) -> str:
    """Names the one option most like what was typed; click names three, unlikely ones included."""
    from difflib import get_close_matches

    like = get_close_matches(error.option_name, error.possibilities or (), 1)
    return f"there is no option {error.option_name}" + (f": did you mean {like[0]}?" if like else "")


def _width_of_help() -> int:
    """Columns, as click computes them; click would load `shutil`, with all compressors, to ask the terminal."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    if not width:
        try:
            width = os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except (AttributeError, ValueError, OSError):
            width = 80
    return max(min(width, 80) - 2, 50)


def complain(text: str) -> None:
    """Print one line on standard error; line breaks in the text become spaces."""
    say(f"edge-seg: {' '.join(text.split())}")


def say(text: str = "", nl: bool = True) -> None:
    """Write to standard error, as `click.echo` does; failing to write, as to a log on a full disk, is ignored."""
    with suppress(OSError):
        click.echo(text, nl=nl, err=True)


def _give_up_standard_error() -> None:
    """Redirect a standard error that cannot be written: closing it, Python would turn the exit code into 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _forget_interrupt() -> None:
    """Let `python -m edge_seg` end with its exit code.

    Python remembers an interrupt that came amid code compiled from text, such as that of dataclasses, and at exit
    would kill itself with SIGINT. It forgets it once more text is run (CPython, `run_eval_code_obj`).
    """
    exec("")


if __name__ == "__main__":
    main()
