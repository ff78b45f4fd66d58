"""The verbs by what they are about: names, attributes, open files, and ranges of these."""
