"""How bytes become records: archives, compression, encodings, and a reader for each format."""
