"""From documents to rows of tokens: encoding, layout, and the Arrow files of rows."""
