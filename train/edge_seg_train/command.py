"""`edge-seg train`: a thin layer over `edge_seg_train.loop.train`; loads no framework before it runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edge_seg.errors import UsageError
from edge_seg.model_file import OUTPUTS, shipped_models
from edge_seg.structures import CHEST, DERIVED

from edge_seg_train.augmentation import NO_AUGMENTATION, Augmentation
from edge_seg_train.config import CONFIG_NAME, TrainConfig, read_config
from edge_seg_train.history import finished_epochs
from edge_seg_train.network import PRESETS, NetworkConfig
from edge_seg_train.pretrained import Pretrained, new_outputs, read_pretrained, shipped_weights, told_apart_by

if TYPE_CHECKING:
    from edge_seg_data import Dataset

_LOSSES = ("dice", "bce", "bce+dice")

# From the article behind the preset `seed`.
_SEED_SETTINGS: dict[str, Any] = {"loss": "dice", "learning_rate": 1e-5, "batch_size": 2, "schedule": "plateau"}

# For some twenty films on two cores within minutes; measured by `python -m edge_seg_lab.folds`.
_FINE_TUNING: dict[str, Any] = {"epochs": 20, "films_per_epoch": 320, "batch_size": 8, "learning_rate": 1e-3}

_NETWORK_OPTIONS = ("base", "widest", "depth", "dropout")

# Probability of the opacity augmentation when lungs are outlined: disease whitens lungs, not other structures.
_OPACITY = 0.25

_MANY_STEPS = 2000
_QUICK_MOMENTUM = 0.9


def _defaults(name: str) -> str:
    """The defaults of a setting, as shown in the help."""
    values = {
        "default": getattr(TrainConfig, name),
        "seed": _SEED_SETTINGS.get(name),
        "from a shipped model": _FINE_TUNING.get(name),
    }
    return f"  [{'; '.join(f'{title}: {value}' for title, value in values.items() if value is not None)}]"


class Size(click.ParamType):
    """`192` or `192x224`, as `(height, width)`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse height and width."""
        height, _, width = str(value).lower().partition("x")
        try:
            found = int(height), int(width or height)
        except ValueError:
            found = 0, 0
        if min(found) < 1:
            self.fail(f"{value}: no size: give pixels (192), or height and width (192x224)", param, ctx)
        return found


class Part(click.ParamType):
    """`0/2`, as `(index, count)`."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse index and count."""
        index, _, count = str(value).partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count) > 1):
            self.fail(f"{value}: no part: give INDEX/COUNT, the index from 0: 0/2 and 1/2 for halves", param, ctx)
        return int(index), int(count)


class Names(click.ParamType):
    """Comma-separated names, as a tuple."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split the text into names."""
        return tuple(dict.fromkeys(name.strip() for name in str(value).split(",") if name.strip()))


@click.command(epilog="Example: edge-seg train films/paediatric films/adult --out runs/lungs --epochs 30")
@click.argument("datasets", metavar="DATASET...", nargs=-1)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--network", type=click.Choice(list(PRESETS)), default="lungs", show_default=True, help="What to train.")
@click.option(
    "--size", type=Size(), metavar="PIXELS|HxW", help="Input height and width (192, 192x224), if not the network's own."
)
@click.option("--base", type=click.IntRange(min=1), help="Channels of the first level, if not the network's own.")
@click.option("--widest", type=click.IntRange(min=1), help="Most channels of a level, if not the network's own.")
@click.option("--depth", type=click.IntRange(min=1), help="Number of halvings, if not the network's own.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Dropout after the coarsest level.")
@click.option("--epochs", type=click.IntRange(min=1), help=f"Most epochs.{_defaults('epochs')}")
@click.option("--batch-size", type=click.IntRange(min=1), help=f"Films a step.{_defaults('batch_size')}")
@click.option(
    "--films-per-epoch",
    type=click.IntRange(min=0),
    help=f"Films an epoch; 0 is every film once.{_defaults('films_per_epoch')}",
)
@click.option(
    "--validation-films",
    type=click.IntRange(min=1),
    default=TrainConfig.validation_films,
    show_default=True,
    help="Most films scored after each epoch.",
)
@click.option("--loss", type=click.Choice(_LOSSES), help=f"Loss.{_defaults('loss')}")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Initial learning rate of Adam.{_defaults('learning_rate')}",
)
@click.option(
    "--schedule",
    type=click.Choice(("cosine", "plateau", "constant")),
    help=f"How the learning rate falls; plateau: times {TrainConfig.plateau_factor} after "
    f"{TrainConfig.plateau_patience} epochs without a better validation loss.{_defaults('schedule')}",
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=TrainConfig.patience,
    show_default=True,
    help="Stop after this number of epochs without a better validation Dice; 0 never stops early.",
)
@click.option(
    "--balance",
    type=click.FloatRange(0, 1),
    default=TrainConfig.balance,
    show_default=True,
    help="1 draws every film equally often, 0 draws every data set equally often.",
)
@click.option(
    "--share",
    metavar="NAME=NUMBER",
    multiple=True,
    help="How often a data set's films are drawn against the others', in place of --balance; repeatable.",
)
@click.option(
    "--averaging",
    type=click.FloatRange(0, 1, max_open=True),
    default=TrainConfig.averaging,
    show_default=True,
    help="Share of itself that a moving average of the weights keeps at each step; 0 takes the last weights.",
)
@click.option(
    "--augment/--no-augment", default=True, show_default=True, help="Vary the films as equipment and technique do."
)
@click.option(
    "--augmentation",
    metavar="NAME=STRENGTH",
    multiple=True,
    help="Strength of one augmentation operation, 0 for none (rotation=5, tubes=0); repeatable.",
)
@click.option(
    "--augment-on",
    type=click.Choice(("host", "accelerator")),
    default=TrainConfig.augment_on,
    show_default=True,
    help="Where films are augmented; on a GPU that holds all films, thousands a second.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out films and masks that cannot be read; they are named.")
