"""Text that a corpus may hold and that no page may take for its own markup."""

PLANTED = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "| --- | `code` **bold** _em_ ~~no~~",
    "![i](http://127.0.0.1:9/x.png) https://evil.example www.evil.example a@evil.example",
    "<img src=x onerror=alert(2)>\n\n# heading\n\n- item\u202e\x00\x1b[31m",
)
