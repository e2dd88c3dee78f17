"""The benchmark of transcripts, run for real in its short form: each page it times is the page it asked for."""

from __future__ import annotations

from bench_transcript import transcript


def test_pages_of_both_transcripts_are_timed_and_judged() -> None:
    rows = {row.name: row for row in transcript(True)}
    assert set(rows) == {
        "transcript.onward.sqlite", "transcript.back.sqlite", "transcript.append.sqlite", "transcript.append.alone",
    }  # fmt: skip
    for way, places in (("onward", ("first", "middle", "last")), ("back", ("newest", "middle", "oldest"))):
        row = rows[f"transcript.{way}.sqlite"]
        assert [side.label for side in row.sides] == [
            f"{place} of {count}" for place in places for count in ("20,000", "1,000")
        ]
        assert {len(side.values) for side in row.sides} == {20}
        assert row.verdict in ("met", "missed")
    assert rows["transcript.append.sqlite"].value > 0