@click.option("--mixed-precision", is_flag=True, help="Compute in float16 on GPUs.")
@click.option("--device", "devices", multiple=True, help="Train on this device; repeatable.  [default: every GPU]")
@click.option(
    "--picture-every",
    type=click.IntRange(min=0),
    default=TrainConfig.picture_every,
    show_default=True,
    help="Epochs between pictures; 0 writes none.",
)
@click.option("--from", "start", metavar="MODEL|RUN", help="Start from the weights of a shipped model, or of a run.")
@click.option(
    "--freeze/--no-freeze",
    default=None,
    help="Train only the decoder.  [default: after a shipped model]",
)
@click.option(
    "--structures",
    type=Names(),
    metavar="NAME,NAME...",
    help="Structures to outline, whole_lung and visible_lung among them.  [default: all that are outlined]",
)
@click.option(
    "--output",
    type=click.Choice(OUTPUTS),
    default=TrainConfig.output,
    show_default=True,
    help="A probability for each structure, or one softmax over background and structures that never overlap.",
)
@click.option(
    "--lung",
    metavar="whole|visible|TEXT",
    default=TrainConfig.lung,
    show_default=True,
    help="Which lung the outlines show: whole, visible, or a definition in your own words. The model repeats it.",
)
@click.option("--teacher", metavar="MODEL", help="Model that adds outlines where films have none and it is confident.")
@click.option(
    "--distill",
    metavar="MODEL|RUN",
    multiple=True,
    help="Also learn the probabilities of this run, or of a shipped model's weights, on films without outlines too "
    "(unlabelled=FOLDER); repeatable: the mean of those not trained on a film, or of all.",
)
@click.option(
    "--distill-weight",
    type=click.FloatRange(min=0),
    default=TrainConfig.distill_weight,
    show_default=True,
    help="Weight of what --distill adds to the loss.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that augment films beside the one that trains; worth the number of cores where a GPU waits.",
)
@click.option(
    "--process",
    metavar="INDEX/COUNT",
    help="Train together with other processes, of which this is one (0/2, 1/2), on JAX.  [default: as SLURM says]",
)
@click.option("--coordinator", metavar="HOST:PORT", help="Where the processes meet: an address of the first one.")
@click.option(
    "--hold-out",
    type=Part(),
    metavar="INDEX/COUNT",
    help="Validate on this part of the patients, too, that would be trained on (0/2, 1/2), as cross-fitting does.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=TrainConfig.seed,
    show_default=True,
    help="Seed of all random choices.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
def train(
    datasets: tuple[str, ...],
    out: Path,
    network: str,
    size: tuple[int, int] | None,
    structures: tuple[str, ...] | None,
    augment: bool,
    start: str | None,
    workers: int,
    process: str | None,
    coordinator: str | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a network on DATASET..., or resume the run in --out.

    A DATASET is a folder; its layout is recognised, or named as LAYOUT=PATH. With a run in --out and no DATASET, that
    run resumes with its own settings. Needs `pip install '.[train]'`.
    """
    from edge_seg_data.report import counted

    from edge_seg_train.data import datasets_of, open_run_datasets
    from edge_seg_train.processes import asked_for, join

    asked = asked_for(process, coordinator)
    # The first of several processes reports for all.
    quiet = quiet or (asked is not None and not asked.is_first)
    if not quiet:
        # Shown before anything slow is loaded.
        click.echo(f"edge-seg train: reading the data sets of {out}", err=True)
    if datasets:
        origin = _start(start)[0]
        opened = open_run_datasets(datasets, out, origin, bool(settings["skip_bad"]), quiet, settings["hold_out"])
        config = _config(datasets, opened, network, size, structures, augment, start, settings)
    else:
        config = _resumed(out, settings["epochs"], bool(settings["skip_bad"]))
        opened = datasets_of(config, out, quiet)
    epochs = finished_epochs(out)
    if not quiet:
        _show(opened)
        if config.start and not epochs:
            _show_new_outputs(config)
    processes = join(asked, config.seed)
    if processes.count > 1 and (config.augment_on == "accelerator" or config.devices):
        raise UsageError(
            "--process shares each batch among the devices of all processes: leave --augment-on and --device"
        )
    from edge_seg_train.loop import train as run_training

    weights = run_training(config, out, datasets=opened, quiet=quiet, workers=workers, processes=processes)
    if not processes.is_first:
        return
    if not quiet and epochs and epochs == finished_epochs(out):
        further = "train on" if epochs < config.epochs else "raise --epochs to go on, or train on films that changed"
        click.echo(
            f"{out} was finished before, after {counted(epochs, 'epoch')}, and learned nothing new: {further} with "
            f"--from {out} and another --out"
        )
    click.echo(f"best weights: {weights}\nnext: edge-seg quantize {out} --out {out.name}.tflite")


def _show(datasets: Sequence[Dataset]) -> None:
    for dataset in datasets:
        if dataset.report is not None:
            click.echo("\n".join(dataset.report.lines()), err=True)


def _show_new_outputs(config: TrainConfig) -> None:
    known = read_pretrained(config.start, weights=False)
    for name in new_outputs(config.structures, known):
        said = f"{name}: no output of {Path(config.start).name}, so it starts from random weights"
        if config.lung != known.lung == "whole" and name in (region.name for region in DERIVED):
            said += "; without --lung, its outlines teach the outputs that are there"
        click.echo(said, err=True)


def _resumed(run: Path, epochs: object, skip_bad: bool) -> TrainConfig:
    """The configuration of the run, with more epochs or without damaged films if requested."""
    from edge_seg_data.report import counted

    _refuse_settings(run)
    config, _ = read_config(run)
    if isinstance(epochs, int) and epochs < config.epochs:
        raise UsageError(
            f"{run}: has {counted(config.epochs, 'epoch')}: give more than that as --epochs, or leave it out"
        )
    config = replace(config, skip_bad=config.skip_bad or skip_bad)
    return replace(config, epochs=epochs) if isinstance(epochs, int) else config


def _refuse_settings(run: Path) -> None:
    """A resumed run uses its own settings, so other options would be silently ignored."""
    context = click.get_current_context()
    given = [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name not in ("datasets", "out", "quiet", "epochs", "workers", "skip_bad", "process", "coordinator")
        and context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(
            f"{run}: resumes with its own settings, without {', '.join(given)}: leave that out, "
            "or name the data sets of a new run"
        )


def _config(
    datasets: tuple[str, ...],
    opened: Sequence[Dataset],
    network: str,
    size: tuple[int, int] | None,
    named_structures: tuple[str, ...] | None,
    augment: bool,
    start: str | None,
    settings: dict[str, Any],
) -> TrainConfig:
    start, known = _start(start)
    found = {name for dataset in opened for name in dataset.structures}
    told_apart = told_apart_by(start, settings["lung"], settings["output"])
    structures, regions = _labels(found, named_structures, told_apart)
    settings["shares"] = _shares(settings.pop("share"), opened)
    changes: dict[str, Any] = {"height": size and size[0], "width": size and size[1]}
    changes |= {name: settings.pop(name) for name in _NETWORK_OPTIONS}
    named = click.get_current_context().get_parameter_source("network") is click.core.ParameterSource.COMMANDLINE
    chosen = replace(
        known.network if known and not named else PRESETS[network],
        outputs=len(structures) + (settings["output"] == "softmax"),
        **{key: value for key, value in changes.items() if value is not None},
    )
    tuned = start in shipped_weights()
    defaults = _SEED_SETTINGS if network == "seed" else _FINE_TUNING if tuned else {}
    changed = settings.pop("augmentation")
    if settings["teacher"] and settings["teacher"] not in shipped_models():
        settings["teacher"] = str(Path(settings["teacher"]).expanduser().resolve())
    settings["distill"] = tuple(_weights_of("--distill", run) for run in settings["distill"])
    given = {key: value for key, value in settings.items() if value is not None and key != "freeze"}
    absolute = tuple(_absolute(path) for path in datasets)
    config = TrainConfig(
        datasets=absolute,
        structures=structures,
        regions=regions,
        network=chosen,
        augmentation=_augmentation(structures, augment, changed),
        start=start,
        freeze=tuned if settings["freeze"] is None else bool(settings["freeze"]),
        **{**defaults, **given},
    )
    films = config.films_per_epoch or sum(len(dataset.split("train")) for dataset in opened)
    if start:
        return config
    return replace(config, network=_settled(chosen, config.epochs * films // config.batch_size))


def _labels(
    found: Collection[str], named: tuple[str, ...] | None, told_apart: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The structures the network outlines, and the regions that follow from them and are outlined as well.

    Args:
        found: outlined in the data sets.
        named: structures requested, if any.
        told_apart: outputs of the network to start from that can learn from the outline of a region they make up.
    """
    order = [structure.name for structure in CHEST]
    followed = [region for region in DERIVED if region.name in found and region.name not in told_apart]
    parts = {part for region in followed if region.known_from(told_apart) for part in region.parts}
    known = sorted({*found, *parts}, key=lambda name: (order.index(name) if name in order else len(order), name))
    structures = named or tuple(known)
    regions = tuple(region.name for region in DERIVED if region.name in known and region.known_from(structures))
    if named:
        return structures, tuple(name for name in regions if name not in named)
    return tuple(name for name in structures if name not in regions), regions


def _shares(given: Sequence[str], datasets: Sequence[Dataset]) -> tuple[tuple[str, float], ...]:
    """How often each data set's films are drawn, in the order of the data sets."""
    parts = dict(share.partition("=")[::2] for share in given)
    if not parts:
        return ()
    names = [dataset.name for dataset in datasets]
    if set(parts) != set(names) or not all(_is_strength(share) for share in parts.values()):
        raise UsageError(f"--share: give NAME=NUMBER from 0 for each data set once: {', '.join(names)}")
    trained = [dataset.name for dataset in datasets if dataset.split("train")]
    if trained and not any(float(parts[name]) for name in trained):
        raise UsageError(f"--share: no film would be drawn: give a number above 0 to one of {', '.join(trained)}")
    return tuple((name, float(parts[name])) for name in names)


def _settled(network: NetworkConfig, steps: int) -> NetworkConfig:
    """The network with batch statistics that adapt fast enough to settle within that number of steps."""
    return network if steps >= _MANY_STEPS else replace(network, momentum=min(network.momentum, _QUICK_MOMENTUM))


def _augmentation(structures: tuple[str, ...], augment: bool, changes: Sequence[str]) -> Augmentation:
    chosen = Augmentation() if augment else NO_AUGMENTATION
    if augment and any(name.endswith("lung") for name in structures):
        chosen = replace(chosen, opacity=_OPACITY)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in {field.name for field in fields(Augmentation)} or not _is_strength(value):
            known = ", ".join(field.name for field in fields(Augmentation))
            raise UsageError(f"--augmentation {change}: give NAME=STRENGTH from 0, NAME being one of {known}")
        chosen = replace(chosen, **{name: float(value)})
    return chosen


def _is_strength(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False


def _start(start: str | None) -> tuple[str, Pretrained | None]:
    """Where the initial weights come from, valid in any working directory, and their network without them."""
    if not start:
        return "", None
    where = _weights_of("--from", start)
    return where, read_pretrained(where, weights=False)


def _weights_of(option: str, name: str) -> str:
    """A shipped model's name unchanged, or a run's absolute path."""
    path = Path(name).expanduser().resolve()
    if name not in shipped_weights():
        return str(path)
    if (path / CONFIG_NAME).is_file():
        raise UsageError(f"{option} {name}: a shipped model and a run here have that name: give {path}")
    return name


def _absolute(dataset: str) -> str:
    """The data set by absolute path, so that a run can resume from any working directory."""
    from edge_seg_data import split_name

    layout, path = split_name(dataset)
    return f"{layout}={path.resolve()}" if layout else str(path.resolve())
