"""A Cinder driver in outline."""


class VendorXDriver:
    """Names the backend; a real one would talk to it."""

    VENDOR = "VendorX"
    VERSION = "1.0"
