"""DocuSign's dates: with seven decimals, and without an offset."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.docusign.stamps import read_ticks, write_american, write_stamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_stamp_is_its_moment_to_the_microsecond(moment):
    assert read_ticks(write_stamp(moment)) // 10 == (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "same",
    [
        "2017-05-02T01:44:00Z",
        "2017-05-01T21:44:00-04:00",
        "2017-05-01T18:44",
        "5/1/2017 6:44:00 PM",
        "05/01/2017 18:44:00",
    ],
)
def test_dates_without_an_offset_are_those_of_the_vendor_s_servers(same):
    assert read_ticks(same) == read_ticks("2017-05-02T01:44:00.0000000Z")
    assert write_american(read_ticks(same)) == "5/1/2017 6:44:00 PM"
