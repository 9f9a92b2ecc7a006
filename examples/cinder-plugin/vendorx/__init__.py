"""The VendorX volume driver (an example: it drives nothing)."""
