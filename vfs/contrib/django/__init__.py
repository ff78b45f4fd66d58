"""An app for Django projects: their storages as directories, by `manage.py`.

    INSTALLED_APPS = [..., "vfs.contrib.django"]

    $ python manage.py mount default ./media
    $ python manage.py storage ls -l default:avatars

    from vfs.contrib.django.signals import content_saved, mount    # a mount in the process of the project, and what
    mount("default", "/srv/media")                                  # others change there as signals

The commands are those of `vfs`. They take the project's own STORAGES, with its subclasses and credentials, whatever
else is configured on the machine.
"""
