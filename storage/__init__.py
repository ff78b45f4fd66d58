"""Django's File Storage API without Django, with the operations of a filesystem on top.

    from storage import ContentFile, storages

    media = storages["default"]
    name = media.save("notes/today.txt", ContentFile("hello"))
    with media.open(name) as file:
        print(file.read())

The public names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

__distribution__ = "storage-vfs"
"""What tells this package from others that are called `storage`."""
