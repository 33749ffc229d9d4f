"""Builds the parts of a station from its configuration."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg import interface
from edge_seg.address import with_user
from edge_seg.errors import UsageError
from edge_seg.outputs.folder import OutputFolder
from edge_seg.outputs.journal import RECORDS_NAME
from edge_seg.outputs.outbox import Outbox, archive_at, receiver_at
from edge_seg.runtime.edge_tpu import cpu_runtime
from edge_seg.segmenter import Segmenter
from edge_seg.sources import CameraOptions, Source, forget_received, open_source, size_of_received
from edge_seg.sources.files import path_of
from edge_seg.station.config import ModelConfig, StationConfig
from edge_seg.station.health import Health
from edge_seg.station.retention import Retention
from edge_seg.station.shown import first_number

if TYPE_CHECKING:
    import ssl

    from edge_seg.corrections.desk import Desk
    from edge_seg.station.page import PageServer

_GB = 1_000_000_000

DEFAULT_PORT = 8080
"""Port of the page of a finished folder."""


def load_segmenter(config: ModelConfig, results: Path | None = None) -> Segmenter:
    """The segmenter that a configuration asks for; see `Segmenter.load` for what it raises.

    An adapted model in the folder of results replaces the requested model that it was adapted from.
    """
    return Segmenter.load(
        _model_in_use(config, results),
        threads=config.threads,
        engine=config.engine,
        lung=config.lung,
        gate=config.gate,
        delegate=config.delegate,
        manifest=config.manifest,
    )


def _model_in_use(config: ModelConfig, results: Path | None) -> str | Path:
    # The imports load the flatbuffer reader, which a station without adapted models need not wait for.
    if results is None or config.manifest is not None or not (results / "models").is_dir():
        return config.name
    from edge_seg.adaptation.kept import model_in_use
    from edge_seg.model_file import ModelFile

    return model_in_use(ModelFile.read(config.name), results).path or config.name


def open_output(config: StationConfig) -> OutputFolder:
    """The folder of results, with an outbox if results or records are sent on.

    Raises:
        OutputError: the folder cannot be created or written, or another run writes to it.
        UsageError: an unknown product, an invalid address of an archive or a receiver of records, or films are taken
            from that folder.
    """
    _refuse_folder_of_films(config)
    results, send = config.results, config.archive.address
    archive = None
    if send is not None:
        archive = archive_at(send, tls=_send_tls(config), authorization=config.archive.authorization)
    receiver = None
    if config.notify.address is not None:
        tls, authorization = _notify_tls(config), config.notify.authorization
        receiver = receiver_at(config.notify.address, tls=tls, authorization=authorization)
    products = [*results.save, *(["dicom"] if archive else [])]
    output = OutputFolder(results.folder, products, names=results.names, overlay=results.overlay)
    with ExitStack() as opening:
        opening.enter_context(output)
        if archive is not None:
            output.outbox = Outbox(results.folder / "outbox", archive, config.listener.ae_title)
        if receiver is not None:
            output.notices = Outbox(results.folder / "notices", receiver, config.listener.ae_title)
        opening.pop_all()
    return output


def _refuse_folder_of_films(config: StationConfig) -> None:
    """Refuse to write among films: their folder would count as one of results, in which no films are looked for."""
    results = config.results.folder
    # A folder of earlier results may be among the names that a shell made of `*`; it is reported to hold no films.
    given = () if (results / RECORDS_NAME).exists() else map(path_of, config.inputs.files)
    if results.is_dir() and results.resolve() in {folder.resolve() for folder in (*config.inputs.watch, *given)}:
        raise UsageError(f"--out {results}: films are taken from there: choose another folder")


def open_sources(config: StationConfig) -> Source:
    """All sources of films as one; see `open_source` for what it raises."""
    if not config.has_source:
        raise UsageError(
            "nothing to take films from: set inputs.files, inputs.watch, cameras.addresses or listener.address"
        )
    cameras, listener = config.cameras, config.listener
    return open_source(
        config.inputs.files,
        [with_user(address, cameras.user, cameras.password) for address in cameras.addresses],
        config.inputs.watch,
        listener.address,
        state=config.results.folder,
        frames=config.inputs.frames,
        camera_options=CameraOptions(cameras.light_box, cameras.rotation, cameras.every_s, cameras.any_certificate),
        ae_title=listener.ae_title,
        senders=listener.senders,
        tls=_server_tls(listener.tls_cert, listener.tls_key, listener.tls_ca),
    )


def make_retention(config: StationConfig, output: OutputFolder) -> Retention | None:
    """What removes old results; `None` if all are kept."""
    days, free_gb = config.retention.days, config.retention.free_gb
    if days is None and free_gb is None:
        return None
    free_bytes = None if free_gb is None else int(free_gb * _GB)
    folder = config.results.folder
    also, weigh = partial(forget_received, folder), partial(size_of_received, folder)
    return Retention(output, days, free_bytes, also, weigh)


def open_page(
    config: StationConfig, segmenter: Segmenter, health: Health, output: OutputFolder | None = None
) -> PageServer | None:
    """The page; `None` if none is wanted.

    Args:
        config: of the station.
        segmenter: of the session; films sent to the page are segmented by the same model.
        health: of the session.
        output: folder whose outlines may be corrected; `None` while it cannot be used.

    Raises:
        UsageError: the address is invalid.
        DeviceError: the port is not available.
        OutputError: corrections cannot be read.
    """
    view = config.view
    if view.address is None:
        return None
    # Python's HTTP takes 50 ms to load, which a station without a page need not wait for.
    from edge_seg.station.page import Api, Correcting, PageServer

    api = Api(health, partial(_another_segmenter, segmenter, config.model), first=first_number())
    correcting = Correcting(health, open_desk(output)) if view.corrections and output is not None else None
    tls = _server_tls(view.tls_cert, view.tls_key)
    return PageServer(view.address, health, view.token, tls=tls, api=api, correcting=correcting)


def open_finished(config: StationConfig, output: OutputFolder, who: str, films: Path | None) -> PageServer:
    """The page for a folder of results whose session has ended.

    Args:
        config: where it is served.
        output: the folder.
        who: name offered to users who have not chosen one.
        films: folder to search for films that are no longer where they came from.

    Raises:
        InputError: the folder holds no results.
        UsageError: the address is invalid.
        DeviceError: the port is not available.
    """
    from edge_seg.station.finished import FinishedFolder
    from edge_seg.station.page import Correcting, PageServer

    view, desk = config.view, open_desk(output, who, films)
    shown = FinishedFolder(output, desk, first=first_number())
    tls = _server_tls(view.tls_cert, view.tls_key)
    address = view.address or str(DEFAULT_PORT)
    return PageServer(address, shown, view.token, tls=tls, correcting=Correcting(shown, desk))


def open_desk(output: OutputFolder, who: str = "", films: Path | None = None) -> Desk:
    """The desk for correcting the outlines of a folder of results; see `Desk`."""
    from edge_seg.corrections.desk import Desk

    with_dicom = "dicom" in output.products
    return Desk(
        output.folder, who=who, films=films, with_dicom=with_dicom, outbox=output.outbox, notices=output.notices
    )


def _another_segmenter(segmenter: Segmenter, config: ModelConfig) -> interface.Segmenter:
    """A segmenter on one CPU core: the session's own serves one thread and may hold the accelerator."""
    runtime = cpu_runtime(segmenter.model, 1, config.engine)
    return interface.Segmenter(segmenter.model, runtime, lung=segmenter.lung, gate=config.gate)


def _server_tls(cert: Path | None, key: Path | None, ca: Path | None = None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    from edge_seg.tls import server_context

    return server_context(cert, key, ca)


def _send_tls(config: StationConfig) -> ssl.SSLContext | None:
    archive = config.archive
    if not archive.tls:
        return None
    from edge_seg.tls import client_context

    return client_context(archive.tls_ca, archive.tls_cert, archive.tls_key)


def _notify_tls(config: StationConfig) -> ssl.SSLContext | None:
    if config.notify.tls_ca is None:
        return None
    from edge_seg.tls import client_context

    return client_context(config.notify.tls_ca)
