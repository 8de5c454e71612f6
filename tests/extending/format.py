"""Subtitles are read as the table says, compressed or not."""

import gzip
from pathlib import Path

from file_reading import read

cues = "1\n00:00:01,000 --> 00:00:02,000\nWho is there?\n\n2\n00:00:03,500 --> 00:00:04,000\nMe.\n"
Path("film.srt.gz").write_bytes(gzip.compress(cues.encode()))
texts, _ = read(Path("film.srt.gz"), Path("out"))
assert texts == ["Who is there?\nMe."]
