"""A virtual machine booted from an image, with films, page and settings reached from outside, and power cuts."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg_lab.ports import free_port

CARD_BYTES = 1 << 30
BOOT_OFFSET = 1 << 20
_FIRMWARE = {
    "amd64": (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    "arm64": (Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")),
}
_EMULATORS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
_PROCESSOR = "Nehalem"
"""The oldest that NumPy's wheels run on. QEMU 7.2 emulates AVX2 processors wrongly: films that work everywhere else
end the station with SIGSEGV in NumPy's gathers."""
_BOOT_PROCESSOR_S = 900.0
"""Processor seconds of the emulator itself: on a busy computer it gets few of them per minute."""
_PATIENCE_S = 3600.0
_ATTEMPTS = 3
_KVM_TRIAL_S = 20.0
TOKEN = "a long word for tests"


def what_is_missing(architecture: str) -> str | None:
    """Why no machine can be started here; `None` if one can."""
    tools = [_EMULATORS[architecture], "qemu-img", "mcopy", "storescu", "echoscu"]
    for tool in tools:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    return None if _FIRMWARE[architecture][0].is_file() else f"{_FIRMWARE[architecture][0]} is not installed"


@functools.cache
def kvm_works() -> bool:
    """Whether a machine under KVM reaches its firmware's first line; a nested machine may offer KVM and hang."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    code, _ = _FIRMWARE["amd64"]
    words = [_EMULATORS["amd64"], "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-display", "none"]
    words += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-serial", "stdio"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as trial:
        assert trial.stdout is not None
        os.set_blocking(trial.stdout.fileno(), False)
        end, said = time.monotonic() + _KVM_TRIAL_S, b""
        while trial.poll() is None and time.monotonic() < end and not said:
            said = trial.stdout.read() or b""
            time.sleep(0.2)
        trial.kill()
    return bool(said)


def make_card(image: Path, card: Path, settings: str | None = None) -> None:
    """Make a card with the image on it, larger than the image, with settings as written on a laptop."""
    copy_card(image, card)
    os.truncate(card, CARD_BYTES)
    if settings is not None:
        write_settings(card, settings)


def copy_card(card: Path, copy: Path) -> None:
    """Copy a card, with holes in place of zeros."""
    subprocess.run(["cp", "--sparse=always", card, copy], check=True)


def write_settings(card: Path, text: str) -> None:
    """Replace the settings on the FAT partition."""
    place = card.with_suffix(".toml")
    # As Windows writes them.
    place.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    subprocess.run(["mcopy", "-o", "-i", f"{card}@@{BOOT_OFFSET}", place, "::/edge-seg.toml"], check=True)


def read_errors(card: Path) -> str:
    """The errors that the device wrote beside its settings; empty if none."""
    words = ["mtype", "-i", f"{card}@@{BOOT_OFFSET}", "::/edge-seg.errors.txt"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@dataclass
class Machine:
    """A running machine.

    Args:
        architecture: `amd64` or `arm64`.
        card: raw disk that it starts from and writes to.
        folder: for its files: serial.log, firmware variables, sockets.
        log: file that records each write and flush of the card, see `power`; `None` for no log.
        more: further arguments for the emulator.
    """

    architecture: str
    card: Path
    folder: Path
    log: Path | None = None
    more: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dicom_port, self.page_port = free_port(), free_port()
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self._words(), stdout=subprocess.DEVNULL, stderr=(self.folder / "qemu.log").open("w")
        )
        self._control: Any = None

    def _words(self) -> list[str]:
        code, variables = _FIRMWARE[self.architecture]
        own = self.folder / "variables.fd"
        shutil.copy(variables, own)
        words = [_EMULATORS[self.architecture], "-m", "1024", "-smp", "2", "-nodefaults", "-display", "none"]
        if self.architecture == "arm64":
            words += ["-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a72", "-device", "virtio-gpu-pci"]
        else:
            fast = kvm_works()
            words += [
                "-accel",
                "kvm" if fast else "tcg,thread=multi",
                "-cpu",
                "host" if fast else _PROCESSOR,
                "-vga",
                "std",
            ]
        words += [
            "-drive",
            f"if=pflash,format=raw,readonly=on,file={code}",
            "-drive",
            f"if=pflash,format=raw,file={own}",
        ]
        words += ["-blockdev", f"driver=file,node-name=file,filename={self.card}"]
        words += ["-blockdev", "driver=raw,node-name=raw,file=file"]
        disk = "raw"
        if self.log is not None:
            self.log.write_bytes(b"")
            words += ["-blockdev", f"driver=file,node-name=logfile,filename={self.log}"]
            words += ["-blockdev", "driver=blklogwrites,node-name=logged,file=raw,log=logfile,log-sector-size=512"]
            disk = "logged"
        words += ["-device", f"virtio-blk-pci,drive={disk},bootindex=1"]
        forwarded = f"hostfwd=tcp:127.0.0.1:{self.dicom_port}-:11112,hostfwd=tcp:127.0.0.1:{self.page_port}-:8080"
        # A clinic's network has no internet.
        words += ["-netdev", f"user,id=net,restrict=on,{forwarded}", "-device", "virtio-net-pci,netdev=net,romfile="]
        words += ["-device", "virtio-rng-pci", "-serial", f"file:{self.folder / 'serial.log'}"]
        return [*words, "-qmp", f"unix:{self.folder / 'qmp'},server=on,wait=off", *self.more]

    def tell(self, command: str, **arguments: object) -> Any:
        """Send a command to the emulator (QMP) and return its answer."""
        if self._control is None:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(self.folder / "qmp"))
            self._control = peer.makefile("rw")
            self._control.readline()
            self.tell("qmp_capabilities")
        print(json.dumps({"execute": command, "arguments": arguments}), file=self._control, flush=True)
        while True:
            answer = json.loads(self._control.readline())
            if "return" in answer or "error" in answer:
                return answer.get("return", answer.get("error"))

    @property
    def processor_s(self) -> float:
        """Processor time that the emulator has used, in seconds."""
        facts = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_ready(
        self, processor_s: float = _BOOT_PROCESSOR_S, seconds: float = _PATIENCE_S, *, listens: bool = True
    ) -> float:
        """Wait until the page answers and the DICOM port is open; return the seconds since power-on.

        Args:
            processor_s: most processor time that the emulator may take for it.
            seconds: most seconds to wait.
            listens: whether to wait for the DICOM port.

        Raises:
            TimeoutError: it does not start; the message has the end of its serial log.
        """
        while time.monotonic() - self._started < seconds and self.processor_s < processor_s:
            if self._process.poll() is not None:
                raise TimeoutError((self.folder / "qemu.log").read_text())
            if self.is_alive() and self.is_set_up() and (not listens or self.echo()):
                return time.monotonic() - self._started
            time.sleep(1)
        serial = (self.folder / "serial.log").read_text(errors="replace")
        passed = f"{time.monotonic() - self._started:.0f} s, {self.processor_s:.0f} s of them of the processor"
        raise TimeoutError(f"not ready after {passed}:\n{serial[-2000:]}")

    def is_alive(self) -> bool:
        """Whether `/healthz` answers `ok`."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/healthz", timeout=60) as answer:
                return bool(answer.read() == b"ok\n")
        except OSError:
            return False

    def is_set_up(self) -> bool:
        """Whether the card's settings are in effect: on a slow machine the card comes late, and they are read again."""
        try:
            self.state()
        except OSError:
            return False
        return True

    def state(self, token: str = TOKEN) -> dict[str, Any]:
        """The station's state."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.page_port}/state")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def wait_for(self, done: int, seconds: float = _PATIENCE_S) -> dict[str, Any]:
        """Wait until `done` films are done, rejected or failed, and return the state."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                state = self.state()
                films = state["films"]
                if films["done"] + films["rejected"] + films["failed"] >= done:
                    return state
            if time.monotonic() > end:
                raise TimeoutError(f"{done} films are not done after {seconds:.0f} s")
            time.sleep(0.5)

    def echo(self) -> bool:
        """Whether the listener answers C-ECHO."""
        words = ["echoscu", "-to", "60", "-ta", "60", "-td", "60", "-aec", "EDGESEG", "127.0.0.1", str(self.dicom_port)]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def send(self, *films: Path) -> bool:
        """Send films, and again if refused, as a modality does; whether the device acknowledged each of them."""
        words = [
            "storescu",
            "-to",
            "600",
            "-td",
            "600",
            "-ta",
            "600",
            "-aec",
            "EDGESEG",
            "127.0.0.1",
            str(self.dicom_port),
        ]
        for _ in range(_ATTEMPTS):
            sent = subprocess.run([*words, *films], capture_output=True, text=True, check=False)
            if sent.returncode == 0:
                return True
            print(f"not acknowledged: {(sent.stdout + sent.stderr)[-1000:]}", flush=True)
            time.sleep(5)
        return False

    def picture(self, path: Path) -> None:
        """Write its screen as PNG."""
        self.tell("screendump", filename=str(path), format="png")

    def power_off(self) -> None:
        """Cut its power, without a shutdown; what was written to its disk stays in the card and the log."""
        with contextlib.suppress(OSError, ValueError):
            self.tell("quit")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(
    architecture: str, card: Path, folder: Path, log: Path | None = None, *more: str, listens: bool = True
) -> Iterator[Machine]:
    """A machine that is ready, and is powered off at the end.

    Without KVM one boot in some dozens hangs while the kernel probes the hardware: power is then switched off and on
    again, with the card as it was, since the log of its writes starts over.
    """
    machine = _ready(architecture, card, folder, log, list(more), listens)
    try:
        yield machine
    finally:
        machine.power_off()


def _ready(architecture: str, card: Path, folder: Path, log: Path | None, more: list[str], listens: bool) -> Machine:
    before = card.with_suffix(".before-boot")
    copy_card(card, before)
    for left in reversed(range(_ATTEMPTS)):
        machine = Machine(architecture, card, folder, log, more)
        try:
            machine.wait_until_ready(listens=listens)
            before.unlink()
            return machine
        except BaseException as error:
            machine.power_off()
            if not isinstance(error, TimeoutError) or not left:
                raise
            print(f"{architecture}: started anew, since it was {error}", flush=True)
        copy_card(before, card)
    raise AssertionError("unreachable")
