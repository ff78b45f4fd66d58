"""What makes vfs at home in other software, each in a package that needs that software."""
