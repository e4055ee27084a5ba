"""The appliance: the patient, the hospital, the promise not to lose anything, and the faces shown to people."""

__version__ = "0.1.0"
