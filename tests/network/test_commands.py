"""The command set, byte by byte, against the literature's dumps and against pydicom."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from scripted import IMPLICIT, encoded

from appliance.network import commands

# practice-1.md N4, N5 (message ID 2 as in the dump, 1 as in its figure) and practice-2.md T15
ECHO = """
00 00 00 00 04 00 00 00 38 00 00 00 00 00 02 00 12 00 00 00 31 2e 32 2e 38 34 30 2e 31 30 30 30
38 2e 31 2e 31 00 00 00 00 01 02 00 00 00 30 00 00 00 10 01 02 00 00 00 {} 00 00 00 00 08 02 00 00 00 01 01
"""
FIND = (
    "00000000040000004c000000000002001c000000312e322e3834302e31303030382e352e312e342e312e322e322e3100"
    "00000001020000002000000010010200000004000000000702000000000000000008020000000201"
)


@pytest.mark.parametrize("number", [1, 2])
def test_echo_request_is_the_68_bytes_of_the_book(number: int) -> None:
    made = commands.encode(
        {
            "AffectedSOPClassUID": "1.2.840.10008.1.1",
            "CommandField": commands.C_ECHO,
            "MessageID": number,
            "CommandDataSetType": commands.NO_DATA_SET,
        }
    )
    assert made == bytes.fromhex(ECHO.format(f"{number:02x}"))
    assert len(made) == 68


def test_find_request_is_the_88_bytes_of_the_book() -> None:
    made = commands.encode(
        {
            "CommandField": commands.C_FIND,
            "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.2.2.1",
            "Priority": 0,
            "MessageID": 4,
            "CommandDataSetType": commands.DATA_SET,
        }
    )
    assert made.hex() == FIND
    assert len(made) == 88


def test_echo_response_of_78_bytes_is_read() -> None:
    response = Dataset()
    response.CommandGroupLength = 66
    response.AffectedSOPClassUID = "1.2.840.10008.1.1"
    response.CommandField, response.MessageIDBeingRespondedTo = 0x8030, 2
    response.CommandDataSetType, response.Status = 0x0101, 0
    data = encoded(response, IMPLICIT)
    assert len(data) == 78
    assert commands.decode(data) == {
        "AffectedSOPClassUID": "1.2.840.10008.1.1",
        "CommandField": 0x8030,
        "MessageIDBeingRespondedTo": 2,
        "CommandDataSetType": 0x0101,
        "Status": 0,
    }


def test_every_element_is_written_as_pydicom_reads_it() -> None:
    values: commands.Command = {
        keyword: {"UI": "1.2.3", "US": 0x1234, "LO": "odd", "AT": (0x00100020, 0x00400100)}[kind]
        for keyword, (_, kind) in commands.FIELDS.items()
    }
    data = commands.encode(values)
    dataset = read_dataset(BytesIO(data), True, True)
    assert dataset.CommandGroupLength == len(data) - 12
    for keyword, value in values.items():
        found = dataset[keyword].value
        assert (tuple(int(tag) for tag in found) if isinstance(value, tuple) else found) == value, keyword
    assert commands.decode(data) == values


@pytest.mark.parametrize(
    "data", [b"\0\0\0\1\2", b"\x08\0\x05\0\2\0\0\0ab", b"\0\0\0\1\xff\xff\0\0ab", b"GET / HTTP/1.1\r\n"]
)
def test_garbage_is_no_command(data: bytes) -> None:
    with pytest.raises(ValueError, match="command set"):
        commands.decode(data)


def test_unknown_elements_of_group_0_are_skipped() -> None:
    command = commands.encode({"Status": 0xA700})
    assert commands.decode(command + bytes.fromhex("00005051 02000000 4142")) == {"Status": 0xA700}
