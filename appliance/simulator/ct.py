"""A CT slice as an object (CT Image IOD, PS3.3 A.3)."""

from pathlib import Path

from pydicom.dataset import Dataset

from appliance.dicom import encapsulate, imagemodules, modules, pixels
from appliance.dicom.imagemodules import Seen
from appliance.dicom.objects import Making, Written
from appliance.dicom.syntaxes import by_name
from capture.frame import Pixels

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SPACING = 1.5  # millimetres between pixels
STEP = 5.0  # millimetres between slices
BITS = 12
WINDOW = (40, 400)  # centre and width in Hounsfield units


def write_slice(out: Path, making: Making, picture: Pixels, frame_of_reference: str) -> Written:
    """Write stored values of 12 bits (Hounsfield units + 1024) as CT Image, Explicit VR Little Endian.

    `picture` is (rows, columns) uint16, `frame_of_reference` the UID that all slices of an exam share. The modules are those
    of PS3.3 A.3; what dicom.modules writes for every object is not repeated here.
    """
    dataset = Dataset()
    zone = making.zone
    created = making.created or making.exam.started
    modules.patient(dataset, making.exam)
    modules.general_study(dataset, making.exam, zone)
    modules.patient_study(dataset, making.exam, zone)
    modules.general_series(dataset, making.exam, making.series, zone)
    modules.general_equipment(dataset, making.device)
    imagemodules.general_image(dataset, Seen(created, making.number), zone)
    del dataset.PatientOrientation  # image position and orientation say it
    _plane(dataset, making.number, picture.shape[0], frame_of_reference)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleIntercept = -1024
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    dataset.PixelPaddingValue = 0  # outside the field of view
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.WindowCenter, dataset.WindowWidth = WINDOW
    syntax = by_name("explicit")
    facts = pixels.facts_of_shape(picture.shape, BITS, syntax)
    pixels.put(dataset, facts)
    modules.sop_common(dataset, (CT_IMAGE, making.sop_instance_uid), created, zone)
    raw = picture.astype("<u2").tobytes()
    encapsulate.write(out, dataset, syntax, encapsulate.Native([raw], len(raw)))
    return Written(CT_IMAGE, making.sop_instance_uid, syntax.uid, facts.rows, facts.columns, 1)


def _plane(dataset: Dataset, number: int, size: int, frame_of_reference: str) -> None:
    """Where the slice lies: the patient on the back, head first, the first slice on top (PS3.3 C.7.6.2, C.7.4.1)."""
    half = SPACING * (size - 1) / 2
    dataset.FrameOfReferenceUID = frame_of_reference
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.PixelSpacing = [SPACING, SPACING]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-half, -half, -STEP * (number - 1)]
    dataset.SliceThickness = STEP
    dataset.SliceLocation = -STEP * (number - 1)
