"""What the storage does not have yet: bytes on local disk, their notes, and their way to the storage."""
