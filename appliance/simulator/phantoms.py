"""The pictures of a modality with nobody in front of it: whole numbers only, so that every machine makes the same."""

from collections.abc import Callable

from appliance.simulator.body import ct_slice
from appliance.simulator.lumen import endoscopy_frame
from appliance.simulator.scan import ultrasound_frame
from capture.frame import Pixels

__all__ = ["FRAMES", "ct_slice", "endoscopy_frame", "ultrasound_frame"]

# modality → draws frame `number` of the patient that `seed` means
FRAMES: dict[str, Callable[[int, int], Pixels]] = {"US": ultrasound_frame, "ES": endoscopy_frame}
