"""What the screen may ask of the station: the Desk. Only the station root implements it."""

from typing import Any, Protocol

from appliance.events import Board


class Desk(Protocol):
    """The station, as the API sees it.

    Every call may come from several threads at once and may block for as long as the thing takes: `still()` takes its
    frame first and then waits for its turn. Trouble is raised as ApplianceError or CaptureError; both reach the person
    at the screen as `what` and `advice`. Whoever changes something tells the board, so that the screens look again.
    """

    board: Board

    def state(self) -> dict[str, Any]:
        """Everything the screen shows, as plain JSON values in the shape of `appliance.ui.shape.State`."""
        ...

    def refresh_worklist(self) -> None:
        """Ask for the worklist now; the answer arrives later, as a changed state."""
        ...

    def begin(self, key: str) -> str:
        """Begin an exam for the order of that key (`clinic.order.Order.key`); returns the exam's id."""
        ...

    def begin_unscheduled(self, patient: dict[str, str], description: str) -> str:
        """Begin an exam that nobody ordered; `patient` has id (empty: make one), name, birth_date, sex."""
        ...

    def set_region(self, value: str) -> None:
        """The part of the body that further pictures of the exam show: one of `state()["exam"]["regions"]`."""
        ...

    def still(self) -> str:
        """Take a still; when this returns its id, the picture is kept."""
        ...

    def record(self) -> None:
        """Start to record a clip."""
        ...

    def stop_recording(self) -> str:
        """End the clip; when this returns its id, the clip is kept."""
        ...

    def delete(self, picture_id: str) -> None:
        """Take a picture out of the open exam."""
        ...

    def finish(self) -> None:
        """End the exam: done."""
        ...

    def abandon(self, reason_value: str) -> None:
        """End the exam: discontinued, for one of `state()["reasons"]`."""
        ...

    def preview(self, width: int) -> tuple[int, bytes] | None:
        """The newest frame's number and the frame as a JPEG, at most `width` pixels wide; None if there is none."""
        ...

    def wait_frame(self, after: int, timeout: float) -> int:
        """Wait at most `timeout` seconds for a frame with a number above `after`; the newest frame's number."""
        ...

    def pace(self) -> float:
        """Seconds between two live pictures at the least: longer while recording, which has precedence."""
        ...

    def thumbnail(self, picture_id: str) -> bytes:
        """A JPEG of a kept picture, large enough to judge it by: about 640 pixels wide."""
        ...

    def retry(self, ids: list[str]) -> int:
        """Try again what was refused: these objects or reports, or everything if none is named; how many."""
        ...

    def capture_still(self, options: dict[str, Any]) -> dict[str, Any]:
        """Stills for a script: syntax, object, count, every (seconds); the result goes out as it is."""
        ...

    def capture_clip(self, options: dict[str, Any]) -> dict[str, Any]:
        """A clip for a script: seconds, syntax, object; the result goes out as it is."""
        ...
