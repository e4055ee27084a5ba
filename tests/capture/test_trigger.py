"""Triggers: each press is one "now"."""

import io
import time

import pytest

from capture.source import NotOnThisSystem
from capture.trigger import KeyTrigger, PinTrigger


def test_each_line_typed_is_one_now():
    pressed = []
    trigger = KeyTrigger(io.StringIO("\n\n\n"), lambda: pressed.append(1))
    trigger.start()
    assert trigger.wait(5) and len(pressed) == 3


def test_a_contact_at_a_pin_is_one_now(monkeypatch):
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory

    monkeypatch.setattr(Device, "pin_factory", MockFactory())
    pressed = []
    trigger = PinTrigger(17, lambda: pressed.append(1))
    pin = Device.pin_factory.pin(17)
    pin.drive_low()
    time.sleep(0.2)
    pin.drive_high()
    time.sleep(0.2)
    trigger.close()
    assert len(pressed) == 1


def test_a_machine_without_pins_says_so(monkeypatch):
    from gpiozero import Device

    monkeypatch.setattr(Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "nosuch")
    with pytest.raises(NotOnThisSystem, match="GPIO pin 17 is not on this system") as caught:
        PinTrigger(17, print)
    assert "dicap[gpio]" in caught.value.advice
