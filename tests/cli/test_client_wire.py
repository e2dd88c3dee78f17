"""The parsers of the wire, fed in every possible division."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.client.wire import Body, EventParser, Unframer, error_from, parse_head
from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound, Refused

CHUNKED = {"transfer-encoding": "chunked"}


def encode_chunks(parts):
    return b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in parts if part) + b"0\r\nT: 1\r\n\r\n"


def divide(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_chunks_come_out_whole_however_they_arrive(parts, cuts):
    body = Body(CHUNKED)
    out = b"".join(body.feed(piece) for piece in divide(encode_chunks(parts), cuts))
    assert out == b"".join(parts)
    assert body.done


@given(
    st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=200)), max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_frames_come_out_whole_however_they_arrive(frames, cuts):
    data = b"".join(bytes([kind]) + len(payload).to_bytes(4, "big") + payload for kind, payload in frames)
    unframer = Unframer()
    assert [frame for piece in divide(data, cuts) for frame in unframer.feed(piece)] == frames


def test_events_come_out_whole_byte_by_byte():
    data = b": keep-alive\n\nid: 7\nevent: output\ndata: {\ndata:  1}\n\ndata: x\r\n\r\nevent: none\n\n"
    parser = EventParser()
    events = [event for i in range(len(data)) for event in parser.feed(data[i : i + 1])]
    assert events == [("output", "{\n 1}", "7"), ("message", "x", "7")]


def test_a_chunk_cut_off_is_an_error_not_an_end():
    body = Body(CHUNKED)
    assert body.feed(b"5\r\nhel") == b"hel"
    with pytest.raises(GatewayTrouble, match="in the middle"):
        body.end()


def test_a_body_without_a_length_ends_with_the_connection():
    body = Body({})
    assert body.feed(b"all of it") == b"all of it"
    assert not body.done
    body.end()
    assert body.done


@pytest.mark.parametrize("data", [b"xyz\r\n", b"\r\n", b"-5\r\n", b"5\r\nhelloXX", b"fffffffff\r\n", b"1" * 2000])
def test_chunks_that_cannot_be_right_are_refused(data):
    with pytest.raises(GatewayTrouble, match="makes no sense"):
        Body(CHUNKED).feed(data)


def test_more_than_the_announced_length_is_refused():
    with pytest.raises(GatewayTrouble, match="more bytes"):
        Body({"content-length": "3"}).feed(b"four")


@pytest.mark.parametrize("data", [b"\x09\0\0\0\0", b"\x01\xff\xff\xff\xff"])
def test_frames_that_cannot_be_right_are_refused(data):
    with pytest.raises(GatewayTrouble, match="a frame of kind"):
        Unframer().feed(data)


@pytest.mark.parametrize("block", [b"SSH-2.0-x", b"HTTP/1.1", b"HTTP/1.1 abc", b"HTTP/1.1 200 OK\r\nno colon"])
def test_heads_that_are_not_http_are_refused(block):
    with pytest.raises(GatewayTrouble, match="makes no sense"):
        parse_head(block)


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, BadInput),
        (416, BadInput),
        (403, Refused),
        (401, Refused),
        (404, NotFound),
        (409, Conflict),
        (500, GatewayTrouble),
        (503, GatewayTrouble),
    ],
)
def test_an_error_comes_back_as_the_one_that_was_meant(status, family):
    error = error_from(status, {"error": {"code": "word", "message": "a sentence", "hint": "an act"}})
    assert type(error) is family
    assert (error.code, error.message, error.hint) == ("word", "a sentence", "an act")


@pytest.mark.parametrize("body", [None, [], {}, {"error": "text"}, {"error": {"message": 7}}])
def test_an_error_without_words_still_names_its_status(body):
    assert "status 502" in error_from(502, body).message
