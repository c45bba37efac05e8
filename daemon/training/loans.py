"""Devices that runs leave to the servers of students: who waits for one gets the next free device, before any queued run.

A server holds one device while its plans have something to ask, a run until it ends, and neither waits for the other while it
holds one: so both go on, on a single device too.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.training.devices import Device


class DeviceLoans:
    """Who has which device, and who waits for one. The trainer grants them."""

    def __init__(self) -> None:
        self._lent: dict[str, Device] = {}
        self._waiting: dict[str, None] = {}

    @property
    def devices(self) -> list[Device]:
        """The devices that are lent."""
        return list(self._lent.values())

    def ask(self, who: str) -> Device | None:
        """The device of a server; None: it waits for one from now on."""
        if who not in self._lent:
            self._waiting[who] = None
        return self._lent.get(who)

    def give_back(self, who: str) -> None:
        """A server needs none, or waits no longer."""
        self._lent.pop(who, None)
        self._waiting.pop(who, None)

    def grant(self, devices: Sequence[Device], in_use: Sequence[Device]) -> bool:
        """Gives free devices to who waits, in order; whether any was given.

        Args:
            devices: all devices.
            in_use: those of runs and those that are lent.
        """
        busy = {device.name for device in in_use}
        free = [device for device in devices if device.name not in busy]
        granted = list(zip(list(self._waiting), free, strict=False))
        for who, device in granted:
            self._lent[who] = device
            del self._waiting[who]
        return bool(granted)
